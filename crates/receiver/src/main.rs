//! The `receiver` program: flags, logging, signals and the port; the work is in the library.

use std::{
    cell::Cell,
    io::{self, Write},
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::{Parser, Subcommand};
use event::{self, Event};
use process::{
    exit,
    shutdown::{self, Shutdown},
};
use receiver::{Config, Outcome};
use store::Mode;
use terminal::count;
use transport::key_file;

/// Receives samples over TCP and writes them durably into a chunk directory.
///
/// It ends by itself when all expected streams have ended. Killed or stopped, it goes on where it was when started
/// again; what it acknowledged is on disk. Streams without an end (`sender --endless`) are over when it is stopped.
#[derive(Parser)]
#[command(name = "receiver", version, args_conflicts_with_subcommands = true)]
struct Flags {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    listen: flags::Listen,
    #[command(flatten)]
    security: flags::Security,
    #[command(flatten)]
    directory: flags::Directory,
    #[command(flatten)]
    identity: flags::Identity,
    #[command(flatten)]
    chunking: flags::Chunking,
    /// Remove an earlier run from the chunk directory first (only files of ours)
    #[arg(long)]
    fresh: bool,
    /// Streams to expect: one for each sender
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=MAX_STREAMS))]
    streams: u32,
    #[command(flatten)]
    output: flags::Output,
}

#[derive(Subcommand)]
enum Command {
    /// Only make a key file, for a receiver that other machines are to reach; copy it to the senders there
    Keygen {
        #[command(flatten)]
        security: flags::Security,
    },
}

/// A stream needs a connection, and a connection a file descriptor.
const MAX_STREAMS: i64 = receiver::MAX_CONNECTIONS as i64;

fn main() -> ExitCode {
    let flags = match flags::layers::parse::<Flags>() {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    terminal::logging::init();
    if let Some(Command::Keygen { security }) = &flags.command {
        return exit::report("receiver", keygen(&security.key));
    }
    let stopped = shutdown::listen(flags.output.lifeline);
    exit::report("receiver", stopped.map_err(Into::into).and_then(|(_, shutdown)| run(&flags, shutdown)))
}

fn run(flags: &Flags, shutdown: Shutdown) -> anyhow::Result<()> {
    let dir = &flags.directory.dir;
    let config = Config {
        mode: if flags.fresh { Mode::Fresh } else { Mode::Continue },
        run: flags.identity.run_id.clone(),
        samples_per_chunk: flags.chunking.samples_per_chunk as usize,
        streams: flags.streams as usize,
        ..Config::new(dir)
    };
    let (json, dir) = (flags.output.json, dir.clone());
    let quiet_until = Cell::new(Instant::now());
    let report = move |event: &Event| match event {
        // A parent that is gone is noticed by the lifeline.
        _ if json => drop(event::emit(event)),
        Event::Receiving { .. } => {}
        Event::Stored { .. } if Instant::now() < quiet_until.get() => {}
        _ => {
            quiet_until.set(Instant::now() + Duration::from_secs(1));
            tell(event, &dir);
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let outcome = runtime.block_on(async {
        let listener = receiver::bind(&flags.listen.listen, &flags.security.key).await?;
        receiver::run(listener, config, shutdown, report).await
    })?;
    match outcome {
        Outcome::Complete { .. } => Ok(()),
        Outcome::Stopped(cause) => {
            let text = "what was accepted is stored and acknowledged; start the receiver again to go on";
            Err(exit::failure(cause.code(), anyhow::anyhow!("stopped by {}: {text}", cause.as_str())))
        }
    }
}

fn keygen(path: &Path) -> anyhow::Result<()> {
    key_file::create(path).map_err(|error| exit::failure(error.exit_code(), error))?;
    writeln!(io::stdout(), "{}", path.display())?;
    Ok(())
}

fn tell(event: &Event, dir: &Path) {
    match event {
        Event::Listening { address, .. } => tracing::info!("listening on {address}"),
        Event::Stored { samples, chunks } => {
            tracing::info!("durable: {} in {}", count(*samples, "sample"), count(*chunks, "chunk"));
        }
        Event::Paused { reason } => tracing::warn!("paused: {reason}; it goes on by itself when there is room"),
        Event::Resumed => tracing::info!("there is room again; going on"),
        Event::Complete { samples, chunks, seconds } => {
            let (samples, chunks) = (count(*samples, "sample"), count(*chunks, "chunk"));
            let text = format!("received {samples} into {chunks} of `{}` in {seconds:.1} s", dir.display());
            let _ = writeln!(io::stdout(), "{text}"); // Nobody may be listening, and the work is done all the same.
        }
        _ => {}
    }
}
