//! What the messages say, and their bodies. Small messages are `bincode`; a batch of samples travels as raw bytes
//! behind a small header, because its pixels need no encoding.

use serde::{Deserialize, Serialize};

use crate::{
    CLASSES, IMAGE_BYTES, MAX_BODY, VERSION,
    auth::Nonce,
    codec,
    frame::{self, FrameError, Header},
};

/// First bytes of the first message, so that a stranger on the port is told apart at once.
pub const MAGIC: [u8; 4] = *b"TRBT";

/// Longest name of a stream, in bytes.
pub const MAX_NAME: usize = 64;

/// Longest name of a dataset, in bytes: as long as a folder's.
pub const MAX_DATASET_NAME: usize = 255;

/// Longest text of an `Error`, in bytes.
pub const MAX_TEXT: usize = 1024;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Opens the conversation, from both sides.
    Hello(Hello),
    /// receiver: prove that you hold the key, with this number in it.
    Challenge(Nonce),
    /// sender: the proof; now prove yours.
    Proof(Proof),
    /// receiver: the proof.
    Counterproof([u8; 32]),
    /// sender: which stream this is.
    Open(Open),
    /// receiver: where to go on.
    Welcome(Welcome),
    /// sender: samples.
    Data(Batch),
    /// receiver: every sample before this position is durable.
    Ack(u64),
    /// sender: that was the whole stream.
    End(End),
    /// receiver: the whole stream is durable and its digest agrees.
    EndAck,
    /// sender: `EndAck` has come, and nobody will come back to ask.
    Bye,
    /// receiver: send no more samples until `Resume`; the reason, for people, at most [`MAX_TEXT`]. Said again every few
    /// seconds for as long as it holds.
    Pause(String),
    /// receiver: go on.
    Resume,
    /// Are you there?
    Ping(u64),
    /// The answer to the [`Message::Ping`] of the same number.
    Pong(u64),
    /// Why the session ends.
    Error(Failure),
}

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

/// The body of `Open`: samples `first..end` of a dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// Names the stream: letters, digits, `.`, `_` and `-`, at most [`MAX_NAME`].
    pub stream: String,
    /// The dataset's name, for people: no control characters, at most [`MAX_DATASET_NAME`].
    pub dataset: String,
    /// The dataset's digest.
    pub dataset_digest: [u8; 32],
    /// The first sample.
    pub first: u64,
    /// One past the last sample.
    pub end: u64,
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
    /// One sentence for people, at most [`MAX_TEXT`].
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
}

impl ErrorCode {
    /// Whether a peer may say so before it has proved who it is.
    pub(crate) fn is_for_strangers(self) -> bool {
        matches!(self, ErrorCode::Refused | ErrorCode::Version | ErrorCode::Busy)
    }

    /// Whether trying again later can help.
    pub fn is_temporary(self) -> bool {
        matches!(self, ErrorCode::Stopping | ErrorCode::Storage | ErrorCode::Busy)
    }
}

/// Consecutive samples of a stream, as the body of a `Data` frame:
/// `first seq u64 | count u32 | labels (count bytes) | images (count × 784 bytes)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    body: Vec<u8>,
}

impl Batch {
    const HEADER: usize = 12;

    /// Samples that fit into one frame.
    pub const MAX_SAMPLES: usize = (MAX_BODY as usize - Batch::HEADER) / (1 + IMAGE_BYTES);

    /// The frame of samples `first_seq..`, encoded straight from the caller's memory.
    ///
    /// # Panics
    /// When there are more than [`Batch::MAX_SAMPLES`] labels, or not 784 bytes of images for each.
    pub fn frame(first_seq: u64, labels: &[u8], images: &[u8]) -> Vec<u8> {
        assert!(labels.len() <= Batch::MAX_SAMPLES && images.len() == labels.len() * IMAGE_BYTES);
        frame::encode(kind::DATA, Batch::HEADER + labels.len() + images.len(), |frame| {
            frame.extend_from_slice(&first_seq.to_be_bytes());
            frame.extend_from_slice(&(labels.len() as u32).to_be_bytes());
            frame.extend_from_slice(labels);
            frame.extend_from_slice(images);
        })
    }

    fn from_body(body: Vec<u8>) -> Result<Batch, FrameError> {
        let Some((&[_, _, _, _, _, _, _, _, c0, c1, c2, c3], rest)) = body.split_first_chunk::<{ Batch::HEADER }>()
        else {
            return Err(FrameError::Body("a batch without its header"));
        };
        let count = u32::from_be_bytes([c0, c1, c2, c3]) as usize;
        if count == 0 || count > Batch::MAX_SAMPLES || rest.len() != count * (1 + IMAGE_BYTES) {
            return Err(FrameError::Body("a batch whose count and length do not agree"));
        }
        if rest[..count].iter().any(|&label| label >= CLASSES) {
            return Err(FrameError::Body("a label that is not a digit"));
        }
        Ok(Batch { body })
    }

