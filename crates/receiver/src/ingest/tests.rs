//! Tables: an input at a time, and the effects that must come of it.

mod disk;
mod endless;
mod queue;
mod random;
mod streams;

use std::io;

use proto::{HEADER_BYTES, Header, MAX_BODY, message::End};
use sample::Extent;

use super::*;

const PER_CHUNK: usize = 10;
const LINGER: u64 = 2_000;
const GRACE: u64 = 5_000;
const ENDLESS: u64 = u64::MAX;

/// A state machine, and the moment that all times are counted from.
struct Play {
    ingest: Ingest,
    start: Instant,
}

impl Play {
    /// A receiver of so many streams, with an empty directory.
    fn new(streams: usize) -> Play {
        Play::with(streams, Totals::default(), |_| BTreeMap::new())
    }

    fn with(streams: usize, totals: Totals, known: impl FnOnce(Instant) -> BTreeMap<String, Stream>) -> Play {
        let config = Config {
            samples_per_chunk: PER_CHUNK,
            streams,
            linger: Duration::from_millis(LINGER),
            grace: Duration::from_millis(GRACE),
            ..Config::new("chunks")
        };
        let start = Instant::now();
        Play { ingest: Ingest::new(config, totals, known(start)), start }
    }

    /// A receiver of one stream, `a`, of so many samples, held by lease 1.
    fn opened(end: u64) -> Play {
        let mut play = Play::new(1);
        play.open(0, 1, "a", end);
        play
    }

    /// A receiver of one stream, `a`, of 20 samples, all durable and held by lease 1.
    fn all_durable() -> Play {
        let mut play = Play::opened(20);
        play.step(0, data(1, 0, 20), "append a 0..20, seal");
        play.step(0, sealed("a", 10), "1: ack 10, stored 10 in 1, seal");
        play.step(0, sealed("a", 20), "1: ack 20, stored 20 in 2");
        play
    }

    /// A receiver of one stream, `a`, of 40 samples, held by lease 1. Ten samples wait, and the disk is full since second 0.
    fn paused() -> Play {
        let mut play = Play::opened(40);
        play.step(0, data(1, 0, 10), "append a 0..10, seal");
        play.step(0, failed(full()), PAUSED);
        play
    }

    /// Hands an input in, so many milliseconds after the start.
    #[track_caller]
    fn step(&mut self, millis: u64, input: Input, expect: &str) {
        let now = self.start + Duration::from_millis(millis);
        let effects = self.ingest.handle(now, input);
        let words: Vec<String> = effects.iter().filter(|effect| !is_of_queue(effect)).map(words).collect();
        assert_eq!(words.join(", "), expect, "at {millis} ms");
        let answered = effects.iter().position(Effect::is_answered);
        assert!(answered.is_none_or(|at| at + 1 == effects.len()), "nothing comes after what is answered");
        if answered.is_none() {
            assert!(self.ingest.deadline().is_none_or(|at| at > now), "what is due is done");
        }
    }

    /// Lets a new connection open a stream that nobody holds.
    #[track_caller]
    fn open(&mut self, millis: u64, lease: u64, stream: &str, end: u64) {
        let known = self.ingest.streams.get(stream);
        let (next, durable) = known.map_or((0, 0), |stream| (stream.accepted, stream.durable));
        self.open_and_hear(millis, lease, stream, end, &format!("{lease}: welcome {next} {durable}"));
    }

    /// Lets a new connection open a stream that fits the directory, and expects what all are told then.
    #[track_caller]
    fn open_and_hear(&mut self, millis: u64, lease: u64, stream: &str, end: u64, expect: &str) {
        self.step(millis, open(lease, stream, end), &format!("declare {stream} for {lease}"));
        self.step(millis, declared(lease, stream, end, Ok(())), expect);
    }

    #[track_caller]
    fn deadline(&self, millis: Option<u64>) {
        let deadline = self.ingest.due().map(|at| (at - self.start).as_millis() as u64);
        assert_eq!(deadline, millis);
    }
}

/// Whether an effect tells of the queue, which has a table of its own.
fn is_of_queue(effect: &Effect) -> bool {
    matches!(effect, Effect::Report(Event::Receiving { .. }))
}

