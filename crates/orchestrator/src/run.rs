//! A run, in phases: set-up, data, streaming, training. Each begins when the one before has reported its end.

use std::{
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use cli::{event::Event, shutdown::Shutdown};

use crate::{
    commands::{self, Program},
    config::Config,
    console::Console,
    crew::{Crew, News},
    progress::Progress,
    run_dir, setup,
};

/// The receiver verifies what it finds in its directory before it listens.
const READY_LIMIT: Duration = Duration::from_secs(30);
/// The sender's own limits on a download are shorter; this one is for a sender that hangs.
const DATA_LIMIT: Duration = Duration::from_secs(15 * 60);
/// On top of the simulated latency of the samples of a chunk, which are acknowledged together.
const STREAM_LIMIT: Duration = Duration::from_secs(5 * 60);
/// One full-batch step over a large partition says nothing for long.
const TRAIN_LIMIT: Duration = Duration::from_secs(30 * 60);

/// Runs everything.
///
/// # Errors
/// When the set-up or a child fails, or when told to stop; no child is left behind in any case.
pub async fn run(config: &Config, console: Console, shutdown: Shutdown) -> anyhow::Result<()> {
    let mut progress = Progress::new(console.clone());
    let programs = setup::provide(&console, &shutdown, progress.phases()).await?;
    let mut crew = Crew::new(&programs.directory, console, shutdown);
    let result = phases(config, &mut crew, &mut progress).await;
    progress.clear();
    crew.stop().await;
    result?;
    progress.summarise();
    Ok(())
}

async fn phases(config: &Config, crew: &mut Crew, progress: &mut Progress) -> anyhow::Result<()> {
    let run = match &config.resume {
        Some(run) => {
            run.canonicalize().with_context(|| format!("failed to open the run folder `{}`", run.display()))?
        }
        None => run_dir::create(config)?,
    };
    let streamed = config.resume.is_some() && config.directory.dir.join("_SUCCESS").exists();
    if !streamed {
        let start = Instant::now();
        provide_data(config, crew, progress).await?;
        progress.phases().end("data", start);
        let start = Instant::now();
        stream(config, crew, progress).await?;
        progress.phases().end("streaming", start);
    }
    let start = Instant::now();
    train(config, &run, crew, progress).await?;
    progress.phases().end("training", start);
    Ok(())
}

async fn provide_data(config: &Config, crew: &mut Crew, progress: &mut Progress) -> anyhow::Result<()> {
    crew.start(commands::prepare(config)?)?;
    loop {
        match crew.next(DATA_LIMIT, "providing the data").await? {
            News::Event { child, event } => progress.show(child, event),
            News::Ended(_) => return Ok(()),
        }
    }
}

async fn stream(config: &Config, crew: &mut Crew, progress: &mut Progress) -> anyhow::Result<()> {
    crew.start(commands::receiver(config, config.resume.is_none())?)?;
    let address = listening(crew, progress).await?;
    progress.note(&format!("the receiver listens on {address}"));
    for sender in commands::senders(config, address)? {
        crew.start(sender)?;
    }
    progress.sending(config.streaming.samples);
    let limit = STREAM_LIMIT + chunk_delay(config);
    let mut complete = false;
    let mut running = config.senders + 1; // And the receiver.
    while running > 0 {
        match crew.next(limit, "streaming").await? {
            News::Event { child, event } => {
                complete |= matches!(event, Event::Complete { .. });
                progress.show(child, event);
            }
            News::Ended(_) => running -= 1,
        }
    }
    if !complete {
        bail!("the receiver ended before the chunk directory was complete");
    }
    Ok(())
}

async fn listening(crew: &mut Crew, progress: &mut Progress) -> anyhow::Result<SocketAddr> {
    let deadline = Instant::now() + READY_LIMIT;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match crew.next(left, "waiting for the receiver to listen").await? {
            News::Event { event: Event::Listening { address, .. }, .. } => return Ok(address),
            News::Event { child, event } => progress.show(child, event),
            News::Ended(_) => bail!("the receiver ended before it listened"),
        }
    }
}

async fn train(config: &Config, run: &Path, crew: &mut Crew, progress: &mut Progress) -> anyhow::Result<()> {
    crew.start(commands::trainer(config, run, config.resume.is_some() && run_dir::has_checkpoint(run))?)?;
    loop {
        match crew.next(TRAIN_LIMIT, "training").await? {
            News::Event { child, event } => progress.show(child, event),
            News::Ended(Program::Trainer) => return Ok(()),
            News::Ended(_) => {}
        }
    }
}

/// The simulated latency of all batches of one chunk.
fn chunk_delay(config: &Config) -> Duration {
    let batches = config.chunking.samples_per_chunk.div_ceil(config.streaming.samples_per_batch);
    config.streaming.batch_delay.saturating_mul(batches)
}