    /// The first sample's seq.
    pub fn first_seq(&self) -> u64 {
        u64::from_be_bytes(std::array::from_fn(|i| self.body[i]))
    }

    /// One byte a sample.
    pub fn labels(&self) -> &[u8] {
        &self.body[Batch::HEADER..Batch::HEADER + self.count()]
    }

    /// 784 bytes a sample, row by row.
    pub fn images(&self) -> &[u8] {
        &self.body[Batch::HEADER + self.count()..]
    }

    /// Samples.
    pub fn count(&self) -> usize {
        (self.body.len() - Batch::HEADER) / (1 + IMAGE_BYTES)
    }

    /// Bytes of memory that the batch holds.
    pub fn bytes(&self) -> usize {
        self.body.len()
    }
}

/// Type numbers; those of authentication are from 16.
mod kind {
    pub(super) const HELLO: u8 = 1;
    pub(super) const OPEN: u8 = 2;
    pub(super) const WELCOME: u8 = 3;
    pub(super) const DATA: u8 = 4;
    pub(super) const ACK: u8 = 5;
    pub(super) const END: u8 = 6;
    pub(super) const END_ACK: u8 = 7;
    pub(super) const PING: u8 = 8;
    pub(super) const PONG: u8 = 9;
    pub(super) const PAUSE: u8 = 10;
    pub(super) const ERROR: u8 = 11;
    pub(super) const RESUME: u8 = 12;
    pub(super) const BYE: u8 = 13;
    pub(super) const CHALLENGE: u8 = 16;
    pub(super) const PROOF: u8 = 17;
    pub(super) const COUNTERPROOF: u8 = 18;
}

impl Message {
    /// The message as a frame.
    pub fn frame(&self) -> Vec<u8> {
        let (kind, body) = match self {
            Message::Hello(hello) => (kind::HELLO, codec::encode(hello)),
            Message::Challenge(nonce) => (kind::CHALLENGE, codec::encode(nonce)),
            Message::Proof(proof) => (kind::PROOF, codec::encode(proof)),
            Message::Counterproof(mac) => (kind::COUNTERPROOF, codec::encode(mac)),
            Message::Open(open) => (kind::OPEN, codec::encode(open)),
            Message::Welcome(welcome) => (kind::WELCOME, codec::encode(welcome)),
            Message::Data(batch) => {
                return frame::encode(kind::DATA, batch.bytes(), |f| f.extend_from_slice(&batch.body));
            }
            Message::Ack(durable) => (kind::ACK, codec::encode(durable)),
            Message::End(end) => (kind::END, codec::encode(end)),
            Message::EndAck => (kind::END_ACK, Vec::new()),
            Message::Bye => (kind::BYE, Vec::new()),
            Message::Ping(number) => (kind::PING, codec::encode(number)),
            Message::Pong(number) => (kind::PONG, codec::encode(number)),
            Message::Pause(reason) => (kind::PAUSE, codec::encode(reason)),
            Message::Resume => (kind::RESUME, Vec::new()),
            Message::Error(failure) => (kind::ERROR, codec::encode(failure)),
        };
        frame::encode(kind, body.len(), |frame| frame.extend_from_slice(&body))
    }

    /// The message in a frame whose header has been read.
    ///
    /// # Errors
    /// When the checksum is wrong, the type is unknown or the body is not of its type.
    pub fn decode(header: &Header, body: Vec<u8>) -> Result<Message, FrameError> {
        header.verify(&body)?;
        match header.kind {
            kind::HELLO => codec::decode(&body).map(Message::Hello),
            kind::CHALLENGE => codec::decode(&body).map(Message::Challenge),
            kind::PROOF => codec::decode(&body).map(Message::Proof),
            kind::COUNTERPROOF => codec::decode(&body).map(Message::Counterproof),
            kind::OPEN => codec::decode(&body).and_then(|open: Open| {
                let dataset = is_text(&open.dataset, MAX_DATASET_NAME);
                if is_name(&open.stream) && dataset {
                    Ok(Message::Open(open))
                } else {
                    Err(FrameError::Body("a name is not allowed"))
                }
            }),
            kind::WELCOME => codec::decode(&body).map(Message::Welcome),
            kind::DATA => Batch::from_body(body).map(Message::Data),
            kind::ACK => codec::decode(&body).map(Message::Ack),
            kind::END => codec::decode(&body).map(Message::End),
            kind::END_ACK if body.is_empty() => Ok(Message::EndAck),
            kind::BYE if body.is_empty() => Ok(Message::Bye),
            kind::RESUME if body.is_empty() => Ok(Message::Resume),
            kind::END_ACK | kind::BYE | kind::RESUME => Err(FrameError::Body("it has bytes left over")),
            kind::PING => codec::decode(&body).map(Message::Ping),
            kind::PONG => codec::decode(&body).map(Message::Pong),
            kind::PAUSE => codec::decode(&body).and_then(|reason: String| {
                check_text(&reason)?;
                Ok(Message::Pause(reason))
            }),
            kind::ERROR => codec::decode(&body).and_then(|failure: Failure| {
                check_text(&failure.text)?;
                Ok(Message::Error(failure))
            }),
            unknown => Err(FrameError::UnknownType(unknown)),
        }
    }

