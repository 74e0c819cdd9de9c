//! The flags of the trainer, and how they become a configuration.

use std::{env, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args as _, Parser, Subcommand};
use cli::{
    exit,
    flags::{self, Directory, Output, Training},
    layers::{self, Layer},
};
use trainer::{
    config::{Config, Folder},
    run_folder, worker,
};

/// Trains a SimpleCNN on partitions of received data in parallel, and averages them, round by round
#[derive(Debug, Parser)]
#[command(name = "trainer", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) train: Train,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Measure a model's accuracy and loss on a test set
    Evaluate {
        /// A .safetensors or .pth file, or a run folder such as runs/latest
        model: PathBuf,
        /// Directory with the test set's IDX files [default: $MNIST_DIR, else data/mnist; data/generated for a
        /// model of generated digits]
        #[arg(long, value_name = "DIR")]
        test_data: Option<PathBuf>,
    },
    /// Show what a chunk directory holds: streams, labels, the first digits
    Inspect {
        /// A complete chunk directory
        #[arg(default_value = "data/streaming_input")]
        dir: PathBuf,
    },
    /// Check every byte of a chunk directory
    Verify {
        /// A complete chunk directory
        #[arg(default_value = "data/streaming_input")]
        dir: PathBuf,
    },
    /// Make the report of a finished run again, or compare several
    Report {
        /// Run folders, such as runs/latest; the report is the first one's, with the others beside it
        #[arg(required = true, value_name = "RUN")]
        runs: Vec<PathBuf>,
        /// The file to write [default: report.html in the run folder; comparison.html in the first of several]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Directory with the test set's IDX files [default: the run's, else as for evaluate]
        #[arg(long, value_name = "DIR")]
        test_data: Option<PathBuf>,
    },
    /// Train partitions of samples from stdin: what Spark's executors run
    #[command(hide = true)]
    Worker(worker::Job),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Train {
    #[command(flatten)]
    directory: Directory,
    /// How long to wait for the chunk directory to be complete
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = humantime::parse_duration)]
    #[arg(help_heading = "Chunk directory")]
    wait: Duration,
    #[command(flatten)]
    training: Training,
    #[command(flatten)]
    engine: flags::Engine,
    /// New folder for the results [default: runs/<time>]
    #[arg(long, value_name = "DIR", help_heading = "Output", conflicts_with = "resume")]
    run_dir: Option<PathBuf>,
    /// Go on from the newest checkpoint of this run folder, with its configuration except for what other flags say
    #[arg(long, value_name = "RUN_DIR", help_heading = "Output")]
    resume: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// Parses the flags of this process, over those of the run to resume if there is one; or says how to exit.
pub(crate) fn parse() -> Result<Args, ExitCode> {
    let args: Args = layers::parse()?;
    let Some(run) = &args.train.resume else { return Ok(args) };
    let mut values = run_folder::read_config(run).map_err(|error| exit::report("trainer", Err(error)))?;
    // The orchestrator keeps its own keys there too, and where results go is not for a run's past to say.
    let stored = Training::augment_args(Directory::augment_args(clap::Command::new("stored")));
    let stored = flags::Engine::augment_args(stored);
    values.retain(|key, _| stored.get_arguments().any(|flag| flag.get_long() == Some(key)));
    let layer = Layer { name: run.join(run_folder::CONFIG).display().to_string(), values };
    let arguments: Vec<_> = env::args_os().collect();
    layers::resolve(&arguments, &[layer]).map_err(|error| layers::explain(&error))
}

impl Train {
    pub(crate) fn config(self) -> anyhow::Result<Config> {
        let folder = self.resume.map_or(Folder::New(self.run_dir), Folder::Resume);
        let config = Config::new(self.directory, self.training, self.engine, folder)?;
        Ok(Config { wait: self.wait, json: self.output.json, ..config })
    }
}
