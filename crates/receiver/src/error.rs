//! Why a connection ends early.

use proto::Violation;
use tokio::time::error::Elapsed;

/// Why a connection ended early, in words for the log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Transport(#[from] transport::Error),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("{}", broken(.0))]
    Violation(#[from] Violation),
    #[error("the sender said nothing for too long")]
    Silent(#[from] Elapsed),
    #[error("the sender gave up: {0}")]
    Sender(String),
    #[error("{0}")]
    Refused(String),
    #[error("it speaks without TLS, and this receiver listens on more than loopback")]
    Plain,
    #[error("too many others connected meanwhile")]
    Evicted,
}

/// That the sender breaks the protocol; which it does not by speaking another version of it.
fn broken(violation: &Violation) -> String {
    match violation {
        Violation::Version { .. } => violation.to_string(),
        _ => format!("the sender broke the protocol: {violation}"),
    }
}
