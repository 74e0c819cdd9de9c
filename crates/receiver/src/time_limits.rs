//! How long the receiver waits for a peer before it counts as dead. Every wait has a limit. Tests with peers that fall
//! silent choose shorter ones.

use std::time::Duration;

/// The limits of the receiver's waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLimits {
    /// From the connection to `Open`, the handshake included.
    pub opening: Duration,
    /// Without any message, or for one message to arrive. A sender pings more often than this.
    pub idle: Duration,
    /// For a peer to take any of the bytes that are written to it.
    pub write: Duration,
    /// For all connections together to send their last message and close, once the work is done.
    pub closing: Duration,
}

impl Default for TimeLimits {
    fn default() -> Self {
        TimeLimits {
            opening: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            write: transport::WRITE_LIMIT,
            closing: Duration::from_secs(3),
        }
    }
}
