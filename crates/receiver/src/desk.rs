//! The desk: one thread that owns the store. Connections hand their samples in here and are told when these are
//! durable. Because there is one queue, a stream's position and the order of its samples are never in doubt, also when
//! a new connection takes a stream over from an old one.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError},
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
use store::{DatasetId, Durable, Replay, Store};
use tokio::sync::{
    OwnedSemaphorePermit, Semaphore,
    mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    oneshot,
};

use crate::{Config, Outcome};

/// Bytes of samples that may be on their way from sockets to chunks, all connections together. The desk takes them out
/// unless the disk is full, and a sender that stops in the middle of a frame is cut off, so whoever waits for room gets it.
const QUEUE_BYTES: usize = 32 << 20;

/// While the disk is full: how often to try again, and how often to tell the senders, who would else take us for dead.
const RETRY_EVERY: Duration = Duration::from_secs(1);
const PAUSE_EVERY: Duration = Duration::from_secs(5);

/// Waiting with nothing to do.
const IDLE: Duration = Duration::from_secs(3600);

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
    let known: Vec<String> = store.streams().map(|(name, _)| name.to_owned()).collect();
    if known.len() > config.streams {
        let text = format!("`{}` already holds {} streams; give --streams {0}", config.dir.display(), known.len());
        return Err(failure(cli::exit::Code::Usage, anyhow::anyhow!(text)));
    }
    let recovered = store.samples();
    if recovered > 0 {
        tracing::info!("`{}` holds {recovered} samples; going on", config.dir.display());
    }
    let (commands, inbox) = mpsc::channel();
    let (result, finished) = oneshot::channel();
    let clerk = Clerk {
        store,
        streams: known
            .into_iter()
            .map(|name| {
                let digest = digests.remove(&name).unwrap_or_default();
                (name, Stream { digest, ..Stream::new() })
            })
            .collect(),
        tickets: HashMap::new(),
        config,
        report,
        first_sample: None,
        oldest_pending: None,
        pause: None,
        held: VecDeque::new(),
        rejected: None,
    };
    thread::Builder::new().name("desk".into()).spawn(move || {
        let _ = result.send(clerk.work(&inbox)); // Nobody listens when the receiver itself is being torn down.
    })?;
    let room = Arc::new(Semaphore::new(QUEUE_BYTES));
    Ok((Desk { commands, room, tickets: Arc::default(), recovered }, DeskThread(finished)))
}

/// Opens the store; if another receiver has it, waits for the end of that one.
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
            tracing::info!("another receiver has `{}`; waiting for its end", config.dir.display());
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

/// Who works at the desk.
struct Clerk<R> {
    config: Config,
    store: Store,
    streams: HashMap<String, Stream>,
    /// Which stream a ticket is for.
    tickets: HashMap<Ticket, String>,
    report: R,
    first_sample: Option<Instant>,
    /// When the oldest sample that waits for its chunk came in.
    oldest_pending: Option<Instant>,
    /// The disk is full.
    pause: Option<Pause>,
    /// Samples that came in during the pause, with the room that they take.
    held: VecDeque<(Ticket, Batch, Option<Room>)>,
    /// What arrived otherwise than it was sent: the directory is given up.
    rejected: Option<String>,
}

/// The disk is full: nothing is written until there is room again.
struct Pause {
    /// Why, in words for people.
    reason: String,
    next_try: Instant,
    next_notice: Instant,
}

struct Stream {
    digest: StreamDigest,
    /// The connection that holds the stream.
    seat: Option<(Ticket, UnboundedSender<Reply>)>,
    /// What the sender said at the end, until everything is durable.
    end: Option<End>,
    /// The sender knows that the whole stream is durable.
    ended: bool,
    /// Since when no connection has held the stream, if none does.
    empty_since: Instant,
}

