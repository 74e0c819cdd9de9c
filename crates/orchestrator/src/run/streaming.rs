//! The streaming: from the start of the receiver to a complete chunk directory. A live run trains meanwhile. What follows from
//! what a child does is decided in [`reaction`].

mod reaction;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{bail, ensure};
use event::Event;
use flags::{EngineName, Streaming};
use process::{
    exit::{self, Code},
    shutdown::Cause,
};
use setup::siblings::Program;
use tokio::time::timeout;

use self::reaction::{Case, Reaction};
use super::{AHEAD_LIMIT, Run};
use crate::{
    child_event::{ChildEvent, What},
    config::Config,
    folder, invocation,
    observers::{Observers, disk::Disk},
    spark::Server,
    supervisor::{gave_up, resumable},
};

/// The longest wait for the receiver to listen. It verifies what it finds in its directory before.
const READY_LIMIT: Duration = Duration::from_secs(30);
/// The longest silence while samples are streamed, on top of the simulated latency of a chunk, acknowledged as a whole.
const STREAM_LIMIT: Duration = Duration::from_secs(5 * 60);
/// How long receiver and senders may take to end after the streaming; a sender that missed it would look on for much longer.
const FINISH_LIMIT: Duration = Duration::from_secs(1);

impl Run {
    /// Streams until the chunk directory is complete, and lets receiver and senders end. A live run trains meanwhile.
    pub(super) async fn stream(&mut self, digest: &str) -> anyhow::Result<()> {
        let name = if self.config.live.live { "streaming and training" } else { "streaming" };
        let start = Instant::now();
        let receiver = self.start_streaming(digest).await?;
        if let Some(receiver) = receiver {
            self.completion(receiver).await?;
            // The receiver's word is good; what counts is what a trainer will find.
            ensure!(self.is_streamed()?, "the receiver said that the chunk directory is complete, but it is not");
        }
        self.phases.end(name, start);
        if receiver.is_some() {
            self.end_streaming().await;
        }
        Ok(())
    }

    /// Starts receiver and senders, and the trainer, unless it needs a Spark that is on its way. Returns the
    /// receiver's number; `None` if there is nothing left to stream.
    async fn start_streaming(&mut self, digest: &str) -> anyhow::Result<Option<usize>> {
        // Without the digest of its data in the run folder, whatever is in the chunk directory belongs to an earlier run.
        let fresh = folder::data(&self.folder)?.is_none();
        let receiver = self.supervisor.start(invocation::receiver(&self.config, &self.config.listen, fresh)?)?;
        let Some(address) = self.listening().await? else { return Ok(None) };
        self.supervisor.set_invocation(receiver, invocation::receiver(&self.config, address, false)?);
        folder::remember_data(&self.folder, digest)?;
        let Observers { console, streaming, disk, .. } = &mut self.supervisor.observers;
        console.note(&format!("the receiver listens on {address}"));
        streaming.begin(fresh);
        if self.config.streaming.endless {
            *disk = Some(Disk::begin(console.clone(), self.config.directory.dir.clone()));
        }
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
        let Streaming { samples, endless, .. } = self.config.streaming;
        self.supervisor.observers.progress.sending(if endless { 0 } else { samples });
        Ok(Some(receiver))
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

    async fn completion(&mut self, receiver: usize) -> anyhow::Result<()> {
        let limit = STREAM_LIMIT + chunk_delay(&self.config);
        let mut is_ending = false;
        loop {
            let event = tokio::select! {
                // A trainer of a live run is not kept waiting.
                environment = environment(&mut self.spark), if self.config.live.live && self.trainer.is_none() => {
                    self.supervisor.environment = environment?;
                    self.start_trainer(AHEAD_LIMIT)?;
                    continue;
                }
                event = self.supervisor.next(limit, "streaming") => event,
            };
            let is_interrupted = event.as_ref().is_err_and(|error| exit::code_of(error) == Code::Interrupted);
            if is_interrupted && self.config.streaming.endless && !is_ending {
                is_ending = true;
                self.end_stream(receiver).await;
                continue;
            }
            let ChildEvent { child, what, .. } = event?;
            let case = self.case(child.program, &what, is_ending)?;
            match reaction::decide(child.program, &what, case) {
                Reaction::Nothing => {}
                Reaction::Progress(programs) => self.supervisor.progressed(programs),
                Reaction::Interrupt => self.supervisor.interrupt(receiver).await,
                Reaction::Restart(status) => self.supervisor.restart(child.number, status)?,
                Reaction::Complete => return Ok(()),
                Reaction::Fail => bail!("the receiver ended before the chunk directory was complete"),
                Reaction::Stop => return Err(resumable(Cause::Interrupt)),
            }
        }
    }

    /// Where the streaming stands when a child of this program has done this.
    fn case(&mut self, program: Program, what: &What, is_ending: bool) -> anyhow::Result<Case> {
        let is_receivers_end = program == Program::Receiver && matches!(what, What::Ended(_));
        Ok(Case {
            is_live: self.config.live.live,
            is_ending,
            is_streamed: is_receivers_end && self.is_streamed()?,
            is_new_round: matches!(what, What::Event(event) if self.rounds.is_new(event)),
        })
    }

    /// Ends a stream that has no end of its own: the receiver, when a Ctrl-C is passed on to it, makes what it has the whole
    /// stream.
    async fn end_stream(&mut self, receiver: usize) {
        self.trigger.take_back();
        let console = &self.supervisor.observers.console;
        console.note("ending the stream; what there is of it is still trained on. Another Ctrl-C stops that, too");
        self.supervisor.interrupt(receiver).await;
    }

    async fn end_streaming(&mut self) {
        let Observers { console, progress, streaming, disk } = &mut self.supervisor.observers;
        progress.end_streaming();
        *disk = None;
        // At once: the trainer, which is at work by now, reads it when it is done.
        if let Err(error) = streaming.write(&self.folder, self.phases.seconds()) {
            console.note(&format!("{error:#}; the report will lack the streaming")); // It costs no sample.
        }
        self.supervisor.finish(&[Program::Sender, Program::Receiver], FINISH_LIMIT).await;
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
