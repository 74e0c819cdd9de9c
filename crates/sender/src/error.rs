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
    #[error("the receiver broke the protocol: {0}")]
    Violation(#[from] Violation),
    #[error("the receiver refused: {}", .0.text)]
    Refused(Failure),
}

/// What an error means for the next connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Another connection would end in the same way.
    Final,
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
            Error::Key(_) | Error::Violation(Violation::Magic | Violation::Version { .. }) => Class::Final,
            Error::Impostor { .. } | Error::Violation(Violation::Unproven) => Class::Key,
            // That includes damaged frames: the next connection may be sound.
            Error::Silent | Error::Stalled | Error::Closed | Error::Transport(_) | Error::Io(_) => Class::Broken,
            Error::Violation(_) => Class::Broken,
            Error::Refused(failure) => match failure.code {
                ErrorCode::Refused => Class::Key,
                ErrorCode::Fenced => Class::Fenced,
                ErrorCode::Protocol => Class::Later, // The receiver may have read a damaged frame.
                code if code.is_temporary() => Class::Later,
                _ => Class::Final,
            },
        }
    }

    /// The exit code of a sender that ends because of this error.
    pub(crate) fn exit_code(&self) -> Code {
        match self {
            Error::Key(error) => error.exit_code().into(),
            Error::Refused(failure) => match failure.code {
                ErrorCode::Dataset | ErrorCode::Stream | ErrorCode::Digest => Code::Data,
                ErrorCode::Fenced => Code::Unavailable,
                ErrorCode::Version => Code::Refused,
                _ => Code::Software,
            },
            Error::Violation(_) => Code::Refused,
            _ => Code::Software,
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
        ] {
            assert_eq!(error.class(), class, "{error:?}");
        }
        for (error, code) in [
            (Error::Key(key_file::Error::Malformed("key".into())), Code::Data),
            (Error::Key(key_file::Error::Exposed("key".into())), Code::Unsafe),
            (Error::Violation(Violation::Magic), Code::Refused),
            (Error::Violation(Violation::Version { min: 2, max: 3 }), Code::Refused),
            (refused(ErrorCode::Version), Code::Refused),
            (refused(ErrorCode::Dataset), Code::Data),
            (refused(ErrorCode::Stream), Code::Data),
            (refused(ErrorCode::Digest), Code::Data),
        ] {
            assert_eq!((error.class(), error.exit_code()), (Class::Final, code), "{error:?}");
        }
        let fenced = refused(ErrorCode::Fenced);
        assert_eq!((fenced.class(), fenced.exit_code()), (Class::Fenced, Code::Unavailable));
    }
}
