//! How a peer breaks the protocol.

use crate::{
    VERSION,
    message::{Hello, MAGIC},
};

/// The peer broke the protocol. The connection cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The peer does not speak this protocol.
    #[error("the peer does not speak this protocol")]
    Magic,
    /// No common version.
    #[error("the peer speaks versions {min} to {max} of the protocol, and this program speaks {VERSION}")]
    Version {
        /// The peer's lowest.
        min: u16,
        /// The peer's highest.
        max: u16,
    },
    /// The peer has not proved that it holds the key.
    #[error("the peer does not hold our key")]
    Unproven,
    /// A message at the wrong time.
    #[error("{message} came while waiting for {expected}")]
    Unexpected {
        /// What came.
        message: &'static str,
        /// What could have come.
        expected: &'static str,
    },
    /// A position or count that cannot be.
    #[error("{0}")]
    Position(String),
}

/// Checks a peer's greeting.
pub(super) fn check_hello(hello: Hello) -> Result<(), Violation> {
    let Hello { magic, min_version: min, max_version: max } = hello;
    if magic != MAGIC {
        return Err(Violation::Magic);
    }
    if (min..=max).contains(&VERSION) { Ok(()) } else { Err(Violation::Version { min, max }) }
}
