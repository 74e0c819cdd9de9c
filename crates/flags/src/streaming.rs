//! What is streamed, and how fast.

use std::{fmt, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use dataset::Drift;
use serde::{Serialize, Serializer};

use crate::{number::at_least_one, path};

/// What is streamed, and how fast: sender and orchestrator.
#[derive(Args, Clone, Debug, Serialize)]
#[command(next_help_heading = "Streaming")]
#[serde(rename_all = "kebab-case")]
pub struct Streaming {
    /// Folder with the four IDX files, raw or .gz, or with one folder of them below it; or an .npz file like Keras' mnist.npz
    /// [default: $MNIST_DIR, else data/mnist]
    #[arg(long, value_name = "DIR|FILE", value_parser = path::parser())]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,
    /// Which dataset. `auto` takes any IDX files in --data; where there are none it downloads MNIST, and draws digits
    /// itself if that cannot be reached. `mnist` insists on MNIST. `generated` draws, and takes no --data
    #[arg(long, value_enum, default_value = "auto")]
    pub dataset: Dataset,
    /// Training samples to stream
    #[arg(long, value_name = "N", default_value = "20000", value_parser = at_least_one::<u64>)]
    pub samples: u64,
    /// The first sample's index in the dataset
    #[arg(long, value_name = "INDEX", default_value = "0")]
    pub offset: u64,
    /// Stream without an end, from --offset on: after the dataset's last sample comes its first again, as a new one, with the
    /// next number; drawn digits go on with new ones. It is over when the receiver is stopped, which then has a complete
    /// directory; the orchestrator stops it at the first Ctrl-C. A sender that is stopped can go on
    #[arg(long, conflicts_with = "samples")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub endless: bool,
    /// Samples per batch; the simulated latency is per batch
    #[arg(long, value_name = "N", default_value = "500", value_parser = at_least_one::<u32>)]
    pub samples_per_batch: u32,
    /// Simulated network latency before each batch, such as 50ms or 1s
    #[arg(long, value_name = "TIME", default_value = "50ms", value_parser = humantime::parse_duration)]
    #[serde(with = "humantime_serde")]
    pub batch_delay: Duration,
    /// What changes in the samples on the way, and from which index on: rotate:45@20000 (Rotated MNIST; @20000..30000 for by and
    /// by), swap-labels@20000 (0 with 1, 2 with 3, ...), permute@20000 (Permuted MNIST), digits:0-4@0..20000 (Split MNIST);
    /// several in a list with commas. The test set stays as it is
    #[arg(long, value_name = "CHANGES", default_value = "none")]
    #[serde(serialize_with = "as_text")]
    pub drift: Drift,
}

fn as_text<S: Serializer>(value: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Where samples come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the help text of --dataset says it")]
pub enum Dataset {
    Auto,
    Mnist,
    Generated,
}
