//! `orchestrator`: the whole run with one command, from set-up to the trained model.

use std::{env, process::ExitCode};

use cli::flags::Engine;
use orchestrator::{
    config::{Command, Config},
    console::Console,
};
use tokio::runtime;

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().collect();
    match Config::load(&arguments) {
        Ok(config) => cli::exit::report("orchestrator", start(&config)),
        Err(error) => cli::layers::explain(&error),
    }
}

fn start(config: &Config) -> anyhow::Result<()> {
    let (_trigger, shutdown) = cli::shutdown::listen(false)?;
    let console = Console::new();
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match config.command {
            Some(Command::Setup { engine }) => {
                let engine = Engine { engine, ..config.engine.clone() };
                orchestrator::setup::report(&engine, &console, shutdown).await
            }
            None => orchestrator::run::run(config, console, shutdown).await,
        }
    })
}
