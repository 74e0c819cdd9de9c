//! The bodies of the small messages: plain structs, which the codec writes field by field.

use sample::Extent;
use serde::{Deserialize, Serialize};

use crate::VERSION;

/// First bytes of the first message, so that a stranger on the port is told apart at once.
pub const MAGIC: [u8; 4] = *b"TRBT";

/// A number that is used once, from the system's random source.
pub type Nonce = [u8; 32];

/// The body of `Hello`: the versions that this side speaks. The receiver answers with the one it chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`MAGIC`].
    pub magic: [u8; 4],
    /// Lowest version.
    pub min_version: u16,
    /// Highest version.
    pub max_version: u16,
}

impl Hello {
    /// The greeting of this crate.
    pub const OURS: Hello = Hello { magic: MAGIC, min_version: VERSION, max_version: VERSION };
}

/// The body of `Proof`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// A fresh number of the sender, for the receiver's proof.
    pub nonce: Nonce,
    /// HMAC-SHA256, as [`crate::auth`] says.
    pub mac: [u8; 32],
}

/// The body of `Open`: a stream of samples of a dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// Names the stream: letters, digits, `.`, `_` and `-`, at most [`MAX_NAME`](super::MAX_NAME).
    pub stream: String,
    /// The dataset's name, for people: no control characters, at most [`MAX_DATASET_NAME`](super::MAX_DATASET_NAME).
    pub dataset: String,
    /// The dataset's digest.
    pub dataset_digest: [u8; 32],
    /// Which samples.
    #[serde(with = "ExtentFields")]
    pub extent: Extent,
}

/// How an extent is written: `first u64 | block u64 | stride u64`, then `0`, or `1 | end u64` if it has an end.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Extent")]
struct ExtentFields {
    first: u64,
    block: u64,
    stride: u64,
    end: Option<u64>,
}

/// The body of `Welcome`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The position that the receiver has accepted: send from here.
    pub next: u64,
    /// The position that is durable.
    pub durable: u64,
    /// Samples that may be under way beyond the durable position.
    pub window: u64,
}

/// The body of `End`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Samples of the whole stream, those of earlier sessions included.
    pub count: u64,
    /// [`crate::StreamDigest`] of the whole stream.
    pub digest: [u8; 32],
}

/// The body of `Error`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What kind of failure.
    pub code: ErrorCode,
    /// One sentence for people, at most [`MAX_TEXT`](super::MAX_TEXT).
    pub text: String,
}

/// Why a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorCode {
    /// The peer broke the protocol.
    Protocol,
    /// No common version.
    Version,
    /// The chunk directory holds another dataset.
    Dataset,
    /// The stream is not expected, or has another extent than before.
    Stream,
    /// A newer connection for the same stream took over.
    Fenced,
    /// What arrived is not what was sent.
    Digest,
    /// The receiver is stopping; it may come back.
    Stopping,
    /// The receiver cannot write.
    Storage,
    /// The receiver serves as many connections as it can; come back later.
    Busy,
    /// The peer has not proved that it holds the key. No reason is given.
    Refused,
    /// The receiver was told to stop, and has made of what is durable a complete directory: there is nothing more to send.
    Sealed,
}

impl ErrorCode {
    /// Whether a peer may say so before it has proved that it holds the key.
    pub(crate) fn may_precede_proof(self) -> bool {
        matches!(self, ErrorCode::Refused | ErrorCode::Version | ErrorCode::Busy)
    }
}
