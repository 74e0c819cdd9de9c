//! How the model is trained, and measured.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::{
    local::Local,
    number::{at_least_one, share},
    path,
    strategy::Strategy,
};

/// How the model is trained: trainer and orchestrator.
#[derive(Args, Clone, Debug, Serialize)]
#[command(next_help_heading = "Training")]
#[serde(rename_all = "kebab-case")]
pub struct Training {
    /// Rounds: each broadcasts the global model, trains it on every partition, and averages. With --live this is ignored:
    /// there is a round for each slice
    #[arg(long, value_name = "N", default_value = "5", value_parser = at_least_one::<u32>)]
    pub rounds: u32,
    /// End before --rounds, after the first round whose test accuracy is at least this, such as 0.99. With --live this is
    /// ignored, too
    #[arg(long, value_name = "ACCURACY", value_parser = share)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<f64>,
    /// End before --rounds, after so many rounds in a row in which the test accuracy has not become better. With --live this is
    /// ignored, too
    #[arg(long, value_name = "N", value_parser = at_least_one::<u32>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<u32>,
    /// How a partition trains.
    #[command(flatten)]
    #[serde(flatten)]
    pub local: Local,
    /// Disjoint parts of the data that are trained in parallel [default: CPU cores]
    #[arg(long, value_name = "N", value_parser = at_least_one::<u32>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partitions: Option<u32>,
    /// Weight of a partition in the average: its samples, or the same for all
    #[arg(long, value_enum, default_value = "samples")]
    pub weighting: Weighting,
    /// How the updates of a round become the next global model: fedavg, fedavgm, fedadagrad, fedadam, fedyogi, diloco, median,
    /// trimmed-mean, krum or multi-krum; with hyper-parameters as in fedadam:eta=0.02,tau=0.001. docs/strategies.md explains
    /// them
    #[arg(long, value_name = "NAME[:PARAMETERS]", default_value = "fedavg")]
    pub strategy: Strategy,
    /// Seed of the initial weights, the partitioning and every shuffle: the same seed gives the same model, bit by bit
    #[arg(long, value_name = "N", default_value = "42")]
    pub seed: u64,
    /// Begin with the weights of this model instead of fresh ones: a .safetensors or .pth file, or a run folder
    #[arg(long, value_name = "FILE|RUN", value_parser = path::existing())]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<PathBuf>,
    /// When to measure accuracy on the received data as well; the test set is measured every round. With --live this is
    /// ignored: each slice is predicted before the model is trained on it, and never after
    #[arg(long, value_enum, default_value = "at-end")]
    pub received_accuracy: When,
    /// Test set to measure by: as --data; one of other data is taken, too [default: $MNIST_DIR, else data/mnist;
    /// data/generated for drawn digits]
    #[arg(long, value_name = "DIR", value_parser = path::parser())]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_data: Option<PathBuf>,
}

/// `--weighting`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the help text of --weighting says it")]
pub enum Weighting {
    Samples,
    Uniform,
}

/// `--received-accuracy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the values say it")]
pub enum When {
    AtEnd,
    EachRound,
}
