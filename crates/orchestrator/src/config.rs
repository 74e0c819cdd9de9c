//! What to run: the flags of the programs that are started, and a few of our own, over configuration files and presets.

pub(crate) mod file;
mod preset;

use std::{ffi::OsString, path::PathBuf, thread};

use clap::{Arg, Parser, builder::RangedU64ValueParser};
use flags::{
    Chunking, Dataset, Directory, Engine, Identity, Live, Page, Security, Streaming, Training, address,
    layers::{Error, Layer, resolve},
    path,
};
use manifest::StreamEntry;
use sample::{Extent, Share};
use serde::Serialize;
use setup::doctor::Plan;
use terminal::Shown;

pub use self::{file::parse_layer, preset::Preset};

/// A configuration: the flags of a run.
#[derive(Parser, Clone, Debug, Serialize)]
#[command(name = "orchestrator", mut_args(needs_page))]
#[serde(rename_all = "kebab-case")]
pub struct Config {
    /// What is streamed, and how fast.
    #[command(flatten)]
    #[serde(flatten)]
    pub streaming: Streaming,
    /// The chunk directory.
    #[command(flatten)]
    #[serde(flatten)]
    pub directory: Directory,
    /// What receiver and sender must share.
    #[command(flatten)]
    #[serde(flatten)]
    pub security: Security,
    /// How samples are cut into chunks.
    #[command(flatten)]
    #[serde(flatten)]
    pub chunking: Chunking,
    /// How the model is trained.
    #[command(flatten)]
    #[serde(flatten)]
    pub training: Training,
    /// Whether it is trained while data arrives.
    #[command(flatten)]
    #[serde(flatten)]
    pub live: Live,
    /// Where it is trained.
    #[command(flatten)]
    #[serde(flatten)]
    pub engine: Engine,

    /// Which run it is; each has its own.
    #[arg(skip)]
    #[serde(skip)]
    pub identity: Identity,

    /// Sender processes, each with its share of the samples
    #[arg(long, value_name = "N", default_value = "1", help_heading = "Run", value_parser = RangedU64ValueParser::<u32>::new().range(1..=256))]
    pub senders: u32,
    /// Where the receiver listens; port 0 picks a free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:0", help_heading = "Run", value_parser = address::to_listen)]
    pub listen: String,
    /// Where the results go [default: a new folder in runs, named after the time]
    #[arg(long, value_name = "DIR", help_heading = "Run", conflicts_with = "resume", value_parser = path::parser())]
    #[serde(skip)]
    pub run_dir: Option<PathBuf>,
    /// Continue a run that was stopped, with its configuration [default: runs/latest]
    #[arg(long, value_name = "RUN_DIR", num_args = 0..=1, default_missing_value = run_folder::LATEST, help_heading = "Run", conflicts_with_all = ["config", "preset"], value_parser = path::parser())]
    #[serde(skip)]
    pub resume: Option<PathBuf>,
    /// A named set of values; flags and --config win over it
    #[arg(long, value_enum, help_heading = "Run")]
    #[serde(skip)]
    pub preset: Option<Preset>,
    /// Print only warnings, errors and the summary
    #[arg(long, help_heading = "Output", conflicts_with = "json")]
    #[serde(skip)]
    pub quiet: bool,
    /// Report the events of all programs on stdout, one JSON object a line, with the program's name, instead of text;
    /// docs/events.md explains them
    #[arg(long, help_heading = "Output")]
    #[serde(skip)]
    pub json: bool,
    /// A file with values, `key = value`, where the keys are these flags; flags win over it
    #[arg(long, value_name = "FILE.toml", help_heading = "Run", value_parser = path::parser())]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// Where it is to be watched.
    #[command(flatten)]
    #[serde(skip)]
    pub page: Page,
}