impl<R: Fn(&Event)> Clerk<R> {
    fn work(mut self, inbox: &mpsc::Receiver<Command>) -> anyhow::Result<Outcome> {
        let mut looked = Instant::now();
        loop {
            match inbox.recv_timeout(self.patience(looked)) {
                Ok(Command::Stop(cause)) => return self.stop(cause),
                Ok(command) => self.handle(command).map_err(|error| self.failed(error))?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(anyhow::anyhow!("nobody is left to receive from")),
            }
            looked = Instant::now();
            match self.write_what_is_due(looked) {
                Ok(Some(outcome)) => return Ok(outcome),
                Ok(None) => {}
                Err(error) if error.is_full() => self.pause(&error),
                Err(error) => return Err(self.failed(error)),
            }
            if let Some(what) = self.rejected.take() {
                // The senders hear it when it is written down: those that heard would not come back to say `End` again.
                return match self.store.reject(&what) {
                    Ok(rejected) => {
                        self.give_up(ErrorCode::Digest, &what);
                        Err(failure(rejected.exit_code(), rejected))
                    }
                    Err(error) => Err(self.failed(error)),
                };
            }
        }
    }

    /// Writes every chunk that is due, and last the manifest. All writing is here, so that a full disk can interrupt it
    /// at any point and the next call goes on.
    fn write_what_is_due(&mut self, now: Instant) -> Result<Option<Outcome>, store::Error> {
        if self.pause.as_ref().is_some_and(|pause| now < pause.next_try) {
            return Ok(None);
        }
        loop {
            while self.is_chunk_due(now) {
                self.commit()?;
            }
            let Some((ticket, batch, _room)) = self.held.pop_front() else { break };
            self.take_in(ticket, &batch)?;
        }
        self.answer_ends();
        if self.rejected.is_none() && self.is_complete(now) {
            return self.complete().map(Some);
        }
        if let Some(pause) = &mut self.pause {
            pause.next_try = now + RETRY_EVERY; // What was due is not any more, so there was nothing to try.
        }
        Ok(None)
    }

    /// Whether a chunk is full, its oldest sample has waited long enough, or nothing more is to come.
    fn is_chunk_due(&self, now: Instant) -> bool {
        let is_over = |(name, durable)| durable || self.streams[name].end.is_some();
        let all_over = || self.streams.len() == self.config.streams && self.store.streams().all(is_over);
        let lingered = || self.oldest_pending.is_some_and(|since| now >= since + self.config.linger);
        self.store.has_full_chunk() || self.store.has_pending() && (lingered() || self.held.is_empty() && all_over())
    }

    fn commit(&mut self) -> Result<(), store::Error> {
        let durable = self.store.commit()?;
        self.oldest_pending = self.store.has_pending().then(Instant::now);
        if self.pause.take().is_some() {
            (self.report)(&Event::Resumed);
            self.tell_all(|| Reply::Resumed);
        }
        for Durable { stream, position } in &durable {
            self.streams[stream].reply(Reply::Durable(*position));
        }
        (self.report)(&Event::Stored { samples: self.store.samples(), chunks: self.store.chunks() as u64 });
        Ok(())
    }

    /// Notes that the disk is full, and tells everybody now and then.
    fn pause(&mut self, error: &store::Error) {
        let now = Instant::now();
        let reason = chain(error);
        let next_notice = match &self.pause {
            Some(pause) if now < pause.next_notice => pause.next_notice,
            _ => {
                (self.report)(&Event::Paused { reason: reason.clone() });
                self.tell_all(|| Reply::Paused(reason.clone()));
                now + PAUSE_EVERY
            }
        };
        self.pause = Some(Pause { reason, next_try: now + RETRY_EVERY, next_notice });
    }

