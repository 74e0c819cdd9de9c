//! The flags of the trainer, and how they become a configuration.

use std::{env, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args as _, Parser, Subcommand};
use flags::{
    Directory, Output, Training,
    layers::{self, Layer},
    path,
};
use process::exit;
use trainer::{
    commands::{import::Import, page::Page, predict::Predict},
    config::{Config, Folder},
    engine::worker,
    folder_failure,
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
        #[arg(value_parser = path::parser())]
        model: PathBuf,
        /// Folder with the test set's IDX files, or an .npz file; one of other data is taken, too [default: $MNIST_DIR, else
        /// data/mnist; data/generated for a model of generated digits]
        #[arg(long, value_name = "DIR", value_parser = path::parser())]
        test_data: Option<PathBuf>,
        /// Write each image's label and ten scores before softmax, too: a row of a CSV file
        #[arg(long, value_name = "FILE", value_parser = path::parser())]
        logits: Option<PathBuf>,
    },
    Predict(Predict),
    /// Show what a chunk directory holds: streams, labels, the first digits
    Inspect {
        /// A complete chunk directory
        #[arg(default_value = "data/streaming_input", value_parser = path::parser())]
        dir: PathBuf,
        /// Show it as one JSON object
        #[arg(long)]
        json: bool,
        /// Write a picture of the first hundred digits, too
        #[arg(long, value_name = "FILE", value_parser = path::parser())]
        png: Option<PathBuf>,
    },
    Import(Import),
    /// Check every byte of a chunk directory
    Verify {
        /// A complete chunk directory
        #[arg(default_value = "data/streaming_input", value_parser = path::parser())]
        dir: PathBuf,
    },
    /// Make the report of a finished run again, or compare several
    Report {
        /// Run folders, such as runs/latest; the report is the first one's, with the others beside it
        #[arg(required = true, value_name = "RUN", value_parser = path::parser())]
        runs: Vec<PathBuf>,
        /// The file to write [default: report.html in the run folder; comparison.html in the first of several]
        #[arg(long, value_name = "FILE", value_parser = path::parser())]
        out: Option<PathBuf>,
        /// Directory with the test set's IDX files [default: the run's, else as for evaluate]
        #[arg(long, value_name = "DIR", value_parser = path::parser())]
        test_data: Option<PathBuf>,
    },
    Page(Page),
    /// Train partitions of samples from stdin: what Spark's executors run
    #[command(hide = true)]
    Worker(worker::Arguments),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Train {
    #[command(flatten)]
    directory: Directory,
    #[command(flatten)]
    identity: flags::Identity,
    /// How long to wait for the chunk directory to be complete; with --live, for something new to come into it
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = humantime::parse_duration)]
    #[arg(help_heading = "Chunk directory")]
    wait: Duration,
    #[command(flatten)]
    training: Training,
    #[command(flatten)]
    live: flags::Live,
    /// Where the first slice begins: the first sample's index in what is streamed, as the sender's --offset
    #[arg(long, value_name = "INDEX", help_heading = "Live", default_value = "0")]
    offset: u64,
    #[command(flatten)]
    engine: flags::Engine,
    /// New folder for the results [default: runs/<time>]
    #[arg(long, value_name = "DIR", help_heading = "Output", conflicts_with = "resume", value_parser = path::parser())]
    run_dir: Option<PathBuf>,
    /// Go on from the newest checkpoint of this run folder, with its configuration except for what other flags say
    #[arg(long, value_name = "RUN_DIR", help_heading = "Output", value_parser = path::parser())]
    resume: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// Parses the flags of this process, over those of the run to resume if there is one; or says how to exit.
pub(crate) fn parse() -> Result<Args, ExitCode> {
    let args: Args = layers::parse()?;
    let Some(run) = &args.train.resume else { return Ok(args) };
    let mut values =
        run_folder::read_config(run).map_err(|error| exit::report("trainer", Err(folder_failure(error))))?;
    // The orchestrator keeps its own keys there too, and where results go is not for a run's past to say.
    let stored = Training::augment_args(Directory::augment_args(clap::Command::new("stored")));
    let stored = flags::Live::augment_args(flags::Engine::augment_args(stored));
    values.retain(|key, _| stored.get_arguments().any(|flag| flag.get_long() == Some(key)) || key == "offset");
    let layer = Layer { name: run.join(run_folder::CONFIG).display().to_string(), values };
    let arguments: Vec<_> = env::args_os().collect();
    layers::resolve(&arguments, &[layer]).map_err(|error| layers::explain(&error))
}

impl Train {
    pub(crate) fn config(self) -> anyhow::Result<Config> {
        let folder = self.resume.map_or(Folder::New(self.run_dir), Folder::Resume);
        let run = match (self.identity.run_id, &folder) {
            (None, Folder::Resume(path)) => run_folder::identity(path).map_err(folder_failure)?,
            (given, _) => given,
        };
        let config = Config::new(self.directory, self.training, self.live, self.offset, self.engine, folder)?;
        Ok(Config { run, wait: self.wait, json: self.output.json, ..config })
    }
}
