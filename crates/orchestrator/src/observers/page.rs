//! The page of a run is told all that the children do.

use std::time::SystemTime;

use event::Event;
use page::{Happening, Run};

use crate::child_event::{ChildEvent, What};

#[derive(Clone, Debug)]
pub(crate) struct Page(pub(crate) Run);

impl Page {
    /// Tells an event of no child.
    pub(super) fn tell(&self, event: &Event) {
        self.0.tell(None, SystemTime::now(), &Happening::Event(event));
    }

    pub(super) fn hear(&self, heard: &ChildEvent) {
        let status;
        let what = match &heard.what {
            What::Event(event) => Happening::Event(event),
            What::Log(line) => Happening::Log(line),
            What::Started { pid } => Happening::Started { pid: *pid },
            What::Ended(ended) => {
                status = ended.to_string();
                Happening::Ended { ok: ended.success(), status: &status }
            }
            What::Restarting { count, of } => Happening::Restarting { count: *count, of: *of },
        };
        let now = SystemTime::now();
        let at = now.checked_sub(heard.at.elapsed()).unwrap_or(now);
        self.0.tell(Some(&heard.child.name), at, &what);
    }
}
