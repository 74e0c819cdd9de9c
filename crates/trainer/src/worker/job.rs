//! A job is what the driver asks of the workers: to train, to evaluate or to count their partitions. It travels as the
//! worker's command line, which consists of names and numbers only, so that no shell and no SQL can misread it.

use clap::Args;
use cli::flags::{BatchSize, Optimizer, Precision};

use crate::config::Local;

/// Version of what driver and worker exchange: rows, their order, and the worker's command line.
pub const ROWS: u32 = 3;

/// The flags of `trainer worker`.
#[derive(Args, Clone, Debug)]
pub struct Job {
    /// Version of the rows, as the driver writes them
    #[arg(long)]
    pub rows: u32,
    /// Version of the driver
    #[arg(long)]
    pub driver: String,
    /// SHA-256 of the weights to train or evaluate; without it, samples are counted
    #[arg(long)]
    pub weights: Option<String>,
    /// The round to train; without it, the weights are evaluated
    #[arg(long, requires = "weights")]
    pub round: Option<u32>,
    /// Seed of every shuffle
    #[arg(long, default_value = "0")]
    pub seed: u64,
    /// Passes over a partition
    #[arg(long, default_value = "1")]
    pub local_epochs: u32,
    /// Samples per optimizer step; 0 is the whole partition
    #[arg(long, default_value = "0")]
    pub batch_size: u32,
    /// Learning rate
    #[arg(long, default_value = "0")]
    pub learning_rate: f64,
    /// Optimizer
    #[arg(long, value_enum, default_value = "sgd")]
    pub optimizer: Optimizer,
    /// What to compute in
    #[arg(long, value_enum, default_value = "f32")]
    pub precision: Precision,
}

impl Job {
    /// Counts samples and digests them.
    pub fn count() -> Job {
        Job {
            rows: ROWS,
            driver: env!("CARGO_PKG_VERSION").into(),
            weights: None,
            round: None,
            seed: 0,
            local_epochs: 1,
            batch_size: 0,
            learning_rate: 0.0,
            optimizer: Optimizer::Sgd,
            precision: Precision::F32,
        }
    }

    /// Evaluates the weights with this SHA-256.
    pub fn evaluate(weights: String) -> Job {
        Job { weights: Some(weights), ..Job::count() }
    }

    /// Trains the weights with this SHA-256 in `round`.
    pub fn train(weights: String, round: u32, local: &Local) -> Job {
        let batch_size = match local.batch_size {
            BatchSize::Full => 0,
            BatchSize::Samples(count) => count,
        };
        let Local { seed, local_epochs, learning_rate, optimizer, precision, .. } = *local;
        let job = Job { seed, local_epochs, batch_size, learning_rate, optimizer, precision, ..Job::evaluate(weights) };
        Job { round: Some(round), ..job }
    }

    /// How to train.
    pub fn local(&self) -> Local {
        let batch_size = match self.batch_size {
            0 => BatchSize::Full,
            count => BatchSize::Samples(count),
        };
        let Job { seed, local_epochs, learning_rate, optimizer, precision, .. } = *self;
        Local { seed, local_epochs, batch_size, learning_rate, optimizer, precision }
    }

    /// The command line that is read as this job.
    pub fn arguments(&self) -> String {
        let Job { rows, driver, .. } = self;
        let mut arguments = format!("worker --rows {rows} --driver {driver}");
        if let Some(weights) = &self.weights {
            arguments += &format!(" --weights {weights}");
        }
        if let Some(round) = self.round {
            let Job { seed, local_epochs, batch_size, learning_rate, .. } = self;
            let optimizer = match self.optimizer {
                Optimizer::Adam => "adam",
                Optimizer::Sgd => "sgd",
            };
            let precision = match self.precision {
                Precision::F32 => "f32",
                Precision::Bf16 => "bf16",
            };
            arguments += &format!(
                " --round {round} --seed {seed} --local-epochs {local_epochs} --batch-size {batch_size} \
                 --learning-rate {learning_rate} --optimizer {optimizer} --precision {precision}"
            );
        }
        arguments
    }
}

#[cfg(test)]
mod tests {
    use clap::{Command, FromArgMatches};

    use super::*;

    #[test]
    fn a_job_comes_back_from_its_command_line() {
        let local = Local {
            seed: u64::MAX,
            local_epochs: 3,
            batch_size: BatchSize::Samples(16),
            learning_rate: 0.1 + 0.2,
            optimizer: Optimizer::Adam,
            precision: Precision::Bf16,
        };
        let full =
            Local { batch_size: BatchSize::Full, optimizer: Optimizer::Sgd, learning_rate: 1e-9, ..local.clone() };
        let full = Local { precision: Precision::F32, ..full };
        let sha256 = || "0123456789abcdef".repeat(4);
        for job in
            [Job::count(), Job::evaluate(sha256()), Job::train(sha256(), 7, &local), Job::train(sha256(), 8, &full)]
        {
            let text = job.arguments();
            let matches = Job::augment_args(Command::new("worker")).get_matches_from(text.split(' '));
            let read = Job::from_arg_matches(&matches).unwrap();
            assert_eq!(format!("{read:?}"), format!("{job:?}"));
            assert_eq!(format!("{:?}", read.local()), format!("{:?}", job.local()));
            let is_plain = |c: char| c.is_ascii_alphanumeric() || " -.".contains(c);
            assert!(text.chars().all(is_plain), "{text}");
        }
    }
}
