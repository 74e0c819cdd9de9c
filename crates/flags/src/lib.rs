//! The command lines of the four programs. A group of flags that two programs share stands here once; the doc comment of a
//! field is its help text.
//!
//! - [`layers`]: flag beats file beats preset beats default;
//! - [`address`] and [`path`]: what a flag's value may be;
//! - [`manual`]: completions for shells, and man pages.

#![forbid(unsafe_code)]

pub mod address;
pub mod layers;
pub mod manual;
pub mod path;

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use clap::{Args, ValueEnum, builder::RangedU64ValueParser};
use dataset::Drift;
use serde::{Deserialize, Serialize, Serializer};

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

/// The chunk directory: receiver, trainer and orchestrator.
#[derive(Args, Clone, Debug, Serialize)]
#[command(next_help_heading = "Chunk directory")]
#[serde(rename_all = "kebab-case")]
pub struct Directory {
    /// The chunk directory
    #[arg(long, value_name = "DIR", default_value = "data/streaming_input", value_parser = path::parser())]
    pub dir: PathBuf,
}

/// Whose samples they are: receiver and trainer.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[command(next_help_heading = "Chunk directory")]
#[serde(rename_all = "kebab-case")]
pub struct Identity {
    /// The run that the samples are for, any letters and digits. The receiver writes it down beside them, and a trainer
    /// takes only samples that were received for the same run. The orchestrator makes one up for each run
    #[arg(long, value_name = "ID", value_parser = run_id)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
}

/// How samples are cut into chunks: receiver and orchestrator.
#[derive(Args, Clone, Debug, Serialize)]
#[command(next_help_heading = "Chunk directory")]
#[serde(rename_all = "kebab-case")]
pub struct Chunking {
    /// Samples per chunk file
    #[arg(long, value_name = "N", default_value = "1000", value_parser = RangedU64ValueParser::<u32>::new().range(1..=100_000))]
    pub samples_per_chunk: u32,
}