    /// An `Error` with a text cut to what is allowed.
    pub fn error(code: ErrorCode, text: impl Into<String>) -> Message {
        Message::Error(Failure { code, text: allowed(text.into()) })
    }

    /// A `Pause` with a reason cut to what is allowed.
    pub fn pause(reason: impl Into<String>) -> Message {
        Message::Pause(allowed(reason.into()))
    }

    /// All that a peer is told that has not proved that it holds the key: the same bytes, whatever the reason.
    pub fn refused() -> Message {
        Message::error(ErrorCode::Refused, "refused")
    }

    /// The name of the message's type.
    pub fn name(&self) -> &'static str {
        match self {
            Message::Hello(_) => "Hello",
            Message::Challenge(_) => "Challenge",
            Message::Proof(_) => "Proof",
            Message::Counterproof(_) => "Counterproof",
            Message::Open(_) => "Open",
            Message::Welcome(_) => "Welcome",
            Message::Data(_) => "Data",
            Message::Ack(_) => "Ack",
            Message::End(_) => "End",
            Message::EndAck => "EndAck",
            Message::Bye => "Bye",
            Message::Pause(_) => "Pause",
            Message::Resume => "Resume",
            Message::Ping(_) => "Ping",
            Message::Pong(_) => "Pong",
            Message::Error(_) => "Error",
        }
    }
}

/// What may be printed on a terminal: no control characters, and not endless.
fn is_text(text: &str, max: usize) -> bool {
    text.len() <= max && !text.contains(char::is_control)
}

/// The part of a text that a message may carry.
fn allowed(text: String) -> String {
    let mut text = text.replace(char::is_control, " ");
    text.truncate(text.floor_char_boundary(MAX_TEXT));
    text
}

fn check_text(text: &str) -> Result<(), FrameError> {
    if is_text(text, MAX_TEXT) { Ok(()) } else { Err(FrameError::Body("a text is not allowed")) }
}

