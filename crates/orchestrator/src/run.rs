//! A run, in phases: set-up, data, streaming, training. Each begins when the one before has ended. Only the trainer's process
//! starts during the streaming, because it takes a while to load; it waits there for the chunk directory to be complete.
//! In a live run it does not wait: it trains while samples are streamed, and the last phase is what is left to train then.

mod page;
mod streaming;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Context;
use event::Event;
use flags::Identity;
use process::{
    exit,
    shutdown::{Shutdown, Trigger},
};
use setup::{Setup, siblings::Program};
use terminal::Console;

use self::page::Served;
use crate::{
    child_event::{ChildEvent, What},
    chunk_directory::{self, ChunkDirectory},
    config::Config,
    folder, invocation,
    observers::Observers,
    phases::Phases,
    spark::Server,
    supervisor::{STOP_LIMIT, Supervisor},
};

/// The longest silence while the data is provided: for a sender that hangs, whose own limits on a download are shorter.
const DATA_LIMIT: Duration = Duration::from_secs(15 * 60);
/// The longest silence while the trainer trains: one full-batch step over a large partition takes long.
const TRAIN_LIMIT: Duration = Duration::from_secs(30 * 60);
/// How long a trainer that was started ahead waits for samples before it is started again: for all of them, or in a live run
/// for more. It ends with us in any case.
const AHEAD_LIMIT: Duration = Duration::from_secs(60 * 60);

/// Runs everything, until it is done or told to stop by `shutdown`. A stop that only ends a stream which has no end is taken
/// back with `trigger`.
///
/// # Errors
/// When the set-up or a child fails, or when told to stop; no child is left behind in any case.
pub async fn run(config: &Config, console: Console, trigger: Trigger, shutdown: Shutdown) -> anyhow::Result<()> {
    // Before the set-up, which may take long: whenever this process is killed, there is a run to resume.
    config.run_dir.as_deref().map_or(Ok(()), folder::ensure_unicode)?; // Before anything is made.
    let server = page::serve(&config.page)?; // As this.
    let directory = ChunkDirectory::hold(&config.directory.dir)?;
    let folder = folder::open(config)?;
    directory.name_holder(&folder)?;
    let served = server.map(|server| Served::begin(server, config, &folder, &console));
    let mut observers = Observers::new(console);
    observers.page = served.as_ref().map(Served::observer);
    let result = in_folder(folder, config, observers, trigger, shutdown.clone()).await;
    drop(directory); // Another run may have it while this one is still looked at.
    if let Some(served) = served {
        served.end(&result, shutdown).await;
    }
    result.map(drop)
}

/// The run with this folder. Returns the line of its summary that matters.
async fn in_folder(
    folder: PathBuf,
    config: &Config,
    observers: Observers,
    trigger: Trigger,
    shutdown: Shutdown,
) -> anyhow::Result<String> {
    let config = Config { identity: Identity { run_id: run_folder::identity(&folder)? }, ..config.clone() };
    let (start, mut phases) = (Instant::now(), Phases::default());
    let setup = Setup::begin(&config.engine, &observers.console, &shutdown).await?;
    phases.end("set-up", start);
    let supervisor = Supervisor::new(&setup.directory, observers, shutdown);
    let (spark, trainer, rounds) = (None, None, Rounds(0));
    let mut run = Run { config, folder, setup, supervisor, trigger, phases, spark, trainer, rounds };
    let result = run.all_phases().await;
    run.end(result).await
}

struct Run {
    config: Config,
    folder: PathBuf,
    setup: Setup,
    supervisor: Supervisor,
    trigger: Trigger,
    phases: Phases,
    /// The Spark server of this run, if it is to have one of its own.
    spark: Option<Server>,
    /// The trainer, as soon as it is started.
    trainer: Option<usize>,
    rounds: Rounds,
}

