//! Why a connection ended before its stream did, and what that means for the next one.

use std::io;

use process::exit::Code;
use proto::{ErrorCode, Violation, message::Failure};
use transport::key_file;

/// Why a connection ended, or there was none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Key(#[from] key_file::Error),
    #[error("failed to connect to {address}: {source}")]
    Connect { address: String, source: io::Error },
    #[error("whoever listens at {address} does not hold our key")]
    Impostor { address: String },
    #[error("the receiver says nothing")]
    Silent,
    #[error("the receiver is there, but makes nothing durable")]
    Stalled,
    #[error("the receiver closed the connection")]
    Closed,
    #[error("the connection broke: {0}")]
    Transport(#[from] transport::Error),
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    #[error("{}", broken(.0))]
    Violation(Violation),
    #[error("the receiver refused: {}", .0.text)]
    Refused(Failure),
}

impl From<Violation> for Error {
    fn from(violation: Violation) -> Error {
        Error::Violation(violation) // And not its source: what it says is said.
    }
}

/// That the receiver breaks the protocol; which it does not by speaking another version of it.
fn broken(violation: &Violation) -> String {
    match violation {
        Violation::Version { .. } => format!("no common version: {violation}"),
        _ => format!("the receiver broke the protocol: {violation}"),
    }
}

/// What an error means for the next connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Another connection would end in the same way, so the sender ends with this code.
    Final(Code),
    /// Another connection took the stream over.
    Fenced,
    /// The two sides seem to hold different keys. A handshake that the network damages looks the same.
    Key,
    /// A connection broke, and the receiver may not know that it is over.
    Broken,
    /// Nothing is wrong that time does not mend.
    Later,
}

impl Error {
    pub(crate) fn class(&self) -> Class {
        match self {
            // The first receiver makes the key file.
            Error::Key(key_file::Error::Missing(_)) | Error::Connect { .. } => Class::Later,
            Error::Key(error) => Class::Final(error.exit_code().into()),
            Error::Violation(Violation::Magic | Violation::Version { .. }) => Class::Final(Code::Refused),
            Error::Impostor { .. } | Error::Violation(Violation::Unproven) => Class::Key,
            // That includes damaged frames: the next connection may be sound.
            Error::Silent | Error::Stalled | Error::Closed | Error::Transport(_) | Error::Io(_) => Class::Broken,
            Error::Violation(_) => Class::Broken,
            Error::Refused(failure) => match failure.code {
                ErrorCode::Refused => Class::Key,
                ErrorCode::Fenced => Class::Fenced,
                ErrorCode::Protocol => Class::Later, // The receiver may have read a damaged frame.
                // What is said of a sealed stream to somebody who has more to send, it cannot mean.
                ErrorCode::Stopping | ErrorCode::Storage | ErrorCode::Busy | ErrorCode::Sealed => Class::Later,
                ErrorCode::Dataset | ErrorCode::Stream | ErrorCode::Digest => Class::Final(Code::Data),
                ErrorCode::Version => Class::Final(Code::Refused),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_its_class_and_the_final_ones_an_exit_code() {
        let refused = |code| Error::Refused(Failure { code, text: String::new() });
        let broken = || io::Error::from(io::ErrorKind::ConnectionReset);
        let address = || "host:9999".to_owned();
        let unexpected = Violation::Unexpected { message: "Ack", expected: "Hello" };
        for (error, class) in [
            (Error::Key(key_file::Error::Missing("key".into())), Class::Later),
            (Error::Connect { address: address(), source: broken() }, Class::Later),
            (refused(ErrorCode::Protocol), Class::Later),
            (refused(ErrorCode::Stopping), Class::Later),
            (refused(ErrorCode::Storage), Class::Later),
            (refused(ErrorCode::Busy), Class::Later),
            (refused(ErrorCode::Sealed), Class::Later),
            (Error::Impostor { address: address() }, Class::Key),
            (Error::Violation(Violation::Unproven), Class::Key),
            (refused(ErrorCode::Refused), Class::Key),
            (Error::Silent, Class::Broken),
            (Error::Stalled, Class::Broken),
            (Error::Closed, Class::Broken),
            (Error::Transport(broken().into()), Class::Broken),
            (Error::Io(broken()), Class::Broken),
            (Error::Violation(unexpected), Class::Broken),
            (Error::Violation(Violation::Position(String::new())), Class::Broken),
            (refused(ErrorCode::Fenced), Class::Fenced),
            (Error::Key(key_file::Error::Malformed("key".into())), Class::Final(Code::Data)),
            (Error::Key(key_file::Error::Exposed("key".into())), Class::Final(Code::Unsafe)),
            (Error::Violation(Violation::Magic), Class::Final(Code::Refused)),
            (Error::Violation(Violation::Version { min: 2, max: 3 }), Class::Final(Code::Refused)),
            (refused(ErrorCode::Version), Class::Final(Code::Refused)),
            (refused(ErrorCode::Dataset), Class::Final(Code::Data)),
            (refused(ErrorCode::Stream), Class::Final(Code::Data)),
            (refused(ErrorCode::Digest), Class::Final(Code::Data)),
        ] {
            assert_eq!(error.class(), class, "{error:?}");
        }
    }
}