impl Config {
    /// Parses `arguments` (the program's name first). A flag beats the `--config` file or the resumed run, which beats
    /// the preset, which beats the default.
    ///
    /// # Errors
    /// For wrong flags, files that cannot be read, and values that do not fit together.
    pub fn load(arguments: &[OsString]) -> Result<Config, Error> {
        Config::load_with_layers(arguments).map(|(config, _)| config)
    }

    /// What the doctor is asked about.
    pub fn plan(&self) -> Plan {
        Plan {
            streaming: self.streaming.clone(),
            training: self.training.clone(),
            live: self.live,
            engine: self.engine.clone(),
            listen: self.listen.clone(),
            dir: self.directory.dir.clone(),
            run_dir: self.run_dir.clone().unwrap_or_else(|| run_folder::RUNS.into()),
        }
    }

    /// [`Config::load`], and the layers that the values below the flags come from, the strongest first.
    pub(crate) fn load_with_layers(arguments: &[OsString]) -> Result<(Config, Vec<Layer>), Error> {
        let typed: Config = resolve(arguments, &[])?;
        let mut layers = Vec::new();
        let file = typed.config.clone().or_else(|| typed.resume.as_ref().map(|run| run.join(run_folder::CONFIG)));
        if let Some(path) = &file {
            layers.push(file::read_layer(path, typed.resume.is_some())?);
        }
        let preset = match typed.preset {
            Some(preset) => Some(preset),
            None => resolve::<Config>(arguments, &layers)?.preset, // The file may name one.
        };
        if let Some((name, values)) = preset.map(Preset::layer) {
            layers.push(parse_layer(name, values)?);
        }
        let mut config: Config = resolve(arguments, &layers)?;
        let is_endless = config.streaming.endless;
        if u64::from(config.senders) > config.streaming.samples && !is_endless {
            return Err(Error::Layer(format!(
                "--senders {} is more than --samples {}; every sender needs a sample",
                config.senders, config.streaming.samples
            )));
        }
        if let Some(remote) = &config.engine.spark.spark_remote {
            flags::check_spark_remote(remote).map_err(Error::Layer)?;
        }
        // Written out, so that the run's configuration file says what happened on this machine.
        let cores = thread::available_parallelism().map_or(1, |cores| cores.get().try_into().unwrap_or(u32::MAX));
        let partitions = *config.training.partitions.get_or_insert(cores);
        config.training.strategy.check(partitions).map_err(Error::Layer)?;
        config.live = config.live.settled().map_err(Error::Layer)?.into();
        if let Some(slice) =
            config.live.samples_per_round.filter(|slice| *slice > config.streaming.samples && !is_endless)
        {
            let samples = config.streaming.samples;
            return Err(Error::Layer(format!(
                "--samples-per-round {slice} is more than --samples {samples}; no round would ever begin"
            )));
        }
        if config.training.test_data.is_none() {
            config.training.test_data.clone_from(&config.streaming.data);
        }
        Ok((config, layers))
    }

    /// What of the run is shown.
    pub fn shown(&self) -> Shown {
        match (self.json, self.quiet) {
            (true, _) => Shown::Events,
            (false, true) => Shown::Quiet,
            (false, false) => Shown::All,
        }
    }

    /// The senders' shares of the samples, one stream for each, as even as can be. A stream is named as its sender. Where
    /// training does not wait for the last sample, or there is none, the senders deal them out in turn; otherwise each share
    /// is in one piece.
    pub(crate) fn shares(&self) -> impl Iterator<Item = StreamEntry> {
        let count = u64::from(self.senders);
        let Streaming { samples, offset, samples_per_batch, endless, .. } = self.streaming;
        let start = move |index: u64| offset.saturating_add(samples / count * index + index.min(samples % count));
        let extent = move |index| match self.dealt(index) {
            Some(share) if endless => share.endless(offset, samples_per_batch.into()),
            None if endless => Extent::endless(offset),
            Some(share) => share.extent(start(0)..start(count), samples_per_batch.into()),
            None => Extent::range(start(index)..start(index + 1)),
        };
        (0..count).map(move |index| StreamEntry::new(format!("sender-{index}"), extent(index)))
    }

