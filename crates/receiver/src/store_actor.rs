//! The store actor: one thread that owns the store. Requests of all connections go through one queue to it. It asks
//! [`Ingest`] what to do about each, and does that.
//!
//! Because there is one queue, a stream's position and the order of its samples are never in doubt, also when a new
//! connection takes a stream over from an old one.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use event::Event;
use process::{
    exit::{Code, failure},
    shutdown::{Cause, Shutdown},
};
use proto::{Message, StreamDigest, message::Open};
use store::{DatasetId, Disk, Replay, Store};
use tokio::sync::{
    mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    oneshot,
};

use crate::{
    config::{Config, Outcome},
    ingest::{Effect, Ingest, Input, LeaseId, Request, Samples, Stream, Totals},
};

/// Waiting with nothing to do.
const IDLE: Duration = Duration::from_secs(3600);

/// The connections' side of the actor. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct StoreActor {
    queue: mpsc::Sender<Asked>,
    leases: Arc<AtomicU64>,
}

/// The actor's thread.
#[derive(Debug)]
pub(crate) struct Running(oneshot::Receiver<anyhow::Result<Outcome>>);

/// A connection's claim on a stream, given back when dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    actor: StoreActor,
    id: LeaseId,
}

/// What is asked of the thread. With [`Input::Open`] comes where the connection hears replies.
type Asked = (Input, Option<UnboundedSender<Message>>);

/// Opens the store and starts the thread that owns it. The thread first reports that the receiver listens.
pub(crate) fn start(
    config: Config,
    address: SocketAddr,
    shutdown: &Shutdown,
    report: impl Fn(&Event) + Send + 'static,
) -> anyhow::Result<(StoreActor, Running)> {
    let mut digests: HashMap<String, StreamDigest> = HashMap::new();
    let store = open_store(&config, shutdown, |replay| {
        digests.entry(replay.stream.to_owned()).or_default().update(replay.samples);
    })
    .map_err(|error| failure(error.exit_code(), error))?;
    let (dir, now) = (config.dir.display(), Instant::now());
    let recovered = store.streams().into_iter().map(|entry| {
        let durable = store.durable(&entry.name).unwrap_or(entry.first);
        let digest = digests.remove(&entry.name).unwrap_or_default();
        let stream = Stream::new(now, entry.declared(), durable, digest);
        (entry.name, stream)
    });
    let streams: BTreeMap<String, Stream> = recovered.collect();
    if streams.len() > config.streams {
        let count = streams.len();
        let text = format!("`{dir}` already holds {}; give --streams {count}", terminal::count(count, "stream"));
        return Err(failure(Code::Usage, anyhow::anyhow!(text)));
    }
    let totals = Totals { samples: store.samples(), chunks: store.chunks() as u64 };
    if totals.samples > 0 {
        tracing::info!("`{dir}` holds {}; going on", terminal::count(totals.samples, "sample"));
    }
    let (queue, inbox) = mpsc::channel();
    let (result, ended) = oneshot::channel();
    let run = config.run.clone();
    let thread = Thread { run, store, ingest: Ingest::new(config, totals, streams), replies: HashMap::new(), report };
    thread::Builder::new().name("store".into()).spawn(move || {
        (thread.report)(&Event::Listening { address, samples: totals.samples });
        let _ = result.send(thread.work(&inbox)); // Nobody listens when the receiver itself is being torn down.
    })?;
    Ok((StoreActor { queue, leases: Arc::default() }, Running(ended)))
}

