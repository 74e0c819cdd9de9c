//! `orchestrator`: the whole run with one command, from set-up to the trained model.

use std::{env, ffi::OsString, process::ExitCode};

use flags::layers::Error;
use orchestrator::{
    command_line::{Command, CommandLine, without_subcommand},
    config::Config,
    listing, manual, run,
};
use process::shutdown::{Shutdown, Trigger};
use setup::doctor;
use terminal::Console;
use tokio::runtime;

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().collect();
    match start(&arguments) {
        Ok(result) => process::exit::report("orchestrator", result),
        Err(error) => flags::layers::explain(&error),
    }
}

/// Does what the command line says; the outer error is one of the command line itself.
fn start(arguments: &[OsString]) -> Result<anyhow::Result<()>, Error> {
    let console = Console::new();
    Ok(match flags::layers::resolve::<CommandLine>(arguments, &[])?.command {
        None => {
            let config = Config::load(arguments)?;
            let console = Console::that_shows(config.shown());
            block_on(async |trigger, shutdown| run::run(&config, console, trigger, shutdown).await)
        }
        Some(Command::Setup { engine }) => {
            let engine = flags::Engine { engine, ..Config::load(&arguments[..1])?.engine };
            block_on(async |_, shutdown| setup::report(&engine, &console, shutdown).await)
        }
        Some(Command::Config(what)) => {
            let text =
                if what.explain { listing::explained() } else { listing::effective(&without_subcommand(arguments))? };
            console.result(text.trim_end());
            Ok(())
        }
        Some(Command::Doctor(_)) => {
            let config = Config::load(&without_subcommand(arguments))?;
            block_on(async |_, _| doctor::report(&config.plan(), &console).await)
        }
        Some(Command::Completions { shell, program }) => manual::completions(shell, program),
        Some(Command::Man { dir }) => manual::man_pages(&dir),
    })
}

fn block_on(work: impl AsyncFnOnce(Trigger, Shutdown) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let (trigger, shutdown) = process::shutdown::listen(false)?;
    runtime::Builder::new_current_thread().enable_all().build()?.block_on(work(trigger, shutdown))
}
