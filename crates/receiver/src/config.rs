//! What the receiver is to do, and how it ended.

use std::{path::PathBuf, time::Duration};

use process::shutdown::Cause;
use store::Mode;

use crate::time_limits::TimeLimits;

/// Senders at the same time: half of the 1,024 descriptors that a process usually may have, so that pending
/// connections and chunk files find some too.
pub const MAX_CONNECTIONS: usize = 512;

/// What the receiver is to do.
#[derive(Clone, Debug)]
pub struct Config {
    /// The chunk directory.
    pub dir: PathBuf,
    /// What to do with what is in it.
    pub mode: Mode,
    /// The run that the samples are for, if there is one.
    pub run: Option<String>,
    /// Samples per chunk file.
    pub samples_per_chunk: usize,
    /// Streams that are expected; the receiver ends when all of them have ended.
    pub streams: usize,
    /// How long a sample may wait for its chunk to fill before the chunk is written short.
    pub linger: Duration,
    /// How long to wait for the sender of a stream that is durable to its end or sealed, if it has not said that it knows and
    /// its connection is gone: it may come back and ask.
    pub grace: Duration,
    /// Senders connected at the same time.
    pub connections: usize,
    /// How long to wait for peers.
    pub time_limits: TimeLimits,
    /// How long to wait for another receiver to leave the directory: one that was told to stop needs a moment.
    pub lock_limit: Duration,
}

impl Config {
    /// The defaults for a directory: continue it, 1,000 samples a chunk, one stream.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Config {
            dir: dir.into(),
            mode: Mode::Continue,
            run: None,
            samples_per_chunk: 1000,
            streams: 1,
            linger: Duration::from_secs(5),
            grace: Duration::from_secs(5),
            connections: MAX_CONNECTIONS,
            time_limits: TimeLimits::default(),
            lock_limit: Duration::from_secs(10),
        }
    }
}

/// How the receiver ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// Every stream has ended, or has no end and the receiver was told to stop, and the directory is complete.
    Complete {
        /// Samples in the directory.
        samples: u64,
        /// Chunk files in the directory.
        chunks: u64,
        /// Seconds from the first sample of this process to the manifest.
        seconds: f64,
    },
    /// Told to stop: what was accepted is sealed and acknowledged.
    Stopped(Cause),
}
