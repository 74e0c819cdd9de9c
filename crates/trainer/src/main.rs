//! The trainer's process: flags, logging, signals and the exit code. The work is in the library.

#![forbid(unsafe_code)]

mod args;

use std::{io, process::ExitCode};

use args::{Args, Command};
use process::{exit, shutdown};
use terminal::logging;
use trainer::{
    commands::{evaluate, inspect, report},
    engine::worker,
};

fn main() -> ExitCode {
    logging::init();
    match args::parse() {
        Ok(args) => exit::report("trainer", run(args)),
        Err(code) => code,
    }
}

fn run(args: Args) -> anyhow::Result<()> {
    match args.command {
        Some(Command::Evaluate { model, test_data, logits }) => {
            return evaluate::run(&model, test_data.as_deref(), logits.as_deref());
        }
        Some(Command::Predict(predict)) => return predict.run(),
        Some(Command::Inspect { dir, json, png }) => return inspect::inspect(&dir, json, png.as_deref()),
        Some(Command::Import(import)) => return import.run(),
        Some(Command::Verify { dir }) => return inspect::verify(&dir),
        Some(Command::Report { runs, out, test_data }) => {
            return report::run(&runs, out.as_deref(), test_data.as_deref());
        }
        Some(Command::Page(page)) => return page.run(&mut shutdown::listen(false)?.1),
        Some(Command::Worker(job)) => return worker::run(&job, io::stdin().lock(), io::stdout().lock()),
        None => {}
    }
    let (_, shutdown) = shutdown::listen(args.train.output.lifeline)?;
    trainer::run(&args.train.config()?, &shutdown)
}
