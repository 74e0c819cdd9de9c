//! A configuration is everything that one training run is told: flags become one of these once. [`Config::decisive`] is the part that decides the bits of the model; it is
//! stored in every checkpoint, so that a run is never resumed under another one.

use std::{num::NonZero, path::PathBuf, thread, time::Duration};

use anyhow::Context;
use flags::{Directory, Live, LiveTraining, Local, Strategy, Training};
use model::{Architecture, SIMPLE_CNN};
use process::exit::{Code, OrExit};

/// The network that is trained. There is one.
pub const ARCHITECTURE: &Architecture = &SIMPLE_CNN;

/// What decides the rounds of a live run and their figures, beside what decides those of any run.
const LIVE: [&str; 6] = ["live", "samples-per-round", "replay", "offset", "fading-factor", "drift-delta"];

/// One training run.
#[derive(Clone, Debug)]
pub struct Config {
    /// The chunk directory.
    pub dir: PathBuf,
    /// The run that its samples must have been received for, if any.
    pub run: Option<String>,
    /// How long to wait until it is complete.
    pub wait: Duration,
    /// How to train, and how to measure what comes of it.
    pub training: Training,
    /// Disjoint parts of the data.
    pub partitions: u32,
    /// How to train while data arrives, if that is what to do.
    pub live: Option<LiveTraining>,
    /// Where the first slice of a live run begins.
    pub offset: u64,
    /// Where partitions train.
    pub engine: flags::Engine,
    /// Where results go.
    pub folder: Folder,
    /// Report events instead of text.
    pub json: bool,
    /// All of this as flags, for `config.toml`.
    pub effective: toml::Table,
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
    /// When flags do not fit together, or a path cannot be written into `config.toml` because it is not Unicode.
    pub fn new(
        directory: Directory,
        mut training: Training,
        live: Live,
        offset: u64,
        engine: flags::Engine,
        folder: Folder,
    ) -> anyhow::Result<Self> {
        let live = live.settled().map_err(anyhow::Error::msg).or_exit(Code::Usage)?;
        let cores = || thread::available_parallelism().map_or(1, NonZero::get) as u32;
        let partitions = *training.partitions.get_or_insert_with(cores);
        training.strategy.check(partitions).map_err(anyhow::Error::msg).or_exit(Code::Usage)?;
        let effective = effective(&directory, &training, (live, offset), &engine)
            .context("failed to represent the flags in `config.toml`")?;
        Ok(Self {
            dir: directory.dir,
            run: None,
            wait: Duration::ZERO,
            training,
            partitions,
            live,
            offset,
            engine,
            folder,
            json: false,
            effective,
        })
    }

    /// The value of a flag that always has one, as text.
    pub(crate) fn flag(&self, name: &str) -> String {
        as_typed(&self.effective[name])
    }

    /// `, strategy median`; nothing of the plain average, which everybody expects.
    pub(crate) fn strategy_clause(&self) -> String {
        match self.training.strategy {
            Strategy::FedAvg => String::new(),
            strategy => format!(", strategy {strategy}"),
        }
    }

    /// The flags that, with the data and the weights to begin with, decide every bit of the model after a given round, and
    /// their values. `rounds` is not among them: a run may be resumed with more.
    pub fn decisive(&self) -> Vec<(String, String)> {
        let own = |name: &str| (name.to_owned(), self.flag(name));
        [own("seed"), own("partitions")]
            .into_iter()
            .chain(fields(&self.training.local))
            .chain([own("weighting")])
            // Before there were others, none was named.
            .chain((self.training.strategy != Strategy::FedAvg).then(|| own("strategy")))
            .chain(self.live.map(|_| LIVE.map(own)).into_iter().flatten())
            .collect()
    }
}

/// The value of a flag in `config.toml`, as it would be typed.
pub(crate) fn as_typed(value: &toml::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Name and value of each field, in the order of their declaration.
fn fields(local: &Local) -> Vec<(String, String)> {
    let text = toml::to_string(local).expect("its fields are numbers and words");
    let fields = text.lines().filter_map(|line| line.split_once(" = "));
    fields.map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned())).collect()
}

fn effective(
    directory: &Directory,
    training: &Training,
    (live, offset): (Option<LiveTraining>, u64),
    engine: &flags::Engine,
) -> Result<toml::Table, toml::ser::Error> {
    let mut table = toml::Table::try_from(directory)?;
    table.extend(toml::Table::try_from(engine)?);
    if let Some(live) = live {
        table.extend(toml::Table::try_from(Live::from(Some(live)))?);
        table.insert("offset".into(), toml::Value::try_from(offset)?);
    }
    // TOML's integers end at i64::MAX, a seed at u64::MAX; as text any seed fits and is read back all the same.
    table.extend(toml::Table::try_from(Training { seed: 0, ..training.clone() })?);
    let seed = i64::try_from(training.seed).map_or(toml::Value::String(training.seed.to_string()), Into::into);
    table.insert("seed".into(), seed);
    Ok(table)
}

#[cfg(test)]
pub(crate) mod tests {
    use clap::{Args, Command, FromArgMatches};

    use super::*;

    pub(crate) fn config(flags: &[&str]) -> Config {
        let command =
            flags::Engine::augment_args(Training::augment_args(Directory::augment_args(Command::new("trainer"))));
        let command = Live::augment_args(command);
        let matches = command.get_matches_from([&["trainer"], flags].concat());
        let directory = Directory::from_arg_matches(&matches).unwrap();
        let engine = flags::Engine::from_arg_matches(&matches).unwrap();
        let (training, live) =
            (Training::from_arg_matches(&matches).unwrap(), Live::from_arg_matches(&matches).unwrap());
        Config::new(directory, training, live, 0, engine, Folder::New(None)).unwrap()
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
            ("--step", "libtorch", true),
            ("--weighting", "uniform", true),
            ("--strategy", "median", true),
            ("--strategy", "fedavg", false),
            ("--rounds", "9", false),
            ("--until", "0.9", false),
            ("--patience", "3", false),
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
                      step native, weighting samples";
        assert_eq!(text.join(", "), expect);
    }

    #[test]
    fn a_learning_rate_is_written_as_it_always_was() {
        for rate in [1e-10, 1e-4, 0.1 + 0.2, 1.0, 123_456_789.0, 1e20] {
            let decisive = config(&["--learning-rate", &rate.to_string()]).decisive();
            let expect = ("learning-rate".to_owned(), toml::Value::Float(rate).to_string());
            assert!(decisive.contains(&expect), "{decisive:?}");
        }
    }

    #[test]
    fn the_number_of_partitions_is_written_down_even_if_it_was_not_given() {
        let config = config(&[]);
        assert_eq!(config.effective["partitions"].as_integer(), Some(config.partitions.into()));
    }
}
