//! The clerk: who owns the store, and works through what comes to the desk.

use std::{
    collections::{HashMap, VecDeque},
    sync::mpsc::{self, RecvTimeoutError},
    time::{Duration, Instant},
};

use cli::{event::Event, exit::failure, shutdown::Cause};
use proto::{
    Batch, ErrorCode, StreamDigest,
    message::{End, Failure, Open, Welcome},
};
use store::{DatasetId, Durable, Store};
use tokio::sync::mpsc::UnboundedSender;

use super::{Command, Reply, Room, Ticket};
use crate::{Config, Outcome};

/// While the disk is full: how often to try again, and how often to tell the senders, who would else take us for dead.
const RETRY_EVERY: Duration = Duration::from_secs(1);
const PAUSE_EVERY: Duration = Duration::from_secs(5);

/// Waiting with nothing to do.
const IDLE: Duration = Duration::from_secs(3600);

/// Who works at the desk. Every command is handled to its end before the next.
pub(super) struct Clerk<R> {
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
    /// Takes the store over, with the digests of the streams that it already holds.
    pub(super) fn new(config: Config, store: Store, known: Vec<(String, StreamDigest)>, report: R) -> Self {
        Clerk {
            config,
            store,
            streams: known.into_iter().map(|(name, digest)| (name, Stream { digest, ..Stream::new() })).collect(),
            tickets: HashMap::new(),
            report,
            first_sample: None,
            oldest_pending: None,
            pause: None,
            held: VecDeque::new(),
            rejected: None,
        }
    }

    /// Works until everything is there, or the receiver is to stop.
    pub(super) fn work(mut self, inbox: &mpsc::Receiver<Command>) -> anyhow::Result<Outcome> {
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

    fn complete(&mut self) -> Result<Outcome, store::Error> {
        let seconds = self.first_sample.map_or(0.0, |since| since.elapsed().as_secs_f64());
        let manifest = self.store.complete(self.config.run.as_deref(), seconds)?;
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
