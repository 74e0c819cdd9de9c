//! A job is what the driver asks of the workers: to train, to evaluate or to count their partitions. It travels whole, as one
//! word of letters, digits, `-` and `_` on the worker's command line, so that no shell and no SQL can misread it.

use std::fmt;

use anyhow::{Context, ensure};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::round::local::Local;

/// Version of what driver and worker exchange: rows, their order, and the worker's command line.
const ROWS: u32 = 5;
/// Version of this program.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a worker does with each partition. Weights are named by their SHA-256.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Job {
    /// Counts the samples and digests them.
    Count,
    /// Counts those that a model recognises.
    Evaluate {
        /// The model.
        weights: String,
    },
    /// Trains a model.
    Train {
        /// The model.
        weights: String,
        /// The run's seed.
        seed: u64,
        /// From 1.
        round: u32,
        /// How to train.
        local: Local,
    },
}

impl Job {
    /// The weights that it needs.
    pub fn weights(&self) -> Option<&str> {
        match self {
            Job::Count => None,
            Job::Evaluate { weights } | Job::Train { weights, .. } => Some(weights),
        }
    }

    /// The command line of a worker that is to do it.
    pub fn arguments(&self) -> Arguments {
        let json = serde_json::to_vec(self).expect("numbers and texts are JSON");
        let task = match self {
            Job::Count => "count",
            Job::Evaluate { .. } => "evaluate",
            Job::Train { .. } => "train",
        };
        Arguments { rows: ROWS, driver: VERSION.into(), task: task.into(), job: URL_SAFE_NO_PAD.encode(json) }
    }
}

/// The flags of `trainer worker`. Shown, they are its command line.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// Version of the rows, as the driver writes them
    #[arg(long)]
    pub rows: u32,
    /// Version of the driver
    #[arg(long)]
    pub driver: String,
    /// What kind of job it is, for people who look at the machine's processes
    #[arg(long)]
    pub task: String,
    /// The job, as the driver encodes it
    #[arg(long)]
    pub job: String,
}

impl Arguments {
    /// The job.
    ///
    /// # Errors
    /// When the driver is another version, or nothing of the kind was encoded.
    pub fn job(&self) -> anyhow::Result<Job> {
        ensure!(
            self.rows == ROWS && self.driver == VERSION,
            "this worker is version {VERSION} with rows {ROWS}, the driver version {} with rows {}; install the same \
             trainer on both sides",
            self.driver.escape_debug(),
            self.rows
        );
        let json = URL_SAFE_NO_PAD.decode(&self.job).context("--job is not of a driver")?;
        serde_json::from_slice(&json).context("--job is not of a driver")
    }
}

impl fmt::Display for Arguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Arguments { rows, driver, task, job } = self;
        write!(f, "worker --rows {rows} --driver {driver} --task {task} --job={job}")
    }
}

#[cfg(test)]
mod tests {
    use clap::{Command, FromArgMatches};
    use flags::{BatchSize, Optimizer, Step};

    use super::*;
    use crate::round::local::tests::LOCAL;

    #[test]
    fn a_job_comes_back_from_its_command_line() {
        let local = Local { learning_rate: 0.1 + 0.2, step: Step::Libtorch, ..LOCAL };
        let full = Local { batch_size: BatchSize::Full, optimizer: Optimizer::Sgd, learning_rate: 1e-9, ..LOCAL };
        let weights = "0123456789abcdef".repeat(4);
        let train = |seed, round, local| Job::Train { weights: weights.clone(), seed, round, local };
        for job in [
            Job::Count,
            Job::Evaluate { weights: weights.clone() },
            train(u64::MAX, 7, local),
            train(0, 8, full),
            Job::Evaluate { weights: "\u{3ff}>>???~~\u{7ff}".into() },
        ] {
            let text = job.arguments().to_string();
            let matches = Arguments::augment_args(Command::new("worker")).get_matches_from(text.split(' '));
            assert_eq!(Arguments::from_arg_matches(&matches).unwrap().job().unwrap(), job);
            let is_plain = |c: char| c.is_ascii_alphanumeric() || " -_.=".contains(c);
            assert!(text.chars().all(is_plain), "{text}");
        }
    }

    #[test]
    fn what_no_driver_has_encoded_is_refused() {
        for job in ["", "e30", "?"] {
            let error = Arguments { job: job.into(), ..Job::Count.arguments() }.job().unwrap_err();
            assert_eq!(error.to_string(), "--job is not of a driver");
        }
    }
}
