//! The desk: one thread that owns the store. Connections hand their samples in here and are told when these are
//! durable. Because there is one queue, a stream's position and the order of its samples are never in doubt, also when
//! a new connection takes a stream over from an old one.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use cli::{
    event::Event,
    exit::failure,
    shutdown::{Cause, Shutdown},
};
use proto::{
    Batch, ErrorCode, StreamDigest,
    message::{End, Failure, Open, Welcome},
};
use store::{Replay, Store};
use tokio::sync::{
    OwnedSemaphorePermit, Semaphore,
    mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    oneshot,
};

use crate::{Config, Outcome};

mod clerk;

use clerk::Clerk;

/// Bytes of samples that may be on their way from sockets to chunks, all connections together. The desk takes them out
/// unless the disk is full, and a sender that stops in the middle of a frame is cut off, so whoever waits for room gets it.
const QUEUE_BYTES: usize = 32 << 20;

/// A connection's claim on its stream. A newer connection for the same stream makes older tickets void.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ticket(u64);

/// Room in the queue for one message.
pub(crate) type Room = OwnedSemaphorePermit;

/// What the desk tells a connection.
#[derive(Debug)]
pub(crate) enum Reply {
    /// Every sample before this position is durable.
    Durable(u64),
    /// The whole stream is durable and its digest agrees.
    EndAck,
    /// The disk is full, in words for people.
    Paused(String),
    /// There is room again.
    Resumed,
    /// The session is over.
    Failed(Failure),
}

enum Command {
    Enter {
        open: Open,
        ticket: Ticket,
        replies: UnboundedSender<Reply>,
        answer: oneshot::Sender<Result<Welcome, Failure>>,
    },
    HandIn {
        ticket: Ticket,
        batch: Batch,
        room: Option<Room>,
    },
    End {
        ticket: Ticket,
        end: End,
    },
    Bye(Ticket),
    Leave(Ticket),
    Report(Event),
    Stop(Cause),
}

/// The connections' side of the desk.
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    commands: mpsc::Sender<Command>,
    room: Arc<Semaphore>,
    tickets: Arc<AtomicU64>,
    /// Samples that were durable at start.
    pub(crate) recovered: u64,
}

/// The thread behind the desk.
#[derive(Debug)]
pub(crate) struct DeskThread(oneshot::Receiver<anyhow::Result<Outcome>>);

/// Opens the store and starts the thread that owns it.
pub(crate) fn open(
    config: Config,
    shutdown: &Shutdown,
    report: impl Fn(&Event) + Send + 'static,
) -> anyhow::Result<(Desk, DeskThread)> {
    let mut digests: HashMap<String, StreamDigest> = HashMap::new();
    let store = open_store(&config, shutdown, |replay| {
        digests.entry(replay.stream.to_owned()).or_default().update(replay.labels, replay.images);
    })
    .map_err(|error| failure(error.exit_code(), error))?;
    let with_digest = |(name, _): (&str, bool)| (name.to_owned(), digests.remove(name).unwrap_or_default());
    let known: Vec<(String, StreamDigest)> = store.streams().map(with_digest).collect();
    if known.len() > config.streams {
        let text = format!(
            "`{}` already holds {}; give --streams {}",
            config.dir.display(),
            cli::count(known.len(), "stream"),
            known.len()
        );
        return Err(failure(cli::exit::Code::Usage, anyhow::anyhow!(text)));
    }
    let recovered = store.samples();
    if recovered > 0 {
        tracing::info!("`{}` holds {}; going on", config.dir.display(), cli::count(recovered, "sample"));
    }
    let (commands, inbox) = mpsc::channel();
    let (result, finished) = oneshot::channel();
    let clerk = Clerk::new(config, store, known, report);
    thread::Builder::new().name("desk".into()).spawn(move || {
        let _ = result.send(clerk.work(&inbox)); // Nobody listens when the receiver itself is being torn down.
    })?;
    let room = Arc::new(Semaphore::new(QUEUE_BYTES));
    Ok((Desk { commands, room, tickets: Arc::default(), recovered }, DeskThread(finished)))
}

/// Opens the store; if another receiver has it, or a trainer reads it, waits for the end of that one.
fn open_store(config: &Config, shutdown: &Shutdown, mut replay: impl FnMut(Replay<'_>)) -> Result<Store, store::Error> {
    // Often enough to go unnoticed, and nothing to the disk.
    const POLL: Duration = Duration::from_millis(20);
    let until = Instant::now() + config.lock_limit;
    let mut told = false;
    loop {
        match Store::open_with(&config.dir, config.mode, config.samples_per_chunk, &mut replay) {
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

impl DeskThread {
    /// Ends when the thread does.
    pub(crate) fn finished(self) -> std::pin::Pin<Box<dyn Future<Output = anyhow::Result<Outcome>> + Send>> {
        Box::pin(async {
            self.0.await.unwrap_or_else(|_| Err(anyhow::anyhow!("the thread that writes chunks panicked")))
        })
    }
}

impl Desk {
    /// Claims a stream for a connection.
    pub(crate) async fn enter(&self, open: Open) -> Result<(Ticket, Welcome, UnboundedReceiver<Reply>), Failure> {
        let ticket = Ticket(self.tickets.fetch_add(1, Ordering::Relaxed));
        let (replies, inbox) = unbounded_channel();
        let (answer, answered) = oneshot::channel();
        self.send(Command::Enter { open, ticket, replies, answer });
        let closing = || Failure { code: ErrorCode::Stopping, text: "the receiver is ending".into() };
        let welcome = answered.await.unwrap_or_else(|_| Err(closing()))?;
        Ok((ticket, welcome, inbox))
    }

    /// Waits for room for a message of so many bytes, at most [`proto::MAX_BODY`].
    pub(crate) async fn room(&self, bytes: u32) -> Option<Room> {
        Arc::clone(&self.room).acquire_many_owned(bytes).await.ok()
    }

    /// Hands samples in, with the room that they take until they are in a chunk or in its making.
    pub(crate) fn hand_in(&self, ticket: Ticket, batch: Batch, room: Option<Room>) {
        self.send(Command::HandIn { ticket, batch, room });
    }

    /// Says that the stream is over.
    pub(crate) fn end(&self, ticket: Ticket, end: End) {
        self.send(Command::End { ticket, end });
    }

    /// Says that the sender knows that its whole stream is durable.
    pub(crate) fn bye(&self, ticket: Ticket) {
        self.send(Command::Bye(ticket));
    }

    /// Gives the claim back.
    pub(crate) fn leave(&self, ticket: Ticket) {
        self.send(Command::Leave(ticket));
    }

    /// Passes an event on, in order with the desk's own.
    pub(crate) fn report(&self, event: Event) {
        self.send(Command::Report(event));
    }

    /// Seals and acknowledges what was accepted, and ends.
    pub(crate) fn stop(&self, cause: Cause) {
        self.send(Command::Stop(cause));
    }

    fn send(&self, command: Command) {
        let _ = self.commands.send(command); // The desk is closed when the work is done; replies say so.
    }
}
