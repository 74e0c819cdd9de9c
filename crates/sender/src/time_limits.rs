//! The limits of the sender's waits. Tests that make the receiver fall silent choose shorter ones.

use std::time::Duration;

/// How long the sender waits for the receiver, and how soon it tries again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLimits {
    /// For one address to accept a connection.
    pub connect: Duration,
    /// For the receiver to encrypt the connection, and then for it to open the stream. It may be verifying its chunks.
    pub open: Duration,
    /// Silence after which a ping is sent.
    pub ping: Duration,
    /// Silence after which the connection is given up.
    pub idle: Duration,
    /// For the receiver to take any of the bytes that are written to it.
    pub write: Duration,
    /// The wait after the first failure, about. Each one is twice as long as the one before.
    pub first_retry: Duration,
    /// The longest such wait.
    pub longest_retry: Duration,
}

impl Default for TimeLimits {
    fn default() -> Self {
        TimeLimits {
            connect: Duration::from_secs(5),
            open: Duration::from_secs(30),
            ping: Duration::from_secs(5),
            idle: Duration::from_secs(30),
            write: transport::WRITE_LIMIT,
            first_retry: Duration::from_millis(50),
            longest_retry: Duration::from_secs(2),
        }
    }
}
