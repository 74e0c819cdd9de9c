//! How a partition trains.

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::number::{at_least_one, positive};

/// How a partition trains in a round. Each field is a number or a word that decides the bits of the model: flags build this
/// value, a checkpoint compares it field by field, and a worker receives it whole.
///
/// Every field is always written, also at its default: the orchestrator hands them to a trainer that has the run's own
/// `config.toml` below its flags.
#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[command(next_help_heading = "Training")]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Local {
    /// Passes over its partition that each partition makes in a round
    #[arg(long, value_name = "N", default_value = "1", value_parser = at_least_one::<u32>)]
    pub local_epochs: u32,
    /// Samples per optimizer step, or `full` for one step per pass
    #[arg(long, value_name = "N|full", default_value = "32", value_parser = batch_size)]
    pub batch_size: BatchSize,
    /// Learning rate
    #[arg(long, value_name = "RATE", default_value = "0.001", value_parser = positive)]
    pub learning_rate: f64,
    /// Optimizer; it starts afresh in every partition and round
    #[arg(long, value_enum, default_value = "adam")]
    pub optimizer: Optimizer,
    /// What computes a training step: our own, three times as fast and with the same bits on every processor, or libtorch
    #[arg(long, value_enum, default_value = "native")]
    pub step: Step,
}

/// `--batch-size`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BatchSize {
    /// The whole partition in one step.
    Full,
    /// So many samples a step; the last step of a pass may have fewer.
    #[serde(untagged)]
    Samples(u32),
}

/// `--optimizer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "known by these names")]
pub enum Optimizer {
    Adam,
    Sgd,
}

/// `--step`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the help text of --step says it")]
pub enum Step {
    Native,
    Libtorch,
}

fn batch_size(text: &str) -> Result<BatchSize, String> {
    match text.parse::<u32>() {
        _ if text == "full" => Ok(BatchSize::Full),
        Ok(samples) if samples > 0 => Ok(BatchSize::Samples(samples)),
        _ => Err("give a number of samples, at least 1, or `full`".into()),
    }
}
