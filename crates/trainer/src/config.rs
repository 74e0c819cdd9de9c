//! A configuration is everything that one training run is told, as plain values: flags become one of these once, and
//! after that no code sees a raw flag. [`Config::decisive`] is the part that decides the bits of the model; it is
//! stored in every checkpoint, so that a run is never resumed under another one.

use std::{num::NonZero, path::PathBuf, thread, time::Duration};

use anyhow::Context;
use cli::flags::{self, BatchSize, Directory, EngineName, Optimizer, Precision, Training, Weighting, When};

/// One training run.
#[derive(Clone, Debug)]
pub struct Config {
    /// The chunk directory.
    pub dir: PathBuf,
    /// The run that its samples must have been received for, if any.
    pub run: Option<String>,
    /// How long to wait until it is complete.
    pub wait: Duration,
    /// The last round to train.
    pub rounds: u32,
    /// Disjoint parts of the data.
    pub partitions: u32,
    /// How much each of them counts in the average.
    pub weighting: Weighting,
    /// How each of them trains.
    pub local: Local,
    /// A model to begin with, instead of fresh weights.
    pub init: Option<PathBuf>,
    /// When to measure accuracy on the received data.
    pub received_accuracy: When,
    /// The test set's directory, if the user named one.
    pub test_data: Option<PathBuf>,
    /// Where partitions train.
    pub engine: EngineChoice,
    /// Where results go.
    pub folder: Folder,
    /// Report events instead of text.
    pub json: bool,
    /// All of this as flags, for `config.toml`.
    pub effective: toml::Table,
}

/// What decides a local update, beside the global model and the partition's samples.
#[derive(Clone, Debug)]
pub struct Local {
    /// Seed of every shuffle.
    pub seed: u64,
    /// Passes over the partition in a round.
    pub local_epochs: u32,
    /// Samples per step.
    pub batch_size: BatchSize,
    /// Learning rate.
    pub learning_rate: f64,
    /// Optimizer, fresh in every partition and round.
    pub optimizer: Optimizer,
    /// What the passes compute in.
    pub precision: Precision,
}

/// Where partitions train.
#[derive(Clone, Debug)]
pub enum EngineChoice {
    /// On the threads of this process.
    Rayon,
    /// On the executors of this cluster.
    Spark(flags::Spark),
}

/// Where results go.
#[derive(Clone, Debug)]
pub enum Folder {
    /// A new run folder: this one, or `runs/<time>`.
    New(Option<PathBuf>),
    /// An earlier run's folder, to go on from its newest checkpoint.
    Resume(PathBuf),
}

impl Config {
    /// The configuration that these flags describe. Without `--partitions` there are as many as CPU cores.
    ///
    /// # Errors
    /// When a path cannot be written into `config.toml` because it is not Unicode.
    pub fn new(
        directory: Directory,
        mut training: Training,
        engine: flags::Engine,
        folder: Folder,
    ) -> anyhow::Result<Self> {
        let cores = || thread::available_parallelism().map_or(1, NonZero::get) as u32;
        let partitions = *training.partitions.get_or_insert_with(cores);
        let effective =
            effective(&directory, &training, &engine).context("failed to represent the flags in `config.toml`")?;
        Ok(Self {
            dir: directory.dir,
            run: None,
            wait: Duration::ZERO,
            rounds: training.rounds,
            partitions,
            weighting: training.weighting,
            local: Local {
                seed: training.seed,
                local_epochs: training.local_epochs,
                batch_size: training.batch_size,
                learning_rate: training.learning_rate,
                optimizer: training.optimizer,
                precision: training.precision,
            },
            init: training.init,
            received_accuracy: training.received_accuracy,
            test_data: training.test_data,
            engine: match engine.engine {
                EngineName::Rayon => EngineChoice::Rayon,
                EngineName::Spark => EngineChoice::Spark(engine.spark),
            },
            folder,
            json: false,
            effective,
        })
    }

    /// Whether accuracy on the received data is measured after this round.
    pub fn measures_received(&self, round: u32) -> bool {
        match self.received_accuracy {
            When::EachRound => true,
            When::AtEnd => round == self.rounds,
        }
    }

    /// The flags that, with the data and the weights to begin with, decide every bit of the model after a given round, and
    /// their values. `rounds` is not among them: a run may be resumed with more.
    pub fn decisive(&self) -> Vec<(String, String)> {
        let names = [
            "seed",
            "partitions",
            "local-epochs",
            "batch-size",
            "learning-rate",
            "optimizer",
            "precision",
            "weighting",
        ];
        let value = |name: &str| match self.effective.get(name) {
            Some(toml::Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => String::new(),
        };
        names.map(|name| (name.to_owned(), value(name))).into()
    }
}

fn effective(
    directory: &Directory,
    training: &Training,
    engine: &flags::Engine,
) -> Result<toml::Table, toml::ser::Error> {
    let mut table = toml::Table::try_from(directory)?;
    table.extend(toml::Table::try_from(engine)?);
    // TOML's integers end at i64::MAX, a seed at u64::MAX; as text any seed fits and is read back all the same.
    table.extend(toml::Table::try_from(Training { seed: 0, ..training.clone() })?);
    let seed = i64::try_from(training.seed).map_or(toml::Value::String(training.seed.to_string()), Into::into);
    table.insert("seed".into(), seed);
    Ok(table)
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command, FromArgMatches};

    use super::*;

    fn config(flags: &[&str]) -> Config {
        let command =
            flags::Engine::augment_args(Training::augment_args(Directory::augment_args(Command::new("trainer"))));
        let matches = command.get_matches_from([&["trainer"], flags].concat());
        let directory = Directory::from_arg_matches(&matches).unwrap();
        let engine = flags::Engine::from_arg_matches(&matches).unwrap();
        Config::new(directory, Training::from_arg_matches(&matches).unwrap(), engine, Folder::New(None)).unwrap()
    }

    #[test]
    fn what_decides_the_bits_is_told_from_what_does_not() {
        let base = config(&["--partitions", "2"]).decisive();
        for (flag, value, decides) in [
            ("--seed", "7", true),
            ("--seed", "18446744073709551615", true),
            ("--local-epochs", "2", true),
            ("--batch-size", "full", true),
            ("--learning-rate", "1e-4", true),
            ("--optimizer", "sgd", true),
            ("--precision", "bf16", true),
            ("--weighting", "uniform", true),
            ("--rounds", "9", false),
            ("--dir", "elsewhere", false),
            ("--engine", "spark", false),
            ("--test-data", "elsewhere", false),
            ("--received-accuracy", "each-round", false),
        ] {
            let other = config(&["--partitions", "2", flag, value]).decisive();
            assert_eq!(other != base, decides, "{flag} {value}");
        }
        assert_ne!(config(&["--partitions", "3"]).decisive(), base);
        let text: Vec<String> = base.iter().map(|(name, value)| format!("{name} {value}")).collect();
        let expect = "seed 42, partitions 2, local-epochs 1, batch-size 32, learning-rate 0.001, optimizer adam, \
                      precision f32, weighting samples";
        assert_eq!(text.join(", "), expect);
    }

    #[test]
    fn the_number_of_partitions_is_written_down_even_if_it_was_not_given() {
        let config = config(&[]);
        assert_eq!(config.effective["partitions"].as_integer(), Some(config.partitions.into()));
    }
}