impl Run {
    async fn all_phases(&mut self) -> anyhow::Result<()> {
        let mut digest = None;
        if self.config.resume.is_none() || !self.is_streamed()? {
            // Before the trainer is built: nobody should wait for minutes to hear that there is no data.
            let start = Instant::now();
            digest = Some(self.provide_data().await?);
            self.phases.end("data", start);
        }
        let start = Instant::now();
        self.setup.build_trainer().await?;
        self.phases.end("set-up", start);
        self.start_spark()?; // While samples are streamed: a JVM takes its time.
        if let Some(digest) = digest {
            self.stream(&digest).await?;
        }
        let start = Instant::now();
        if let (Some(spark), None) = (&mut self.spark, self.trainer) {
            self.supervisor.environment = self.supervisor.wait_for(spark.environment()).await??;
            self.phases.end("waiting for Spark", start);
        }
        let start = Instant::now();
        self.train().await?;
        self.phases.end("training", start);
        Ok(())
    }

    /// Stops what still runs, and shows what came of the run. Returns the line of it that matters.
    async fn end(mut self, result: anyhow::Result<()>) -> anyhow::Result<String> {
        let console = self.supervisor.observers.console.clone();
        self.supervisor.observers.progress.end();
        self.supervisor.stop(STOP_LIMIT).await;
        if let Some(spark) = self.spark {
            // A user who stops the run needs no log.
            let keep_log = result.as_ref().is_err_and(|error| !exit::code_of(error).is_stop());
            spark.stop(keep_log).await;
            if keep_log {
                console.note(&format!("Spark's log is in `{}`", self.folder.join("spark").display()));
            }
        }
        result?;
        let Observers { progress, .. } = &self.supervisor.observers;
        progress.summarise(&self.phases);
        Ok(progress.result())
    }

    fn start_spark(&mut self) -> anyhow::Result<()> {
        let Some(home) = &self.setup.spark else { return Ok(()) };
        let partitions = self.config.training.partitions.unwrap_or(1); // It is always there by now.
        let on_ui = self.supervisor.observers.on_spark_ui();
        self.spark = Some(Server::start(home, &self.folder.join("spark"), partitions, on_ui)?);
        Ok(())
    }

    fn is_streamed(&self) -> anyhow::Result<bool> {
        chunk_directory::is_streamed(&self.config, &self.folder)
    }

    /// Lets the data be provided for all that follows. Returns its digest.
    async fn provide_data(&mut self) -> anyhow::Result<String> {
        self.supervisor.start(invocation::prepare(&self.config)?)?;
        let mut data = None;
        loop {
            let ChildEvent { child, what, .. } = self.supervisor.next(DATA_LIMIT, "providing the data").await?;
            match what {
                What::Event(Event::Data { dir, digest }) => data = Some((dir, digest)),
                What::Ended(status) if status.success() => break,
                What::Ended(status) => self.supervisor.restart(child.number, status)?,
                _ => {}
            }
        }
        self.supervisor.observers.progress.clear();
        let (dir, digest) = data.context("the sender ended without saying where the data is")?;
        self.config = self.config.with_data(dir);
        Ok(digest)
    }

    /// Starts the trainer, which waits for so long when there is nothing new to train on. Returns its number.
    fn start_trainer(&mut self, wait: Duration) -> anyhow::Result<usize> {
        let trainer = self.supervisor.start(invocation::trainer(&self.config, &self.folder, wait)?)?;
        self.trainer = Some(trainer);
        Ok(trainer)
    }

    async fn train(&mut self) -> anyhow::Result<()> {
        let trainer = match self.trainer {
            Some(trainer) => trainer,
            None => self.start_trainer(Duration::ZERO)?,
        };
        loop {
            // It may have ended before its turn, too.
            match self.supervisor.exit(trainer) {
                Some(status) if status.success() => return Ok(()),
                Some(status) => self.supervisor.restart(trainer, status)?,
                None => {}
            }
            if let What::Event(event) = self.supervisor.next(TRAIN_LIMIT, "training").await?.what
                && self.rounds.is_new(&event)
            {
                self.supervisor.progressed(&[Program::Trainer]);
            }
        }
    }
}

/// So many rounds were reported. A trainer that was started again repeats those in its checkpoint.
struct Rounds(u32);

impl Rounds {
    /// Whether this is the end of a round that was not reported yet.
    fn is_new(&mut self, event: &Event) -> bool {
        let Event::Round { round, .. } = event else { return false };
        let is_new = *round > self.0;
        self.0 = self.0.max(*round);
        is_new
    }
}
