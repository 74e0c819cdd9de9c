//! The sender: streams samples of a dataset to a receiver, in order, within the receiver's window.
//!
//! It keeps no state. Whenever a connection is made, the receiver says where to go on, so a broken connection, a killed
//! receiver or a killed sender all mend in the same way: connect again.

#![forbid(unsafe_code)]

mod connection;
mod error;
mod retry;
mod sending;
mod session;
mod stream;
mod time_limits;

use std::{
    hash::{BuildHasher, RandomState},
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::anyhow;
use process::{
    exit::{Code, failure},
    shutdown::{Cause, Shutdown},
};
use proto::SenderEvent;

pub use dataset::Supply;
pub use stream::Source;
pub use time_limits::TimeLimits;

use crate::{
    error::Error,
    retry::{Attempt, Next, Retry},
    session::Ended,
};

/// How to stream.
#[derive(Clone, Debug)]
pub struct Config {
    /// The receiver, as `host:port`.
    pub connect: String,
    /// The file with the key that the receiver holds too.
    pub key: PathBuf,
    /// Whether to use TLS on loopback as well; elsewhere it is always used.
    pub tls: bool,
    /// Samples per batch.
    pub samples_per_batch: u64,
    /// Simulated latency before each batch.
    pub batch_delay: Duration,
    /// How long to try without anything becoming durable before giving up.
    pub deadline: Duration,
    /// The limits of single waits.
    pub time_limits: TimeLimits,
}

impl Config {
    /// Streams to this receiver as fast as it takes samples, with the usual limits.
    pub fn new(connect: impl ToString, key: impl Into<PathBuf>) -> Config {
        Config {
            connect: connect.to_string(),
            key: key.into(),
            tls: false,
            samples_per_batch: 500,
            batch_delay: Duration::ZERO,
            deadline: Duration::from_secs(60),
            time_limits: TimeLimits::default(),
        }
    }
}

/// How the sender ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every sample is durable at the receiver.
    Complete,
    /// The receiver was told to stop, and has sealed the stream with so many samples.
    Sealed(u64),
    /// Told to stop, with this many samples durable.
    Stopped(Cause, u64),
}

/// Streams until every sample is durable, until the receiver seals the stream, or until told to stop. `report` hears how many
/// samples are durable.
///
/// # Errors
/// When there is no usable key, when the receiver refuses us or the stream, or cannot prove who it is, or nothing became durable
/// for the whole deadline.
pub async fn run(
    source: &Source,
    config: &Config,
    mut shutdown: Shutdown,
    mut report: impl FnMut(u64),
) -> anyhow::Result<Outcome> {
    let first = source.extent.first;
    let mut durable = first;
    let mut retry = Retry::new(Instant::now(), config.deadline, &config.time_limits);
    loop {
        let (before, mut paused) = (durable, false);
        let mut on = |event: &SenderEvent| match *event {
            SenderEvent::Durable(position) => {
                durable = position;
                report(position - first);
            }
            SenderEvent::Paused(_) => paused = true,
            _ => {}
        };
        let error = match session::run(source, config, &mut shutdown, &mut on).await {
            Ok(Ended::Complete) => return Ok(Outcome::Complete),
            Ok(Ended::Sealed) => return Ok(Outcome::Sealed(durable - first)),
            Ok(Ended::Stopped(cause)) => return Ok(Outcome::Stopped(cause, durable - first)),
            Err(error) => error,
        };
        let progress = durable > before || paused;
        let attempt = Attempt { ended: Instant::now(), class: error.class(), progress };
        let wait = match retry.next(attempt, random_fraction()) {
            Next::Wait(wait) => wait,
            Next::Fail(code) => return Err(failure(code, error)),
            Next::OtherKey => return Err(other_key(&error, config)),
            Next::GiveUp => return Err(gave_up(&error, source, config)),
        };
        if retry.is_first_failure() {
            tracing::warn!("{error}; trying for {}", humantime::format_duration(config.deadline));
        } else {
            tracing::debug!("{error}; trying again in {wait:.1?}");
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            cause = shutdown.wait() => return Ok(Outcome::Stopped(cause, durable - first)),
        }
    }
}

fn other_key(error: &Error, config: &Config) -> anyhow::Error {
    let tls = if config.tls { "" } else { " And does it want --tls?" };
    failure(Code::Refused, anyhow!("{error}; is `{}` the receiver's key?{tls}", config.key.display()))
}

fn gave_up(error: &Error, source: &Source, config: &Config) -> anyhow::Error {
    let is_endless = source.extent.end.is_none();
    let hint = match error {
        Error::Connect { .. } if is_endless => {
            "; start a receiver, or name it with --connect, unless one was stopped and has sealed the stream"
        }
        Error::Connect { .. } => "; start a receiver, or name it with --connect",
        Error::Key(_) => "; start a receiver here, which makes it, or copy the file of one elsewhere",
        _ => "",
    };
    let deadline = humantime::format_duration(config.deadline);
    failure(Code::Unavailable, anyhow!("gave up after {deadline}: {error}{hint}"))
}

/// Between 0 and 1. The standard library seeds its hashers from the operating system; jitter needs no more.
fn random_fraction() -> f64 {
    RandomState::new().hash_one(0) as f64 / u64::MAX as f64
}
