//! The ingest state machine: which connection holds a stream, which samples are accepted, when a chunk is sealed, and what
//! senders are told. It is pure: an [`Input`] goes in, [`Effect`]s come out. It does no I/O and reads no clock.
//!
//! The promise of the receiver is kept here. [`Message::Ack`] is made in one place, [`Ingest::sealed`], from the store's
//! answer that a chunk is durable.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    mem,
    time::{Duration, Instant},
};

use event::Event;
use process::shutdown::Cause;
use proto::{
    Batch, ErrorCode, Message, StreamDigest,
    message::{Failure, Open, Welcome},
};
use store::Durable;

use self::queue::Queue;
use crate::config::{Config, Outcome};

mod conclusion;
mod interface;
mod queue;
mod stream;
#[cfg(test)]
mod tests;

pub(crate) use interface::{Effect, Input, LeaseId, Request, Samples, Totals};
pub(crate) use stream::Stream;

/// How often to try again while the disk is full.
const RETRY_EVERY: Duration = Duration::from_secs(1);
/// How often to tell the senders that the disk is full, so that they do not give up.
const NOTICE_EVERY: Duration = Duration::from_secs(5);

/// All streams of a receiver, and the state that they share.
pub(crate) struct Ingest {
    config: Config,
    state: State,
    streams: BTreeMap<String, Stream>,
    /// Samples that are not appended yet: the disk is full, or a chunk is to be sealed first.
    arrived: VecDeque<(LeaseId, Samples)>,
    /// Samples that are appended and wait for their chunk.
    pending: Option<Pending>,
    /// All that are not durable yet.
    queue: Queue,
    first_sample: Option<Instant>,
    durable: Totals,
    /// The effects of the input that is being handled.
    effects: Vec<Effect>,
}

enum State {
    Receiving,
    /// The disk is full: nothing is written until `retry_at`.
    Paused {
        /// Why, in words for people.
        reason: String,
        retry_at: Instant,
        /// When the senders are told again.
        notice_at: Instant,
    },
    /// Told to stop: what was accepted is sealed first.
    Stopping(Cause),
    /// The directory is complete, because the receiver was told to stop. Some senders were not there to hear it.
    Leaving {
        /// The streams whose senders may come back and are to be told.
        untold: BTreeSet<String>,
        /// How long that is waited for.
        until: Instant,
        outcome: Outcome,
    },
    /// The digest of a stream differs: that is being written into the directory.
    Rejecting,
    Ended,
}

struct Pending {
    samples: u64,
    /// Since when the oldest waits.
    since: Instant,
}

impl Ingest {
    /// Starts with what the directory already holds.
    pub(crate) fn new(config: Config, durable: Totals, streams: BTreeMap<String, Stream>) -> Ingest {
        Ingest {
            config,
            state: State::Receiving,
            streams,
            arrived: VecDeque::new(),
            pending: None,
            queue: Queue::default(),
            first_sample: None,
            durable,
            effects: Vec::new(),
        }
    }

