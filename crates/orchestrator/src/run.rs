//! A run, in phases: set-up, data, streaming, training. Each begins when the one before has ended. Only the trainer's process
//! starts during the streaming, because it takes a while to load; it waits there for the chunk directory to be complete.
//! In a live run it does not wait: it trains while samples are streamed, and the last phase is what is left to train then.

use std::{
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use event::Event;
use flags::{EngineName, Identity};
use process::{exit, shutdown::Shutdown};
use setup::{Setup, siblings::Program};
use terminal::Console;
use tokio::time::timeout;

use crate::{
    child_event::{ChildEvent, What},
    chunk_directory::{self, ChunkDirectory},
    config::Config,
    folder, invocation,
    observers::Observers,
    phases::Phases,
    spark::Server,
    supervisor::{STOP_LIMIT, Supervisor, gave_up},
};

/// The longest wait for the receiver to listen. It verifies what it finds in its directory before.
const READY_LIMIT: Duration = Duration::from_secs(30);
/// The longest silence while the data is provided: for a sender that hangs, whose own limits on a download are shorter.
const DATA_LIMIT: Duration = Duration::from_secs(15 * 60);
/// The longest silence while samples are streamed, on top of the simulated latency of a chunk, acknowledged as a whole.
const STREAM_LIMIT: Duration = Duration::from_secs(5 * 60);
/// The longest silence while the trainer trains: one full-batch step over a large partition takes long.
const TRAIN_LIMIT: Duration = Duration::from_secs(30 * 60);
/// How long a trainer that was started ahead waits for samples before it is started again: for all of them, or in a live run
/// for more. It ends with us in any case.
const AHEAD_LIMIT: Duration = Duration::from_secs(60 * 60);
/// How long receiver and senders may take to end after the streaming; a sender that missed it would look on for much longer.
const FINISH_LIMIT: Duration = Duration::from_secs(1);

/// Runs everything.
///
/// # Errors
/// When the set-up or a child fails, or when told to stop; no child is left behind in any case.
pub async fn run(config: &Config, console: Console, shutdown: Shutdown) -> anyhow::Result<()> {
    // Before the set-up, which may take long: whenever this process is killed, there is a run to resume.
    config.run_dir.as_deref().map_or(Ok(()), folder::ensure_unicode)?; // Before anything is made.
    let directory = ChunkDirectory::hold(&config.directory.dir)?;
    let folder = folder::open(config)?;
    directory.name_holder(&folder)?;
    let config = Config { identity: Identity { run_id: run_folder::identity(&folder)? }, ..config.clone() };
    let (start, mut phases) = (Instant::now(), Phases::default());
    let setup = Setup::begin(&config.engine, &console, &shutdown).await?;
    phases.end("set-up", start);
    let supervisor = Supervisor::new(&setup.directory, Observers::new(console), shutdown);
    let mut run = Run { config, folder, setup, supervisor, phases, spark: None, trainer: None, rounds: Rounds(0) };
    let result = run.all_phases().await;
    run.end(result).await
}

struct Run {
    config: Config,
    folder: PathBuf,
    setup: Setup,
    supervisor: Supervisor,
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

    /// Stops what still runs, and shows what came of the run.
    async fn end(mut self, result: anyhow::Result<()>) -> anyhow::Result<()> {
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
        self.supervisor.observers.progress.summarise(&self.phases);
        Ok(())
    }

    fn start_spark(&mut self) -> anyhow::Result<()> {
        let Some(home) = &self.setup.spark else { return Ok(()) };
        let partitions = self.config.training.partitions.unwrap_or(1); // It is always there by now.
        let console = self.supervisor.observers.console.clone();
        self.spark = Some(Server::start(home, &self.folder.join("spark"), partitions, console)?);
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
                What::Event(_) | What::Log(_) => {}
            }
        }
        self.supervisor.observers.progress.clear();
        let (dir, digest) = data.context("the sender ended without saying where the data is")?;
        self.config = self.config.with_data(dir);
        Ok(digest)
    }

    /// Streams until the chunk directory is complete, and lets receiver and senders end. A live run trains meanwhile.
    async fn stream(&mut self, digest: &str) -> anyhow::Result<()> {
        let name = if self.config.live.live { "streaming and training" } else { "streaming" };
        let start = Instant::now();
        let is_started = self.start_streaming(digest).await?;
        if is_started {
            self.completion().await?;
            // The receiver's word is good; what counts is what a trainer will find.
            ensure!(self.is_streamed()?, "the receiver said that the chunk directory is complete, but it is not");
        }
        self.phases.end(name, start);
        if is_started {
            self.end_streaming().await;
        }
        Ok(())
    }

    /// Starts receiver and senders, and the trainer, unless it needs a Spark that is on its way. Says whether there is
    /// anything left to stream.
    async fn start_streaming(&mut self, digest: &str) -> anyhow::Result<bool> {
        // Without the digest of its data in the run folder, whatever is in the chunk directory belongs to an earlier run.
        let fresh = folder::data(&self.folder)?.is_none();
        let receiver = self.supervisor.start(invocation::receiver(&self.config, &self.config.listen, fresh)?)?;
        let Some(address) = self.listening().await? else { return Ok(false) };
        self.supervisor.set_invocation(receiver, invocation::receiver(&self.config, address, false)?);
        folder::remember_data(&self.folder, digest)?;
        self.supervisor.observers.console.note(&format!("the receiver listens on {address}"));
        self.supervisor.observers.streaming.begin(fresh);
        for sender in invocation::senders(&self.config, address)? {
            self.supervisor.start(sender)?;
        }
        let has_engine = match self.config.engine.engine {
            EngineName::Rayon => true,
            EngineName::Spark => self.config.live.live && self.spark.is_none(),
        };
        if has_engine {
            // Loading libtorch takes longer than all else that a program does before its work.
            self.start_trainer(AHEAD_LIMIT)?;
        }
        self.supervisor.observers.progress.sending(self.config.streaming.samples);
        Ok(true)
    }

    fn start_trainer(&mut self, wait: Duration) -> anyhow::Result<usize> {
        let trainer = self.supervisor.start(invocation::trainer(&self.config, &self.folder, wait)?)?;
        self.trainer = Some(trainer);
        Ok(trainer)
    }

    /// Waits for the receiver's address; `None` if it finds the chunk directory complete: the receiver of an orchestrator
    /// that was killed may have finished its work meanwhile.
    async fn listening(&mut self) -> anyhow::Result<Option<SocketAddr>> {
        let doing = "waiting for the receiver to listen";
        let listening = async {
            loop {
                let ChildEvent { child, what, .. } = self.supervisor.next(READY_LIMIT, doing).await?;
                match what {
                    What::Event(Event::Listening { address, .. }) => return Ok(Some(address)),
                    What::Event(_) | What::Log(_) => {}
                    What::Ended(_) if self.is_streamed()? => return Ok(None),
                    What::Ended(status) if status.success() => bail!("the receiver ended before it listened"),
                    What::Ended(status) => self.supervisor.restart(child.number, status)?,
                }
            }
        };
        // The limit of `next` begins anew with each event; this one holds for the whole wait.
        timeout(READY_LIMIT, listening).await.unwrap_or_else(|_| Err(gave_up(READY_LIMIT, doing)))
    }

    async fn completion(&mut self) -> anyhow::Result<()> {
        let limit = STREAM_LIMIT + chunk_delay(&self.config);
        let is_live = self.config.live.live;
        loop {
            let ChildEvent { child, what, .. } = tokio::select! {
                // A trainer of a live run is not kept waiting.
                environment = environment(&mut self.spark), if is_live && self.trainer.is_none() => {
                    self.supervisor.environment = environment?;
                    self.start_trainer(AHEAD_LIMIT)?;
                    continue;
                }
                event = self.supervisor.next(limit, "streaming") => event?,
            };
            match (child.program, what) {
                (_, What::Event(Event::Complete { .. })) => return Ok(()),
                (_, What::Event(Event::Stored { .. })) => self.supervisor.progressed(),
                (_, What::Event(event)) if self.rounds.is_new(&event) => self.supervisor.progressed(),
                (Program::Receiver, What::Ended(status)) if status.success() => {
                    bail!("the receiver ended before the chunk directory was complete")
                }
                // It may have been killed between the last of its work and saying so.
                (Program::Receiver, What::Ended(_)) if self.is_streamed()? => return Ok(()),
                (Program::Sender, What::Ended(status)) if status.success() => {}
                // Its turn comes when there is something to train on. It may be done before the receiver has said its last words.
                (Program::Trainer, What::Ended(status)) if !is_live || status.success() => {}
                (_, What::Ended(status)) => self.supervisor.restart(child.number, status)?,
                (_, What::Event(_) | What::Log(_)) => {}
            }
        }
    }

    async fn end_streaming(&mut self) {
        let Observers { console, progress, streaming } = &mut self.supervisor.observers;
        progress.end_streaming();
        // At once: the trainer, which is at work by now, reads it when it is done.
        if let Err(error) = streaming.write(&self.folder, self.phases.seconds()) {
            console.note(&format!("{error:#}; the report will lack the streaming")); // It costs no sample.
        }
        self.supervisor.finish(&[Program::Sender, Program::Receiver], FINISH_LIMIT).await;
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
                self.supervisor.progressed();
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

/// Waits for a Spark that is on its way; for ever, if there is none.
async fn environment(spark: &mut Option<Server>) -> anyhow::Result<Vec<(&'static str, String)>> {
    match spark {
        Some(spark) => spark.environment().await,
        None => std::future::pending().await,
    }
}

/// The simulated latency of all batches of one chunk.
fn chunk_delay(config: &Config) -> Duration {
    let batches = config.chunking.samples_per_chunk.div_ceil(config.streaming.samples_per_batch);
    config.streaming.batch_delay.saturating_mul(batches)
}