    /// Stores and acknowledges what was accepted, and ends.
    fn stop(&mut self, cause: Cause) -> anyhow::Result<Outcome> {
        while let Some((ticket, batch, _room)) = self.held.pop_front() {
            self.take_in(ticket, &batch).map_err(|error| self.failed(error))?;
        }
        while self.store.has_pending() {
            match self.commit() {
                Ok(()) => {}
                Err(error) if error.is_full() => {
                    tracing::warn!("{}; what was not acknowledged is to be sent again", chain(&error));
                    break;
                }
                Err(error) => return Err(self.failed(error)),
            }
        }
        self.give_up(ErrorCode::Stopping, "the receiver was stopped");
        Ok(Outcome::Stopped(cause))
    }

    /// Ends every session because of `error`, which this thread then ends with.
    fn failed(&self, error: store::Error) -> anyhow::Error {
        self.give_up(ErrorCode::Storage, &chain(&error));
        failure(error.exit_code(), error)
    }

    /// How long to wait for a command before something is due that was not when it was last `looked` at.
    fn patience(&self, looked: Instant) -> Duration {
        let writing = match &self.pause {
            Some(pause) => Some(pause.next_try),
            None => self.oldest_pending.map(|since| since + self.config.linger),
        };
        let graces = self.streams.values().filter(|stream| !stream.ended && stream.seat.is_none());
        let graces = graces.map(|stream| stream.empty_since + self.config.grace).filter(|end| *end > looked);
        writing.into_iter().chain(graces).min().map_or(IDLE, |due| due.saturating_duration_since(Instant::now()))
    }

    fn handle(&mut self, command: Command) -> Result<(), store::Error> {
        match command {
            Command::Enter { open, ticket, replies, answer } => {
                let answered = self.enter(open, ticket, replies);
                let _ = answer.send(answered); // The connection may have broken in the meantime.
                Ok(())
            }
            Command::HandIn { ticket, batch, room } if self.pause.is_some() => {
                self.held.push_back((ticket, batch, room));
                Ok(())
            }
            Command::HandIn { ticket, batch, .. } => self.take_in(ticket, &batch),
            Command::End { ticket, end } => {
                if let Some(stream) = self.seated(ticket) {
                    stream.end = Some(end);
                }
                Ok(())
            }
            Command::Bye(ticket) => {
                if let Some(stream) = self.seated(ticket) {
                    stream.ended = true;
                }
                Ok(())
            }
            Command::Leave(ticket) => {
                if let Some(stream) = self.seated(ticket) {
                    // Whoever comes back says `End` again, and is told then.
                    (stream.seat, stream.end, stream.empty_since) = (None, None, Instant::now());
                }
                if let Some(name) = self.tickets.remove(&ticket)
                    && self.streams.get(&name).is_some_and(|stream| stream.seat.is_none())
                    && self.store.forget_if_empty(&name)
                {
                    self.streams.remove(&name); // Nothing came of it, so its place is free again.
                }
                Ok(())
            }
            Command::Report(event) => {
                (self.report)(&event);
                Ok(())
            }
            Command::Stop(_) => Ok(()), // Handled where the commands come in.
        }
    }

    fn enter(&mut self, open: Open, ticket: Ticket, replies: UnboundedSender<Reply>) -> Result<Welcome, Failure> {
        let refuse = |code, text: String| Err(Failure { code, text });
        if !self.streams.contains_key(&open.stream) && self.streams.len() == self.config.streams {
            let text = format!(
                "stream `{}` is not one of the {} that are expected; start the receiver with more --streams",
                open.stream, self.config.streams
            );
            return refuse(ErrorCode::Stream, text);
        }
        let digest = open.dataset_digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let dataset = DatasetId { name: open.dataset, digest };
        let next = match self.store.open_stream(&open.stream, &dataset, open.first, open.end) {
            Ok(next) => next,
            Err(error @ store::Error::OtherDataset { .. }) => return refuse(ErrorCode::Dataset, error.to_string()),
            Err(error) => return refuse(ErrorCode::Stream, error.to_string()),
        };
        let durable = self.store.durable(&open.stream).unwrap_or(open.first);
        let stream = self.streams.entry(open.stream.clone()).or_insert_with(Stream::new);
        stream.end = None;
        if let Some((old, seat)) = stream.seat.replace((ticket, replies)) {
            let text = "another connection took the stream over";
            let _ = seat.send(Reply::Failed(Failure { code: ErrorCode::Fenced, text: text.into() }));
            self.tickets.remove(&old);
        }
        if let (Some(pause), Some((_, seat))) = (&self.pause, &stream.seat) {
            let _ = seat.send(Reply::Paused(pause.reason.clone())); // It hears it after its Welcome.
        }
        self.tickets.insert(ticket, open.stream);
        // Less than two chunks, and a sender would wait for an ack of a chunk that it may not fill.
        let window = self.config.samples_per_chunk.max(Batch::MAX_SAMPLES) * 4;
        Ok(Welcome { next, durable, window: window as u64 })
    }