    /// When [`Input::Tick`] is due, if nothing happens before. Once the store has answered every effect, this is later than the
    /// `now` of the last input, so the actor never spins.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let telling = if self.tells_of_queue() { self.queue.due() } else { None };
        self.due().into_iter().chain(telling).min()
    }

    /// When there is something to do, beside telling of the queue.
    fn due(&self) -> Option<Instant> {
        match self.state {
            State::Receiving => {
                let sealing = self.pending.as_ref().map(|pending| pending.since + self.config.linger);
                sealing.into_iter().chain(self.complete_at()).min()
            }
            State::Paused { retry_at, .. } => Some(retry_at),
            State::Leaving { until, .. } => Some(until),
            State::Stopping(_) | State::Rejecting | State::Ended => None,
        }
    }

    /// Handles one input. Returns what is to be done.
    pub(crate) fn handle(&mut self, now: Instant, input: Input) -> Vec<Effect> {
        match input {
            _ if matches!(self.state, State::Ended) => {}
            Input::Open(lease, open) => self.open(lease, open),
            Input::Request(..) | Input::Stop(_) if matches!(self.state, State::Leaving { .. }) => {}
            Input::Request(lease, request) => self.request(now, lease, request),
            Input::Stop(cause) => self.state = State::Stopping(cause),
            Input::Tick => {}
            Input::Declared { lease, open, result } => self.declared(now, lease, open, result),
            Input::Sealed(durable) => self.sealed(now, durable),
            Input::Completed { seconds } => self.completed(now, seconds),
            Input::Failed(error) => self.failed(now, error),
        }
        self.advance(now);
        self.tell_of_queue(now);
        mem::take(&mut self.effects)
    }

    fn tells_of_queue(&self) -> bool {
        matches!(self.state, State::Receiving | State::Paused { .. })
    }

    fn tell_of_queue(&mut self, now: Instant) {
        if self.tells_of_queue()
            && let Some(event) = self.queue.news(now)
        {
            let is_answered = self.effects.last().is_some_and(Effect::is_answered);
            self.effects.insert(self.effects.len() - usize::from(is_answered), Effect::Report(event));
        }
    }

    fn request(&mut self, now: Instant, lease: LeaseId, request: Request) {
        let Some((name, stream)) = leased(&mut self.streams, lease) else { return };
        match request {
            Request::Data(samples) => {
                self.queue.samples += samples.batch.count() as u64;
                self.arrived.push_back((lease, samples));
            }
            Request::End(end) => stream.set_end(end),
            Request::Bye => stream.confirmed = Some(now),
            Request::Close => {
                stream.release(now);
                if stream.is_empty() {
                    let name = name.clone();
                    self.streams.remove(&name);
                    self.effects.push(Effect::Forget(name));
                }
            }
        }
    }

    fn open(&mut self, lease: LeaseId, open: Open) {
        let expected = self.config.streams;
        if self.streams.contains_key(&open.stream) || self.streams.len() < expected {
            return self.effects.push(Effect::Declare { lease, open });
        }
        let text = format!(
            "stream `{}` is not one of the {expected} that are expected; start the receiver with more --streams",
            open.stream
        );
        self.reply(lease, failed(ErrorCode::Stream, text));
    }

    fn declared(&mut self, now: Instant, lease: LeaseId, open: Open, result: Result<(), store::Error>) {
        if let Err(error) = result {
            let code = match error {
                store::Error::OtherDataset { .. } => ErrorCode::Dataset,
                _ => ErrorCode::Stream,
            };
            return self.reply(lease, failed(code, error.to_string()));
        }
        let Open { stream: name, extent, .. } = open;
        let new = || Stream::new(now, extent, extent.first, StreamDigest::default());
        let stream = self.streams.entry(name.clone()).or_insert_with(new);
        if let Some(old) = stream.lease() {
            let fenced = failed(ErrorCode::Fenced, "another connection took the stream over");
            self.effects.push(Effect::Reply(old, fenced));
        }
        stream.grant(lease);
        // With less than two chunks, a sender could wait for the ack of a chunk that it may not fill. Twice that keeps it
        // sending while a chunk is written.
        let window = (self.config.samples_per_chunk.max(Batch::MAX_SAMPLES) * 4) as u64;
        let welcome = Welcome { next: stream.accepted, durable: stream.durable, window };
        self.reply(lease, Message::Welcome(welcome));
        match &mut self.state {
            State::Paused { reason, .. } => {
                self.effects.push(Effect::Reply(lease, Message::pause(reason.as_str())));
            }
            State::Leaving { untold, .. } => {
                untold.remove(&name);
                self.reply(lease, failed(ErrorCode::Sealed, conclusion::SEALED));
            }
            _ => {}
        }
    }

    /// A chunk is durable: acknowledges its samples. Nothing else does.
    fn sealed(&mut self, now: Instant, durable: Vec<Durable>) {
        if let State::Paused { .. } = self.state {
            self.state = State::Receiving;
            self.effects.push(Effect::Report(Event::Resumed));
            self.reply_all(&Message::Resume);
        }
        let mut sealed = 0;
        for Durable { stream, position } in durable {
            let Some(stream) = self.streams.get_mut(&stream) else { continue };
            sealed += position - stream.durable;
            stream.durable = position;
            self.effects.extend(stream.lease().map(|lease| Effect::Reply(lease, Message::Ack(position))));
        }
        self.durable.samples += sealed;
        self.queue.samples = self.queue.samples.saturating_sub(sealed);
        self.durable.chunks += 1;
        let left = self.pending.take().map_or(0, |pending| pending.samples - sealed);
        self.pending = (left > 0).then_some(Pending { samples: left, since: now });
        let Totals { samples, chunks } = self.durable;
        self.effects.push(Effect::Report(Event::Stored { samples, chunks }));
    }

    fn failed(&mut self, now: Instant, error: store::Error) {
        if let store::Error::Rejected { what, .. } = &error {
            // Only after it is on disk: a sender that hears this does not come back.
            let what = what.clone();
            return self.end(ErrorCode::Digest, &what, Err(error));
        }
        match self.state {
            State::Receiving | State::Paused { .. } if error.is_full() => self.pause(now, &chain(&error)),
            State::Stopping(cause) if error.is_full() => {
                let text = format!("{}; what was not acknowledged is to be sent again", chain(&error));
                self.effects.push(Effect::Warn(text));
                self.stopped(cause);
            }
            _ => self.end(ErrorCode::Storage, &chain(&error), Err(error)),
        }
    }

    /// The disk is full: tells everybody, and again from time to time.
    fn pause(&mut self, now: Instant, reason: &str) {
        let notice_at = match self.state {
            State::Paused { notice_at, .. } if now < notice_at => notice_at,
            _ => {
                self.effects.push(Effect::Report(Event::Paused { reason: reason.to_owned() }));
                self.reply_all(&Message::pause(reason));
                now + NOTICE_EVERY
            }
        };
        self.state = State::Paused { reason: reason.to_owned(), retry_at: now + RETRY_EVERY, notice_at };
    }

    /// Goes as far as possible without an answer from the store.
    fn advance(&mut self, now: Instant) {
        if self.effects.last().is_some_and(Effect::is_answered) {
            return;
        }
        match &mut self.state {
            State::Rejecting | State::Ended => return,
            State::Leaving { .. } => return self.leave(now),
            State::Paused { retry_at, .. } if now < *retry_at => return,
            State::Paused { retry_at, .. } => *retry_at = now + RETRY_EVERY,
            State::Receiving | State::Stopping(_) => {}
        }
        while !self.is_chunk_due(now) {
            let Some((lease, samples)) = self.arrived.pop_front() else { return self.conclude(now) };
            self.append(now, lease, samples);
        }
        self.effects.push(Effect::Seal);
    }

    /// Whether a chunk is full, its oldest sample has waited long enough, or nothing more can come.
    fn is_chunk_due(&self, now: Instant) -> bool {
        let Some(Pending { samples, since }) = self.pending else { return false };
        let is_over = match self.state {
            State::Stopping(_) => self.arrived.is_empty(),
            _ => now >= since + self.config.linger || self.is_all_accepted(),
        };
        samples >= self.config.samples_per_chunk as u64 || is_over
    }

    fn is_all_accepted(&self) -> bool {
        self.streams.len() == self.config.streams && self.streams.values().all(Stream::is_accepted)
    }

    /// Appends samples, unless a newer connection holds the stream.
    fn append(&mut self, now: Instant, lease: LeaseId, samples: Samples) {
        let count = samples.batch.count() as u64;
        let Some((name, stream)) = leased(&mut self.streams, lease) else {
            self.queue.samples = self.queue.samples.saturating_sub(count);
            return;
        };
        stream.accept(&samples.batch);
        self.first_sample.get_or_insert(now);
        self.pending.get_or_insert(Pending { samples: 0, since: now }).samples += count;
        self.effects.push(Effect::Append { stream: name.clone(), samples });
    }

    fn reply(&mut self, lease: LeaseId, reply: Message) {
        self.effects.push(Effect::Reply(lease, reply));
    }

    fn reply_all(&mut self, reply: &Message) {
        let leases = self.streams.values().filter_map(Stream::lease);
        self.effects.extend(leases.map(|lease| Effect::Reply(lease, reply.clone())));
    }
}

/// The stream that a lease is valid for; `None` if a newer connection has taken it over.
fn leased(streams: &mut BTreeMap<String, Stream>, lease: LeaseId) -> Option<(&String, &mut Stream)> {
    streams.iter_mut().find(|(_, stream)| stream.lease() == Some(lease))
}

fn failed(code: ErrorCode, text: impl Into<String>) -> Message {
    Message::Error(Failure { code, text: text.into() })
}

/// An error and its causes, in one line.
fn chain(error: &store::Error) -> String {
    std::error::Error::source(error).map_or(error.to_string(), |cause| format!("{error}: {cause}"))
}
