//! The observers of a run: all who hear what the children do. Each hears the same events, with the same child and time, in the
//! same order.

pub(crate) mod progress;
mod stage;
pub(crate) mod streaming;

use terminal::Console;

use self::{progress::Progress, streaming::StreamingLog};
use crate::child_event::{ChildEvent, What};

/// Somebody who follows a run.
pub(crate) trait Observer {
    /// Hears the next event.
    fn hear(&mut self, event: &ChildEvent);
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Observers {
    /// Prints logs, and under `--json` events.
    pub(crate) console: Console,
    /// Shows people what is under way.
    pub(crate) progress: Progress,
    /// Notes the figures of the streaming.
    pub(crate) streaming: StreamingLog,
}

impl Observers {
    pub(crate) fn new(console: Console) -> Self {
        Self { progress: Progress::new(console.clone()), console, streaming: StreamingLog::default() }
    }
}

impl Observer for Observers {
    fn hear(&mut self, event: &ChildEvent) {
        let all: [&mut dyn Observer; 3] = [&mut self.console, &mut self.progress, &mut self.streaming];
        all.into_iter().for_each(|observer| observer.hear(event));
    }
}

impl Observer for Console {
    fn hear(&mut self, ChildEvent { child, what, .. }: &ChildEvent) {
        match what {
            What::Event(event) => self.event(&child.name, event),
            What::Log(line) => self.log(child.number, &child.name, line),
            What::Ended(_) => {}
        }
    }
}
