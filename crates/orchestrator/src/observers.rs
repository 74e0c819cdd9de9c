//! The observers of a run: all who hear what the children do. Each hears the same events, with the same child and time, in the
//! same order.

pub(crate) mod disk;
pub(crate) mod page;
pub(crate) mod progress;
mod stage;
pub(crate) mod streaming;

use event::Event;
use terminal::Console;

use self::{disk::Disk, page::Page, progress::Progress, streaming::StreamingLog};
use crate::child_event::{ChildEvent, What};

#[derive(Debug)]
pub(crate) struct Observers {
    /// Prints logs, and under `--json` events.
    pub(crate) console: Console,
    /// Shows people what is under way.
    pub(crate) progress: Progress,
    /// Notes the figures of the streaming.
    pub(crate) streaming: StreamingLog,
    /// Watches the disk under a stream that has no end.
    pub(crate) disk: Option<Disk>,
    /// Shows it in browsers.
    pub(crate) page: Option<Page>,
}

impl Observers {
    pub(crate) fn new(console: Console) -> Self {
        let (streaming, disk, page) = (StreamingLog::default(), None, None);
        Self { progress: Progress::new(console.clone()), console, streaming, disk, page }
    }

    /// Who hears where the pages of a Spark of our own are.
    pub(crate) fn on_spark_ui(&self) -> impl Fn(String) + Send + use<> {
        let (console, page) = (self.console.clone(), self.page.clone());
        move |ui| {
            console.note(&format!("Spark UI: {ui}"));
            if let Some(page) = &page {
                page.tell(&Event::Spark { ui });
            }
        }
    }

    pub(crate) fn hear(&mut self, event: &ChildEvent) {
        let name = &event.child.name;
        match &event.what {
            What::Event(event) => self.console.event(name, event),
            What::Log(line) => self.console.log(event.child.number, name, line),
            What::Started { .. } | What::Ended(_) | What::Restarting { .. } => {}
        }
        self.progress.hear(event);
        self.streaming.hear(event);
        if let Some(disk) = &mut self.disk {
            disk.hear(event);
        }
        if let Some(page) = &self.page {
            page.hear(event);
        }
    }
}