/// How the model is trained: trainer and orchestrator.
#[derive(Args, Clone, Debug, Serialize)]
#[command(next_help_heading = "Training")]
#[serde(rename_all = "kebab-case")]
pub struct Training {
    /// Rounds: each broadcasts the global model, trains it on every partition, and averages. With --live this is ignored:
    /// there is a round for each slice
    #[arg(long, value_name = "N", default_value = "5", value_parser = at_least_one::<u32>)]
    pub rounds: u32,
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

impl Live {
    /// With every default written out, if the run is live.
    ///
    /// # Errors
    /// When it is not, and one of the other flags was given: a clause.
    pub fn settled(self) -> Result<Live, String> {
        let Live { live, samples_per_round, replay, fading_factor, drift_delta } = self;
        if live {
            return Ok(Live {
                live,
                samples_per_round: samples_per_round.or(Some(2000)),
                replay: replay.or(Some(Replay::None)),
                fading_factor: fading_factor.or(Some(0.999)),
                drift_delta: drift_delta.or(Some(0.002)),
            });
        }
        let given = [
            ("samples-per-round", samples_per_round.is_some()),
            ("replay", replay.is_some()),
            ("fading-factor", fading_factor.is_some()),
            ("drift-delta", drift_delta.is_some()),
        ];
        match given.into_iter().find(|(_, is_given)| *is_given) {
            Some((name, _)) => Err(format!("--{name} is for live runs; give --live, too")),
            None => Ok(self),
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
    #[arg(long, value_name = "RATE", default_value = "0.001", value_parser = learning_rate)]
    pub learning_rate: f64,
    /// Optimizer; it starts afresh in every partition and round
    #[arg(long, value_enum, default_value = "adam")]
    pub optimizer: Optimizer,
    /// What computes a training step: our own, three times as fast and with the same bits on every processor, or libtorch
    #[arg(long, value_enum, default_value = "native")]
    pub step: Step,
}

/// Where partitions train: trainer and orchestrator.
#[derive(Args, Clone, Debug, Serialize)]
#[command(next_help_heading = "Engine")]
#[serde(rename_all = "kebab-case")]
pub struct Engine {
    /// Where partitions train: on the threads of the trainer, or on the executors of an Apache Spark cluster. The model
    /// is the same, bit by bit
    #[arg(long, value_enum, default_value = "rayon")]
    pub engine: EngineName,
    #[command(flatten)]
    #[serde(flatten)]
    /// The cluster.
    pub spark: Spark,
}

/// `--engine`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "known by these names")]
pub enum EngineName {
    Rayon,
    Spark,
}

/// An Apache Spark cluster: trainer and orchestrator.
#[derive(Args, Clone, Debug, Serialize)]
#[command(next_help_heading = "Engine")]
#[serde(rename_all = "kebab-case")]
pub struct Spark {
    /// Spark Connect server, such as sc://host:15002 [default: $SPARK_REMOTE; the orchestrator starts one]. Its token, if
    /// it wants one, is read from the environment variable SPARK_CONNECT_AUTHENTICATE_TOKEN
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spark_remote: Option<String>,
    /// The chunk directory as Spark's executors see it, any path or URI that they can read [default: --dir]
    #[arg(long, value_name = "URI")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spark_dir: Option<String>,
    /// Shell command that starts this trainer on an executor, such as /opt/tributary/trainer. Without it, the trainer and
    /// its libtorch (some 480 MB) are shipped to the executors once a run; a Spark in local mode uses them where they are
    #[arg(long, value_name = "COMMAND")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker_command: Option<String>,
    /// How long Spark may take to finish another task before the run is given up; also, how long a task may take on an
    /// executor
    #[arg(long, value_name = "TIME", default_value = "10min", value_parser = humantime::parse_duration)]
    #[serde(with = "humantime_serde")]
    pub spark_patience: Duration,
}

/// Whether `--spark-remote` or `$SPARK_REMOTE` can be used. What is wrong is said without repeating secrets.
///
/// # Errors
/// When it is no address of a Spark Connect server, or says what belongs elsewhere.
pub fn check_spark_remote(remote: &str) -> Result<(), String> {
    if remote.contains("token=") {
        return Err(
            "a token in --spark-remote can be seen by every user of this machine; put it into the environment \
                    variable SPARK_CONNECT_AUTHENTICATE_TOKEN"
                .into(),
        );
    }
    // The client would tell only some of its requests to be this user's.
    if remote.contains("user_id=") {
        return Err("--spark-remote with a user_id is not supported".into());
    }
    if !remote.starts_with("sc://") {
        let remote = remote.escape_debug();
        return Err(format!("--spark-remote `{remote}` is no address of a Spark server, such as sc://host:15002"));
    }
    Ok(())
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

/// How a program talks to the program that started it.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Output")]
pub struct Output {
    /// Report events on stdout, one JSON object a line, instead of text
    #[arg(long)]
    pub json: bool,
    /// Stop when stdin ends: a parent that holds it open leaves no child behind. A byte on it is as good as Ctrl-C
    #[arg(long)]
    pub lifeline: bool,
}

/// A page to watch runs on: orchestrator and `trainer page`. It is of this start of the program, and kept nowhere.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Page")]
pub struct Page {
    /// Serve a page to watch the run on, and to draw digits for its model: at this address, else at a free port of 127.0.0.1.
    /// What opens it is printed. Port 0 picks a free one
    #[arg(long, value_name = "HOST:PORT", num_args = 0..=1, default_missing_value = Page::ADDRESS, value_parser = address::to_listen)]
    pub page: Option<String>,
    /// File with the token that opens the page, made if it is not there; without it there is a new one each time. Needed
    /// where other machines reach the page
    #[arg(long, value_name = "FILE", value_parser = path::parser())]
    pub page_token: Option<PathBuf>,
    /// How long to serve the page when the run is over [default: until Ctrl-C; of an orchestrator without a terminal, not at
    /// all]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub page_linger: Option<Duration>,
}

impl Page {
    /// Where it is, if nobody says so.
    pub const ADDRESS: &str = "127.0.0.1:0";
}

/// Where the receiver listens.
#[derive(Args, Clone, Debug)]
pub struct Listen {
    /// Where to listen; port 0 picks a free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9999", value_parser = address::to_listen)]
    pub listen: String,
}

/// What receiver and sender must share: receiver, sender and orchestrator.
#[derive(Args, Clone, Debug, Serialize)]
#[command(next_help_heading = "Security")]
#[serde(rename_all = "kebab-case")]
pub struct Security {
    /// File with the key that receiver and senders share. The first receiver makes it; copy it to senders elsewhere
    #[arg(long, value_name = "FILE", default_value = "data/tributary.key", value_parser = path::parser())]
    pub key: PathBuf,
}

fn at_least_one<T: FromStr + PartialOrd + From<u8>>(text: &str) -> Result<T, String> {
    match text.parse() {
        Ok(number) if number >= T::from(1) => Ok(number),
        _ => Err("give a whole number, at least 1".into()),
    }
}

fn run_id(text: &str) -> Result<String, String> {
    match (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        true => Ok(text.into()),
        false => Err("give 1 to 64 letters and digits".into()),
    }
}

fn batch_size(text: &str) -> Result<BatchSize, String> {
    match text.parse::<u32>() {
        _ if text == "full" => Ok(BatchSize::Full),
        Ok(samples) if samples > 0 => Ok(BatchSize::Samples(samples)),
        _ => Err("give a number of samples, at least 1, or `full`".into()),
    }
}

fn below_one(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number < 1.0 => Ok(number),
        _ => Err("give a number between 0 and 1, such as 0.5".into()),
    }
}

fn learning_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate.is_finite() => Ok(rate),
        _ => Err("give a positive number, such as 0.001".into()),
    }
}