/// Opens the store. If another receiver has it, or a trainer reads it, waits for the end of that one.
fn open_store(config: &Config, shutdown: &Shutdown, mut replay: impl FnMut(Replay<'_>)) -> Result<Store, store::Error> {
    // Often enough to go unnoticed, and nothing to the disk.
    const POLL: Duration = Duration::from_millis(20);
    let until = Instant::now() + config.lock_limit;
    let mut told = false;
    loop {
        match Store::open_on(Arc::new(Disk), &config.dir, config.mode, config.samples_per_chunk, &mut replay) {
            Err(store::Error::Locked(_)) if Instant::now() < until && shutdown.requested().is_none() => {}
            opened => return opened,
        }
        if !told {
            tracing::info!("a receiver or a trainer has `{}`; waiting for its end", config.dir.display());
            told = true;
        }
        thread::sleep(POLL);
    }
}

impl StoreActor {
    /// Asks for a stream. The first reply is `Welcome` or `Error`; there is none if the receiver is ending.
    pub(crate) fn open(&self, open: Open) -> (Lease, UnboundedReceiver<Message>) {
        let id = LeaseId(self.leases.fetch_add(1, Ordering::Relaxed));
        let (replies, inbox) = unbounded_channel();
        self.send((Input::Open(id, open), Some(replies)));
        (Lease { actor: self.clone(), id }, inbox)
    }

    /// Seals and acknowledges what was accepted, and ends.
    pub(crate) fn stop(&self, cause: Cause) {
        self.send((Input::Stop(cause), None));
    }

    fn send(&self, asked: Asked) {
        let _ = self.queue.send(asked); // The queue is closed when the work is done; replies say so.
    }
}

impl Lease {
    pub(crate) fn request(&self, request: Request) {
        self.actor.send((Input::Request(self.id, request), None));
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.request(Request::Close);
    }
}

impl Running {
    /// Waits until the thread has ended. Cancel safe.
    pub(crate) async fn ended(&mut self) -> anyhow::Result<Outcome> {
        let panicked = |_| Err(anyhow::anyhow!("the thread that writes chunks panicked"));
        (&mut self.0).await.unwrap_or_else(panicked)
    }
}

/// What the thread owns.
struct Thread<R> {
    /// The run that the samples are for.
    run: Option<String>,
    store: Store,
    ingest: Ingest,
    replies: HashMap<LeaseId, UnboundedSender<Message>>,
    report: R,
}

impl<R: Fn(&Event)> Thread<R> {
    /// Works until everything is there, or the receiver is to stop.
    fn work(mut self, inbox: &mpsc::Receiver<Asked>) -> anyhow::Result<Outcome> {
        loop {
            let wait = self.ingest.deadline().map_or(IDLE, |at| at.saturating_duration_since(Instant::now()));
            let (input, replies) = match inbox.recv_timeout(wait) {
                Ok(asked) => asked,
                Err(RecvTimeoutError::Timeout) => (Input::Tick, None),
                Err(RecvTimeoutError::Disconnected) => return Err(anyhow::anyhow!("nobody is left to receive from")),
            };
            match (&input, replies) {
                (Input::Open(lease, _), Some(replies)) => drop(self.replies.insert(*lease, replies)),
                (Input::Request(lease, Request::Close), _) => drop(self.replies.remove(lease)),
                _ => {}
            }
            if let Some(result) = self.handle(input) {
                return result;
            }
        }
    }

    /// Carries out the effects of an input, and those of the store's answers to them.
    fn handle(&mut self, input: Input) -> Option<anyhow::Result<Outcome>> {
        let mut next = Some(input);
        while let Some(input) = next.take() {
            for effect in self.ingest.handle(Instant::now(), input) {
                if let Effect::Finish(result) = effect {
                    return Some(result.map_err(|error| failure(error.exit_code(), error)));
                }
                next = self.execute(effect);
                if next.is_some() {
                    break; // The effect was the last, or it failed.
                }
            }
        }
        None
    }

    /// Carries an effect out, and returns the store's answer if there is one.
    fn execute(&mut self, effect: Effect) -> Option<Input> {
        let store = &mut self.store;
        let answer = match effect {
            Effect::Declare { lease, open } => {
                let digest = hex::encode(open.dataset_digest);
                let dataset = DatasetId { name: open.dataset.clone(), digest };
                let result = store.open_stream(&open.stream, &dataset, open.extent).map(drop);
                Ok(Input::Declared { lease, open, result })
            }
            Effect::Append { stream, samples: Samples { batch, .. } } => {
                let appended = store.append(&stream, batch.first_position(), batch.samples());
                return appended.err().map(Input::Failed);
            }
            Effect::Seal => store.commit().map(Input::Sealed),
            Effect::Complete { seconds } => {
                store.complete(self.run.as_deref(), seconds).map(|_| Input::Completed { seconds })
            }
            Effect::Reject(what) => store.reject(&what).map(Input::Failed),
            Effect::Forget(stream) => {
                store.forget_if_empty(&stream);
                return None;
            }
            Effect::Reply(lease, reply) => {
                // A sender whose connection is broken comes back and asks.
                self.replies.get(&lease).map(|replies| replies.send(reply));
                return None;
            }
            Effect::Report(event) => {
                (self.report)(&event);
                return None;
            }
            Effect::Warn(text) => {
                tracing::warn!("{text}");
                return None;
            }
            Effect::Finish(_) => return None, // The caller does it.
        };
        Some(answer.unwrap_or_else(Input::Failed))
    }
}

#[cfg(test)]
mod tests {
    use sample::Extent;
    use tempfile::TempDir;

    use super::*;

    #[tokio::test]
    async fn a_stream_of_which_nothing_came_is_forgotten_by_the_store_too() {
        let dir = TempDir::new().unwrap();
        let (_trigger, shutdown) = Shutdown::manual();
        let address = ([127, 0, 0, 1], 1).into();
        let (actor, mut running) = start(Config::new(dir.path()), address, &shutdown, |_| {}).unwrap();
        for (stream, dataset_digest) in [("mistyped", [7; 32]), ("a", [8; 32])] {
            let open =
                Open { stream: stream.into(), dataset: "tiny".into(), dataset_digest, extent: Extent::range(0..20) };
            let (_lease, mut replies) = actor.open(open);
            let reply = replies.recv().await;
            assert!(matches!(reply, Some(Message::Welcome(_))), "{stream}: {reply:?}");
        }
        actor.stop(Cause::Terminate);
        assert_eq!(running.ended().await.unwrap(), Outcome::Stopped(Cause::Terminate));
    }
}
