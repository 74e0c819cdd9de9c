//! The streaming: from the start of the receiver to a complete chunk directory. A live run trains meanwhile. What follows from
//! what a child does is decided in [`reaction`].

mod reaction;

use std::{
    fs,
    net::SocketAddr,
    path::Path,
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

/// The longest wait for the receiver to listen, beside the time to verify what it finds in its directory.
const READY_LIMIT: Duration = Duration::from_secs(30);
/// Bytes a second that a receiver verifies at least. A local disk gives ten times as many, one across a network may not.
const VERIFIED: u64 = 50_000_000;
/// The longest silence while samples are streamed, beside the waits that are to be expected.
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
        let limit = READY_LIMIT + self.verification();
        let listening = async {
            loop {
                let ChildEvent { child, what, .. } = self.supervisor.next(limit, doing).await?;
                match what {
                    What::Event(Event::Listening { address, .. }) => return Ok(Some(address)),
                    What::Ended(_) if self.is_streamed()? => return Ok(None),
                    What::Ended(status) if status.success() => bail!("the receiver ended before it listened"),
                    What::Ended(status) => self.supervisor.restart(child.number, status)?,
                    _ => {}
                }
            }
        };
        // The limit of `next` begins anew with each event; this one holds for the whole wait.
        timeout(limit, listening).await.unwrap_or_else(|_| Err(gave_up(limit, doing)))
    }

    async fn completion(&mut self, receiver: usize) -> anyhow::Result<()> {
        let mut limit = self.stream_limit();
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
                Reaction::Restart(status) => {
                    self.supervisor.restart(child.number, status)?;
                    limit = self.stream_limit(); // A receiver verifies what it has again.
                }
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

    /// The longest silence while samples are streamed. A receiver that is started again verifies what it has, and the simulated
    /// latency of a chunk, which is acknowledged as a whole, may be long.
    fn stream_limit(&self) -> Duration {
        STREAM_LIMIT + self.verification() + chunk_delay(&self.config)
    }

    /// How long a receiver may verify what it finds in its directory.
    fn verification(&self) -> Duration {
        verification(folder_size(&self.config.directory.dir))
    }

    async fn end_streaming(&mut self) {
        let Observers { console, progress, streaming, disk, .. } = &mut self.supervisor.observers;
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

/// How long a receiver may take to verify so many bytes.
fn verification(bytes: u64) -> Duration {
    Duration::from_secs(bytes / VERIFIED)
}

/// The bytes of the files in a folder; of what cannot be read, none.
fn folder_size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|file| file.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_that_has_much_to_verify_is_given_the_time() {
        for (bytes, seconds) in [(0, 0), (2_000_000_000, 40), (100_000_000_000, 2000)] {
            assert_eq!(verification(bytes), Duration::from_secs(seconds));
        }
    }

    #[test]
    fn a_folder_is_as_large_as_its_files() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), [0; 1000]).unwrap();
        fs::write(dir.path().join("b"), [0; 24]).unwrap();
        assert_eq!(folder_size(dir.path()), 1024);
        assert_eq!(folder_size(&dir.path().join("none")), 0);
    }
}
