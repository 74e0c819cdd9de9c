//! The trainer's process: flags, logging, signals and the exit code. The work is in the library.

#![forbid(unsafe_code)]

mod args;

use std::{io, process::ExitCode};

use args::{Args, Command};
use cli::{exit, logging, shutdown};

fn main() -> ExitCode {
    logging::init();
    match args::parse() {
        Ok(args) => exit::report("trainer", run(args)),
        Err(code) => code,
    }
}

fn run(args: Args) -> anyhow::Result<()> {
    match args.command {
        Some(Command::Evaluate { model, test_data }) => return trainer::evaluation::run(&model, test_data.as_deref()),
        Some(Command::Inspect { dir }) => return trainer::inspection::inspect(&dir),
        Some(Command::Verify { dir }) => return trainer::inspection::verify(&dir),
        Some(Command::Report { runs, out, test_data }) => {
            return trainer::reporting::run(&runs, out.as_deref(), test_data.as_deref());
        }
        Some(Command::Worker(job)) => return trainer::worker::run(&job, io::stdin().lock(), io::stdout().lock()),
        None => {}
    }
    let (_, shutdown) = shutdown::listen(args.train.output.lifeline)?;
    trainer::run(&args.train.config()?, &shutdown)
}
