//! How long the receiver waits for a peer before it takes it for dead. Every wait has a limit; tests that make peers
//! fall silent choose shorter ones.

use std::time::Duration;

/// The limits of the receiver's waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// From the connection to `Open`: a stranger may not hold a place for long.
    pub opening: Duration,
    /// Without any message, or for one message to arrive. A sender pings more often than this.
    pub idle: Duration,
    /// For a peer to take any of the bytes that are written to it.
    pub write: Duration,
    /// For all connections together to say good-bye once the work is done.
    pub goodbye: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience {
            opening: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            write: transport::WRITE_LIMIT,
            goodbye: Duration::from_secs(3),
        }
    }
}
