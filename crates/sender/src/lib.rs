//! The sender: streams samples `first..end` of a dataset to a receiver, in order, within the receiver's window.
//!
//! It keeps no state. Whenever a connection is made, the receiver says where to go on, so a broken connection, a killed
//! receiver or a killed sender all mend in the same way: connect again.

#![forbid(unsafe_code)]

mod backoff;
mod patience;
mod session;

use std::{path::PathBuf, time::Duration};

use cli::{
    exit::{Code, failure},
    shutdown::{Cause, Shutdown},
};
use proto::{ErrorCode, IMAGE_BYTES};

pub use patience::Patience;

use crate::{
    backoff::Backoff,
    session::{Ended, Heard, session},
};

/// Answers in a row that say that the keys differ, before they are believed: a handshake that the network damages gets the
/// same answer. They take less than a second.
const REFUSALS: u32 = 5;

const _: () = assert!(dataset::PIXELS == IMAGE_BYTES);

/// The samples of one stream, in memory: `labels[i]` and `images[i * 784..][..784]` are sample `first + i`.
#[derive(Clone, Debug)]
pub struct Source {
    /// Names the stream at the receiver.
    pub stream: String,
    /// The dataset's name.
    pub dataset: String,
    /// The dataset's digest.
    pub dataset_digest: [u8; 32],
    /// Index of the first sample in the dataset.
    pub first: u64,
    /// One byte a sample.
    pub labels: Vec<u8>,
    /// 784 bytes a sample.
    pub images: Vec<u8>,
}

impl Source {
    /// One past the last sample.
    pub fn end(&self) -> u64 {
        self.first + self.labels.len() as u64
    }

    /// Labels and images of samples `from..to`.
    fn slice(&self, from: u64, to: u64) -> (&[u8], &[u8]) {
        let (from, to) = ((from - self.first) as usize, (to - self.first) as usize);
        (&self.labels[from..to], &self.images[from * IMAGE_BYTES..to * IMAGE_BYTES])
    }
}

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
    /// How long to wait for the receiver.
    pub patience: Patience,
}

/// How the sender ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every sample is durable at the receiver.
    Complete,
    /// Told to stop, with this many samples durable.
    Stopped(Cause, u64),
}

/// Streams until every sample is durable, or until told to stop. `report` hears how many samples are durable.
///
/// # Errors
/// When there is no usable key, when the receiver refuses us or the stream, or cannot prove who it is, or nothing became durable for the whole deadline.
pub async fn run(
    source: &Source,
    config: &Config,
    mut shutdown: Shutdown,
    mut report: impl FnMut(u64),
) -> anyhow::Result<Outcome> {
    let mut durable = source.first;
    let mut backoff = Backoff::new(config.deadline, config.patience);
    // Connections that broke. What was said on one may yet reach the receiver and take the stream over from the next, so
    // each explains being fenced off once; without one, it was another sender.
    let mut broken = 0_u32;
    let mut refusals = 0;
    loop {
        let (before, mut paused) = (durable, false);
        let mut hear = |heard| match heard {
            Heard::Durable(position) => {
                durable = position;
                report(position - source.first);
            }
            Heard::Paused => paused = true,
        };
        let reason = match session(source, config, &mut shutdown, &mut hear).await {
            Ok(Ended::Complete) => return Ok(Outcome::Complete),
            Ok(Ended::Stopped(cause)) => return Ok(Outcome::Stopped(cause, durable - source.first)),
            Err(error) if error.is_fenced() && broken > 0 => {
                broken -= 1;
                error
            }
            Err(error) if error.is_final() => return Err(failure(exit_code(&error), error)),
            Err(error) => {
                broken += u32::from(error.is_break());
                error
            }
        };
        refusals = if reason.is_about_the_key() { refusals + 1 } else { 0 };
        if refusals == REFUSALS {
            let tls = if config.tls { "" } else { " And does it want --tls?" };
            let hint = format!("is `{}` the receiver's key?{tls}", config.key.display());
            return Err(failure(Code::Refused, anyhow::anyhow!("{reason}; {hint}")));
        }
        if durable > before || paused {
            backoff.reset();
        }
        let Some(wait) = backoff.next() else {
            let text = format!("gave up after {}: {reason}", humantime::format_duration(config.deadline));
            let hint = match reason {
                session::Error::Connect { .. } => "; start a receiver, or name it with --connect",
                session::Error::Key(_) => "; start a receiver here, which makes it, or copy the file of one elsewhere",
                _ => "",
            };
            return Err(failure(Code::Unavailable, anyhow::anyhow!("{text}{hint}")));
        };
        if backoff.is_first() {
            tracing::warn!("{reason}; trying for {}", humantime::format_duration(config.deadline));
        } else {
            tracing::debug!("{reason}; trying again in {wait:.1?}");
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            cause = shutdown.wait() => return Ok(Outcome::Stopped(cause, durable - source.first)),
        }
    }
}

fn exit_code(error: &session::Error) -> Code {
    match error {
        session::Error::Key(error) => error.exit_code().into(),
        session::Error::Refused(failure) => match failure.code {
            ErrorCode::Dataset | ErrorCode::Stream | ErrorCode::Digest => Code::Data,
            ErrorCode::Fenced => Code::Unavailable,
            ErrorCode::Version => Code::Refused,
            _ => Code::Software,
        },
        session::Error::Violation(_) => Code::Refused,
        _ => Code::Software,
    }
}
