//! A child event: what a child process did, with which one it was and when.

use std::{process::ExitStatus, sync::Arc, time::Instant};

use event::Event;
use setup::siblings::Program;

#[derive(Clone, Debug)]
pub(crate) struct ChildEvent {
    pub(crate) child: Child,
    /// When this process heard of it.
    pub(crate) at: Instant,
    pub(crate) what: What,
}

#[derive(Clone, Debug)]
pub(crate) struct Child {
    /// Counted from 0 in the order of starting; the same after a restart.
    pub(crate) number: usize,
    /// What messages call it: `sender-0`.
    pub(crate) name: Arc<str>,
    pub(crate) program: Program,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    Event(Event),
    Log(String),
    /// Its process was started, for the first time or again.
    Started {
        pid: u32,
    },
    Ended(ExitStatus),
    /// It ended, and is to be started again: for the `count`th time in a row, of so many.
    Restarting {
        count: u32,
        of: u32,
    },
}