    /// The share that a sender is told to send, if the samples are dealt out in turn.
    pub(crate) fn dealt(&self, index: u64) -> Option<Share> {
        let deals = (self.live.live || self.streaming.endless) && self.senders > 1;
        Share::new(index, self.senders.into()).filter(|_| deals)
    }

    /// With the data provided in `dir`, for training and testing, so that no child has to look for it again.
    #[must_use]
    pub fn with_data(&self, dir: PathBuf) -> Config {
        let mut config = self.clone();
        config.training.test_data.get_or_insert_with(|| dir.clone());
        config.streaming.data = Some(dir);
        config.streaming.dataset = Dataset::Auto; // It is what was asked for; `auto` takes it as it is.
        config
    }
}

/// Without the page, what is said of it says nothing.
fn needs_page(flag: Arg) -> Arg {
    if flag.get_id().as_str().starts_with("page_") { flag.requires("page") } else { flag }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;

    use super::*;

    pub(crate) fn arguments(flags: &[&str]) -> Vec<OsString> {
        ["orchestrator"].iter().chain(flags).map(Into::into).collect()
    }

    pub(crate) fn config(flags: &[&str]) -> Config {
        Config::load(&arguments(flags)).unwrap()
    }

    fn load(flags: &[&str]) -> Result<Config, String> {
        Config::load(&arguments(flags)).map_err(|error| match error {
            Error::Flags(error) => error.to_string().lines().next().unwrap_or_default().to_owned(),
            Error::Layer(text) => text,
        })
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn the_test_set_is_where_the_data_is_and_provided_data_is_for_all_unless_told_otherwise() {
        let test_data = |flags: &[&str]| load(flags).unwrap().training.test_data;
        assert_eq!(test_data(&["--data", "a"]), Some("a".into()));
        assert_eq!(test_data(&["--data", "a", "--test-data", "b"]), Some("b".into()));
        assert_eq!(test_data(&[]), None);
        let provided = |flags: &[&str]| load(flags).unwrap().with_data("d".into());
        let config = provided(&["--dataset", "generated"]);
        assert_eq!((config.streaming.data, config.streaming.dataset), (Some("d".into()), Dataset::Auto));
        assert_eq!(config.training.test_data, Some("d".into()));
        assert_eq!(provided(&["--test-data", "t"]).training.test_data, Some("t".into()));
    }

    #[test]
    fn a_wrong_file_is_named_in_one_line() {
        for (text, expect) in [
            ("round = 7", "unknown key `round` in `FILE`; did you mean `rounds`?"),
            ("rounds = 5\nseed == 3", "`FILE` line 2: extra `=`, expected nothing"),
            ("resume = \"x\"", "`resume` cannot stand in `FILE`; give it as a flag"),
            ("page = \"127.0.0.1:1\"", "`page` cannot stand in `FILE`; give it as a flag"),
            ("page-token = \"x\"", "`page-token` cannot stand in `FILE`; give it as a flag"),
            ("quiet = true", "`quiet` cannot stand in `FILE`; give it as a flag"),
            ("rounds = 0", "`FILE`: invalid value '0' for '--rounds <N>': give a whole number, at least 1"),
            (
                "dir = \"~somebody/x\"",
                "`FILE`: invalid value '~somebody/x' for '--dir <DIR>': only a shell knows \
                whose home `~somebody` is; give the whole path, or ./~somebody for that name",
            ),
        ] {
            let file = file(text);
            let name = file.path().to_str().unwrap();
            assert_eq!(load(&["--config", name]).unwrap_err(), expect.replace("FILE", name));
        }
        assert!(load(&["--config", "no/such/file"]).unwrap_err().starts_with("failed to read `no/such/file`: "));
    }

    #[test]
    fn a_page_is_for_the_one_who_asks_for_it_and_in_no_file() {
        let page = |flags: &[&str]| load(flags).map(|config| config.page.page);
        assert_eq!(page(&[]), Ok(None));
        for flags in [&["--page"][..], &["--page", "--samples=9"], &["--page", "127.0.0.1:0"], &["--page=127.0.0.1:0"]]
        {
            assert_eq!(page(flags), Ok(Some("127.0.0.1:0".into())), "{flags:?}");
        }
        assert_eq!(page(&["--page=localhost:4000", "--page-linger=1m"]), Ok(Some("localhost:4000".into())));
        for flag in ["--page-token=x", "--page-linger=1m"] {
            assert_eq!(page(&[flag]).unwrap_err(), "error: the following required arguments were not provided:");
        }
        assert!(page(&["--page=http://x"]).unwrap_err().contains("leave out `http://`"));
        let config = config(&["--page", "--page-token=x", "--page-linger=1m"]);
        assert!(file::values(&config).unwrap().keys().all(|key| !key.starts_with("page")));
    }

    #[test]
    fn the_home_folder_is_known_in_files_and_flags_alike() {
        let home = std::env::home_dir().unwrap();
        let file = file("dir = \"~/chunks\"\ndata = \"~\"\n");
        let config = load(&["--config", file.path().to_str().unwrap(), "--key=~/k", "--run-dir=~/run"]).unwrap();
        assert_eq!((config.directory.dir, config.streaming.data), (home.join("chunks"), Some(home.clone())));
        assert_eq!((config.security.key, config.run_dir), (home.join("k"), Some(home.join("run"))));
    }

    #[test]
    fn more_senders_than_samples_is_a_usage_error() {
        let error = load(&["--samples", "2", "--senders", "3"]).unwrap_err();
        assert_eq!(error, "--senders 3 is more than --samples 2; every sender needs a sample");
    }

    #[test]
    fn a_live_run_is_asked_for_and_has_samples_for_a_round() {
        let slice = |flags: &[&str]| load(flags).map(|config| config.live.samples_per_round);
        assert_eq!(slice(&["--samples=2000", "--live"]), Ok(Some(2000)));
        assert_eq!(slice(&["--samples=1999"]), Ok(None));
        let error = slice(&["--replay=landmark"]).unwrap_err();
        assert_eq!(error, "--replay is for live runs; give --live, too");
        for flags in [&["--samples=1999", "--live"][..], &["--samples=1999", "--live", "--samples-per-round=2000"]] {
            let error = slice(flags).unwrap_err();
            assert_eq!(error, "--samples-per-round 2000 is more than --samples 1999; no round would ever begin");
        }
    }

    #[test]
    fn a_token_in_a_file_is_a_usage_error_and_not_repeated() {
        let file = file("engine = \"spark\"\nspark-remote = \"sc://host/;token=secret\"");
        let error = load(&["--config", file.path().to_str().unwrap()]).unwrap_err();
        assert!(error.contains("SPARK_CONNECT_AUTHENTICATE_TOKEN") && !error.contains("secret"), "{error}");
        let error = load(&["--spark-remote", "http://host"]).unwrap_err();
        assert!(error.starts_with("--spark-remote `http://host` is no address of a Spark server"), "{error}");
    }

    #[test]
    fn resume_without_a_value_means_the_latest_run_and_takes_its_configuration() {
        let error = load(&["--resume"]).unwrap_err();
        assert!(error.starts_with("failed to read `runs/latest/config.toml`: "), "{error}");
        assert!(error.ends_with("there is no run to go on with, so start one without --resume"), "{error}");
        let run = tempfile::tempdir().unwrap();
        fs::write(run.path().join("config.toml"), "rounds = 9").unwrap();
        let config = load(&["--resume", run.path().to_str().unwrap()]).unwrap();
        assert_eq!((config.training.rounds, config.resume.as_deref()), (9, Some(run.path())));
    }
}