    /// Takes samples in, unless a newer connection holds the stream.
    fn take_in(&mut self, ticket: Ticket, batch: &Batch) -> Result<(), store::Error> {
        let Some(stream) = self.seated(ticket) else { return Ok(()) };
        stream.digest.update(batch.labels(), batch.images());
        self.first_sample.get_or_insert_with(Instant::now);
        let name = &self.tickets[&ticket];
        self.store.append(name, batch.first_seq(), batch.labels(), batch.images())?;
        self.oldest_pending.get_or_insert_with(Instant::now);
        Ok(())
    }

    /// Answers the `End` of every stream that is durable as a whole.
    fn answer_ends(&mut self) {
        for (name, durable) in self.store.streams() {
            let Some(stream) = self.streams.get_mut(name).filter(|_| durable) else { continue };
            let Some(end) = stream.end.take() else { continue };
            if end.digest == stream.digest.finish() {
                stream.reply(Reply::EndAck);
            } else {
                self.rejected = Some(format!("stream `{name}`: what arrived is not what was sent"));
            }
        }
    }

    /// Whether every expected stream is durable and its sender knows, or has stayed away for the whole grace.
    fn is_complete(&self, now: Instant) -> bool {
        let stays_away = |stream: &Stream| stream.seat.is_none() && now >= stream.empty_since + self.config.grace;
        self.streams.len() == self.config.streams
            && self.store.streams().all(|(name, durable)| {
                let stream = &self.streams[name];
                stream.ended || (durable && stays_away(stream))
            })
    }

    fn complete(&self) -> Result<Outcome, store::Error> {
        let seconds = self.first_sample.map_or(0.0, |since| since.elapsed().as_secs_f64());
        let manifest = self.store.complete(seconds)?;
        let (samples, chunks) = (manifest.samples, manifest.chunks.len() as u64);
        (self.report)(&Event::Complete { samples, chunks, seconds });
        Ok(Outcome::Complete { samples, chunks, seconds })
    }

    /// Ends every session.
    fn give_up(&self, code: ErrorCode, text: &str) {
        self.tell_all(|| Reply::Failed(Failure { code, text: text.to_owned() }));
    }

    fn tell_all(&self, reply: impl Fn() -> Reply) {
        self.streams.values().for_each(|stream| stream.reply(reply()));
    }

    /// The stream that a ticket holds; `None` if a newer connection took it over.
    fn seated(&mut self, ticket: Ticket) -> Option<&mut Stream> {
        let stream = self.streams.get_mut(self.tickets.get(&ticket)?)?;
        stream.seat.as_ref().is_some_and(|(seated, _)| *seated == ticket).then_some(stream)
    }
}

/// An error and its causes, in one line.
fn chain(error: &store::Error) -> String {
    std::error::Error::source(error).map_or(error.to_string(), |cause| format!("{error}: {cause}"))
}

impl Stream {
    fn new() -> Self {
        Stream { digest: StreamDigest::default(), seat: None, end: None, ended: false, empty_since: Instant::now() }
    }

    fn reply(&self, reply: Reply) {
        if let Some((_, seat)) = &self.seat {
            let _ = seat.send(reply); // A broken connection comes back and asks.
        }
    }
}