/// Whether a text may name a stream: letters, digits, `.`, `_` and `-`, at most [`MAX_NAME`] bytes.
pub fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !text.is_empty() && text.len() <= MAX_NAME && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HEADER_BYTES;

    fn decode(frame: &[u8]) -> Result<Message, FrameError> {
        let (header, body) = frame.split_first_chunk().unwrap();
        Message::decode(&Header::decode(header, MAX_BODY)?, body.to_vec())
    }

    /// The wire format is pinned byte by byte: type and body here, the rest of the header by the tests of `frame`.
    #[track_caller]
    fn check(message: &Message, kind: u8, body: &[u8]) {
        let frame = message.frame();
        assert_eq!((frame[4], &frame[HEADER_BYTES..]), (kind, body));
        assert_eq!(decode(&frame).as_ref(), Ok(message));
    }

    #[test]
    fn each_message_has_these_bytes() {
        check(&Message::Hello(Hello::OURS), 1, b"TRBT\x00\x01\x00\x01");
        check(&Message::Challenge([0xc4; 32]), 16, &[0xc4; 32]);
        let proof = Proof { nonce: [1; 32], mac: [2; 32] };
        check(&Message::Proof(proof), 17, &[[1; 32], [2; 32]].concat());
        check(&Message::Counterproof([3; 32]), 18, &[3; 32]);
        let open =
            Open { stream: "s-0".into(), dataset: "mnist".into(), dataset_digest: [0xab; 32], first: 1, end: 0x0203 };
        let mut body = b"\0\0\0\0\0\0\0\x03s-0\0\0\0\0\0\0\0\x05mnist".to_vec();
        body.extend_from_slice(&[0xab; 32]);
        body.extend_from_slice(b"\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\x02\x03");
        check(&Message::Open(open), 2, &body);
        let welcome = Welcome { next: 3, durable: 2, window: 1 };
        check(&Message::Welcome(welcome), 3, b"\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x01");
        check(&Message::Ack(0x0102), 5, b"\0\0\0\0\0\0\x01\x02");
        let mut body = b"\0\0\0\0\0\0\0\x07".to_vec();
        body.extend_from_slice(&[9; 32]);
        check(&Message::End(End { count: 7, digest: [9; 32] }), 6, &body);
        check(&Message::EndAck, 7, b"");
        check(&Message::Bye, 13, b"");
        check(&Message::pause("no"), 10, b"\0\0\0\0\0\0\0\x02no");
        check(&Message::Resume, 12, b"");
        check(&Message::Ping(1), 8, b"\0\0\0\0\0\0\0\x01");
        check(&Message::Pong(2), 9, b"\0\0\0\0\0\0\0\x02");
        check(&Message::error(ErrorCode::Fenced, "no"), 11, b"\0\0\0\x04\0\0\0\0\0\0\0\x02no");
        check(&Message::refused(), 11, b"\0\0\0\x09\0\0\0\0\0\0\0\x07refused");
    }

    #[test]
    fn a_batch_has_these_bytes() {
        let (labels, images) = ([7, 1], vec![0x55; 2 * IMAGE_BYTES]);
        let frame = Batch::frame(0x0a0b, &labels, &images);
        assert_eq!(frame.len(), HEADER_BYTES + 12 + 2 + 2 * 784);
        assert_eq!(frame[..5], [0, 0, 0x06, 0x2e, 4]);
        assert_eq!(frame[HEADER_BYTES..][..15], *b"\0\0\0\0\0\0\x0a\x0b\0\0\0\x02\x07\x01\x55");
        let Ok(Message::Data(batch)) = decode(&frame) else { panic!() };
        assert_eq!((batch.first_seq(), batch.count()), (0x0a0b, 2));
        assert_eq!((batch.labels(), batch.images()), (&labels[..], &images[..]));
        assert_eq!(Message::Data(batch).frame(), frame);
    }

    #[test]
    fn the_largest_batch_fits_into_a_frame() {
        let n = Batch::MAX_SAMPLES;
        assert_eq!(n, 1335);
        assert!(decode(&Batch::frame(0, &vec![0; n], &vec![0; n * IMAGE_BYTES])).is_ok());
    }

    #[track_caller]
    fn check_bad(kind: u8, body: &[u8], expect: FrameError) {
        assert_eq!(decode(&frame::encode(kind, 0, |frame| frame.extend_from_slice(body))), Err(expect));
    }

    #[test]
    fn a_malformed_body_is_an_error() {
        let left_over = FrameError::Body("it has bytes left over");
        let undecodable = FrameError::Body("it does not decode");
        check_bad(0, b"", FrameError::UnknownType(0));
        check_bad(200, b"", FrameError::UnknownType(200));
        check_bad(5, b"\0\0\0\0\0\0\0\x01\0", left_over);
        check_bad(7, b"\0", left_over);
        check_bad(5, b"\0\0\0", undecodable);
        check_bad(16, &[0; 31], undecodable);
        check_bad(17, &[0; 65], left_over);
        check_bad(18, &[0; 33], left_over);
        check_bad(2, b"\xff\xff\xff\xff\xff\xff\xff\xff", undecodable);
        check_bad(11, b"\0\0\0\x63\0\0\0\0\0\0\0\0", undecodable);
        check_bad(11, b"\0\0\0\0\0\0\0\0\0\0\0\x01\x1b", FrameError::Body("a text is not allowed"));
        check_bad(4, b"\0\0", FrameError::Body("a batch without its header"));
        let disagree = FrameError::Body("a batch whose count and length do not agree");
        check_bad(4, b"\0\0\0\0\0\0\0\0\0\0\0\0", disagree);
        check_bad(4, b"\0\0\0\0\0\0\0\0\xff\xff\xff\xff", disagree);
        let mut batch = b"\0\0\0\0\0\0\0\0\0\0\0\x01\x0a".to_vec();
        batch.extend_from_slice(&[0; IMAGE_BYTES]);
        check_bad(4, &batch, FrameError::Body("a label that is not a digit"));
    }

    #[test]
    fn a_name_is_short_and_plain() {
        assert!(is_name("sender-0") && is_name(&"x".repeat(64)));
        for name in ["", "a b", "a/b", "\u{1b}[31m", "é", &"x".repeat(65)] {
            assert!(!is_name(name), "{name:?}");
        }
    }
}
