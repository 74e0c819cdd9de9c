//! Training while data arrives.

use std::{fmt, str::FromStr};

use clap::Args;
use serde::Serialize;

use crate::number::{at_least_one, below_one};

/// Training while data arrives: trainer and orchestrator.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[command(next_help_heading = "Live")]
#[serde(rename_all = "kebab-case")]
pub struct Live {
    /// Train while samples arrive: a round for each slice of the stream, as soon as the slice is durable. Slices are cut by
    /// position, so the model does not depend on how fast, and over how many senders, the samples come
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub live: bool,
    /// Samples of a slice [default: 2000]
    #[arg(long, value_name = "N", value_parser = at_least_one::<u64>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub samples_per_round: Option<u64>,
    /// What a round trains on beside its slice: `none`; `landmark`, everything so far; `sliding:N`, the N samples before it;
    /// `reservoir:N`, a random N of all before it [default: none]
    #[arg(long, value_name = "WHAT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay: Option<Replay>,
    /// Fading factor of the prequential accuracy: how much a sample counts less for each one that comes after it
    /// [default: 0.999]
    #[arg(long, value_name = "FACTOR", value_parser = below_one)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fading_factor: Option<f64>,
    /// The drift detector's δ (ADWIN): how likely it may be to see a change where there is none [default: 0.002]
    #[arg(long, value_name = "DELTA", value_parser = below_one)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift_delta: Option<f64>,
}

/// How a live run trains and measures: the flags, with every default written out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LiveTraining {
    /// Samples of a slice.
    pub samples_per_round: u64,
    /// What a round trains on beside its slice.
    pub replay: Replay,
    /// Fading factor of the prequential accuracy.
    pub fading_factor: f64,
    /// The drift detector's δ.
    pub drift_delta: f64,
}

impl Live {
    /// How a live run trains; `None` if the run is not live.
    ///
    /// # Errors
    /// When it is not, and one of the other flags was given: a clause.
    pub fn settled(self) -> Result<Option<LiveTraining>, String> {
        let Live { live, samples_per_round, replay, fading_factor, drift_delta } = self;
        if live {
            return Ok(Some(LiveTraining {
                samples_per_round: samples_per_round.unwrap_or(2000),
                replay: replay.unwrap_or(Replay::None),
                fading_factor: fading_factor.unwrap_or(0.999),
                drift_delta: drift_delta.unwrap_or(0.002),
            }));
        }
        let given = [
            ("samples-per-round", samples_per_round.is_some()),
            ("replay", replay.is_some()),
            ("fading-factor", fading_factor.is_some()),
            ("drift-delta", drift_delta.is_some()),
        ];
        match given.into_iter().find(|(_, is_given)| *is_given) {
            Some((name, _)) => Err(format!("--{name} is for live runs; give --live, too")),
            None => Ok(None),
        }
    }
}

/// The flags that say so.
impl From<Option<LiveTraining>> for Live {
    fn from(training: Option<LiveTraining>) -> Self {
        let Some(LiveTraining { samples_per_round, replay, fading_factor, drift_delta }) = training else {
            return Live::default();
        };
        Live {
            live: true,
            samples_per_round: Some(samples_per_round),
            replay: Some(replay),
            fading_factor: Some(fading_factor),
            drift_delta: Some(drift_delta),
        }
    }
}

/// `--replay`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// Nothing.
    None,
    /// Everything so far.
    Landmark,
    /// So many samples before the slice.
    Sliding(u64),
    /// So many samples of all before the slice, at random.
    Reservoir(u64),
}

impl fmt::Display for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Replay::None => f.write_str("none"),
            Replay::Landmark => f.write_str("landmark"),
            Replay::Sliding(samples) => write!(f, "sliding:{samples}"),
            Replay::Reservoir(samples) => write!(f, "reservoir:{samples}"),
        }
    }
}

impl FromStr for Replay {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let samples = |number: &str| number.parse::<u64>().ok().filter(|samples| (1..=MAX_REPLAY).contains(samples));
        let kind = match text.split_once(':') {
            None if text == "none" => Some(Replay::None),
            None if text == "landmark" => Some(Replay::Landmark),
            Some(("sliding", number)) => samples(number).map(Replay::Sliding),
            Some(("reservoir", number)) => samples(number).map(Replay::Reservoir),
            _ => None,
        };
        kind.ok_or_else(|| format!("give none, landmark, sliding:N or reservoir:N, with N from 1 to {MAX_REPLAY}"))
    }
}

impl Serialize for Replay {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The samples of a replay are in memory, at 785 bytes each: 7.85 GB for this many.
const MAX_REPLAY: u64 = 10_000_000;
