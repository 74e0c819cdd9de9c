//! How long the sender waits for the receiver, and how soon it tries again. Every wait has a limit; tests that make the
//! receiver fall silent choose shorter ones.

use std::time::Duration;

/// The limits of the sender's waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// To connect.
    pub connect: Duration,
    /// From the connection to `Welcome`: the receiver may be verifying its chunks.
    pub welcome: Duration,
    /// A ping is sent after so much silence,
    pub ping: Duration,
    /// and the receiver is taken for dead after so much.
    pub idle: Duration,
    /// For the receiver to take any of the bytes that are written to it.
    pub write: Duration,
    /// About how long to wait after the first failure; each wait is twice as long as the one before,
    pub first_retry: Duration,
    /// up to this one.
    pub longest_retry: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience {
            connect: Duration::from_secs(5),
            welcome: Duration::from_secs(30),
            ping: Duration::from_secs(5),
            idle: Duration::from_secs(30),
            write: transport::WRITE_LIMIT,
            first_retry: Duration::from_millis(50),
            longest_retry: Duration::from_secs(2),
        }
    }
}
