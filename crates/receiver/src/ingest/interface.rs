//! What goes into the ingest state machine and what comes out of it.

use event::Event;
use process::shutdown::Cause;
use proto::{
    Batch, Message,
    message::{End, Open},
};
use store::Durable;

use crate::{budget::Permit, config::Outcome};

/// A connection's claim on a stream. At most one lease of a stream is valid: a newer connection takes the stream over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LeaseId(pub(crate) u64);

/// Samples on their way from a socket to a chunk, with the right to be in memory.
#[derive(Debug)]
pub(crate) struct Samples {
    pub(crate) batch: Batch,
    /// Given back when the samples are dropped.
    #[expect(dead_code, reason = "held, not looked at")]
    pub(crate) permit: Option<Permit>,
}

/// Durable samples and chunks in the directory.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) samples: u64,
    pub(crate) chunks: u64,
}

/// What happens.
#[derive(Debug)]
pub(crate) enum Input {
    /// A connection wants to hold a stream.
    Open(LeaseId, Open),
    /// A connection that holds a stream, or held it, wants something.
    Request(LeaseId, Request),
    /// The receiver is told to stop.
    Stop(Cause),
    /// The deadline has come.
    Tick,
    /// The store's answer to [`Effect::Declare`]: whether the stream fits what the directory holds.
    Declared { lease: LeaseId, open: Open, result: Result<(), store::Error> },
    /// The store's answer to [`Effect::Seal`]: a chunk with these samples is durable.
    Sealed(Vec<Durable>),
    /// The store's answer to [`Effect::Complete`]: the manifest is durable.
    Completed { seconds: f64 },
    /// The store's answer to any effect: it could not be carried out; or to [`Effect::Reject`]: it is written down.
    Failed(store::Error),
}

/// What a connection wants.
#[derive(Debug)]
pub(crate) enum Request {
    /// To hand samples in.
    Data(Samples),
    /// To have the end confirmed once the whole stream is durable.
    End(End),
    /// To say that the sender knows that the whole stream is durable.
    Bye,
    /// The last request: to give the stream back. It comes however the connection ends.
    Close,
}

/// What is to be done, in order. One that [`Effect::is_answered`] is the last, and its answer is the next input.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Declare the stream that a connection wants to hold.
    Declare { lease: LeaseId, open: Open },
    /// Take the declaration of a stream without samples back.
    Forget(String),
    /// Append samples to those that wait for their chunk, in memory.
    Append { stream: String, samples: Samples },
    /// Make a chunk of the samples that wait, as many as fit, and make it durable.
    Seal,
    /// Write the manifest.
    Complete { seconds: f64 },
    /// Write down why the directory is given up.
    Reject(String),
    /// Tell a connection. After a [`Message::Error`] its session is over.
    Reply(LeaseId, Message),
    /// Report an event.
    Report(Event),
    /// Write a warning to the log.
    Warn(String),
    /// End, with this result.
    Finish(Result<Outcome, store::Error>),
}

impl Effect {
    /// Whether there is an answer even if all goes well.
    pub(crate) fn is_answered(&self) -> bool {
        matches!(self, Effect::Declare { .. } | Effect::Seal | Effect::Complete { .. } | Effect::Reject(_))
    }
}
