//! The trainer's process: flags, logging, signals and the exit code. The work is in the library.

#![forbid(unsafe_code)]

mod args;

use std::process::ExitCode;

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
    if let Some(Command::Evaluate { model, test_data }) = args.command {
        return trainer::evaluation::run(&model, test_data.as_deref());
    }
    let (_, shutdown) = shutdown::listen(args.train.output.lifeline)?;
    trainer::run(&args.train.config()?, &shutdown)
}