/// An effect in a few words.
fn words(effect: &Effect) -> String {
    match effect {
        Effect::Declare { lease, open } => format!("declare {} for {}", open.stream, lease.0),
        Effect::Forget(stream) => format!("forget {stream}"),
        Effect::Append { stream, samples: Samples { batch, .. } } => {
            format!("append {stream} {}..{}", batch.first_position(), batch.first_position() + batch.count() as u64)
        }
        Effect::Seal => "seal".into(),
        Effect::Complete { seconds } => format!("complete after {seconds}"),
        Effect::Reject(what) => format!("reject: {what}"),
        Effect::Reply(lease, reply) => format!("{}: {}", lease.0, reply_words(reply)),
        Effect::Report(Event::Stored { samples, chunks }) => format!("stored {samples} in {chunks}"),
        Effect::Report(Event::Paused { reason }) => format!("paused: {reason}"),
        Effect::Report(Event::Resumed) => "resumed".into(),
        Effect::Report(Event::Complete { samples, chunks, .. }) => format!("completed {samples} in {chunks}"),
        Effect::Report(event) => format!("{event:?}"),
        Effect::Warn(text) => format!("warn: {text}"),
        Effect::Finish(Ok(Outcome::Stopped(cause))) => format!("finish: stopped by {}", cause.as_str()),
        Effect::Finish(Ok(Outcome::Complete { seconds, .. })) => format!("finish: complete after {seconds}"),
        Effect::Finish(Err(error)) => format!("finish: {}", chain(error)),
    }
}

fn reply_words(reply: &Message) -> String {
    match reply {
        Message::Welcome(welcome) => format!("welcome {} {}", welcome.next, welcome.durable),
        Message::Ack(position) => format!("ack {position}"),
        Message::EndAck => "end-ack".into(),
        Message::Pause(reason) => format!("pause: {reason}"),
        Message::Resume => "resume".into(),
        Message::Error(Failure { code, text }) => format!("{code:?}: {text}"),
        other => panic!("no receiver says {other:?}"),
    }
}

fn samples(first: u64, end: u64) -> sample::Samples {
    let labels = (first..end).map(|seq| (seq % 10) as u8).collect();
    sample::Samples { labels, images: (first..end).flat_map(|seq| [seq as u8; sample::PIXELS]).collect() }
}

fn batch(first: u64, end: u64) -> Batch {
    let frame = Batch::frame(first, samples(first, end).as_slice());
    let (header, body) = frame.split_first_chunk::<HEADER_BYTES>().unwrap();
    match Message::decode(&Header::decode(header, MAX_BODY).unwrap(), body.to_vec()) {
        Ok(Message::Data(batch)) => batch,
        other => panic!("{other:?}"),
    }
}

/// Samples 0..end, or all if `end` is [`ENDLESS`].
fn extent(end: u64) -> Extent {
    if end == ENDLESS { Extent::endless(0) } else { Extent::range(0..end) }
}

fn wanted(stream: &str, end: u64) -> Open {
    Open { stream: stream.into(), dataset: "tiny".into(), dataset_digest: [7; 32], extent: extent(end) }
}

fn open(lease: u64, stream: &str, end: u64) -> Input {
    Input::Open(LeaseId(lease), wanted(stream, end))
}

fn declared(lease: u64, stream: &str, end: u64, result: Result<(), store::Error>) -> Input {
    Input::Declared { lease: LeaseId(lease), open: wanted(stream, end), result }
}

fn request(lease: u64, request: Request) -> Input {
    Input::Request(LeaseId(lease), request)
}

fn data(lease: u64, first: u64, end: u64) -> Input {
    request(lease, Request::Data(Samples { batch: batch(first, end), permit: None }))
}

fn digest(end: u64) -> StreamDigest {
    let mut digest = StreamDigest::default();
    digest.update(samples(0, end).as_slice());
    digest
}

/// The end of a stream of so many samples, with the right digest.
fn end(lease: u64, count: u64) -> Input {
    request(lease, Request::End(End { count, digest: digest(count).finish() }))
}

fn bye(lease: u64) -> Input {
    request(lease, Request::Bye)
}

fn close(lease: u64) -> Input {
    request(lease, Request::Close)
}

fn sealed(stream: &str, position: u64) -> Input {
    Input::Sealed(vec![Durable { stream: stream.into(), position }])
}

fn failed(error: store::Error) -> Input {
    Input::Failed(error)
}

fn full() -> store::Error {
    store::Error::Full { path: "f".into(), source: io::Error::other("disk full") }
}

fn broken() -> store::Error {
    store::Error::Io { action: "write", path: "f".into(), source: io::Error::other("broken") }
}

/// How a stream `b` is refused beside the one that is expected.
const UNEXPECTED: &str =
    "Stream: stream `b` is not one of the 1 that are expected; start the receiver with more --streams";
/// What the disk's being full makes of one sender's session.
const PAUSED: &str = "paused: no room for `f`: disk full, 1: pause: no room for `f`: disk full";
const STOPPED: &str = "1: Stopping: the receiver was stopped, finish: stopped by SIGTERM";

fn stop() -> Input {
    Input::Stop(Cause::Terminate)
}
