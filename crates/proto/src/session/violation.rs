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
    #[error(
        "the peer speaks {} of the protocol, and this program speaks version {VERSION}; update the older one",
        versions(*min, *max)
    )]
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

/// `version 2`, or `versions 2 to 3`
fn versions(min: u16, max: u16) -> String {
    if min == max { format!("version {min}") } else { format!("versions {min} to {max}") }
}

/// The version that a receiver of version 1 speaks, which names it in the text of its refusal and nowhere else. Only the number
/// is taken from it: a peer that has not proved who it is puts no words into our mouth.
pub(super) fn version_in(refusal: &str) -> Option<u16> {
    refusal.rsplit_once("this program speaks ")?.1.parse().ok()
}

/// Checks a peer's greeting.
pub(super) fn check_hello(hello: Hello) -> Result<(), Violation> {
    let Hello { magic, min_version: min, max_version: max } = hello;
    if magic != MAGIC {
        return Err(Violation::Magic);
    }
    if (min..=max).contains(&VERSION) { Ok(()) } else { Err(Violation::Version { min, max }) }
}
