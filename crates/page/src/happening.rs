//! What happens in a run, and how it is told to browsers: as JSON, with its time and who it is of.

use std::{
    mem::{self, Discriminant},
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use event::Event;
use serde::Serialize;

use crate::log::Keep;

/// What happens in a run.
#[derive(Clone, Debug)]
pub enum Happening<'a> {
    /// The run begins: what it is to be.
    Plan {
        /// Sender processes.
        senders: u32,
        /// Samples in all; 0 where the stream has no end.
        samples: u64,
        /// Partitions that train in parallel.
        partitions: u32,
        /// Rounds in all; 0 of a live run, which has as many as its stream has slices.
        rounds: u32,
        /// Whether it trains while samples arrive.
        live: bool,
    },
    /// A program told an event.
    Event(&'a Event),
    /// A program wrote a line to its log.
    Log(&'a str),
    /// A process was started, for the first time or again.
    Started {
        /// Its number in the operating system.
        pid: u32,
    },
    /// A process ended.
    Ended {
        /// Whether it did what it was for.
        ok: bool,
        /// How, in words, such as `signal: 9 (SIGKILL)`.
        status: &'a str,
    },
    /// A process is to be started again.
    Restarting {
        /// The how-manieth time in a row.
        count: u32,
        /// How often in a row it is started again.
        of: u32,
    },
    /// The run is over.
    Finished {
        /// Whether there is a result.
        ok: bool,
        /// In a line: the result, or why there is none.
        text: &'a str,
    },
}

/// What one happening may take the place of: another of this child and kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key(Option<String>, Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Event(Discriminant<Event>),
    Page(&'static str),
}

/// Lines of a child's log that are kept.
const LINES: usize = 50;
/// Starts and ends of a child that are kept, so that they can be counted.
const TURNS: usize = 100;
/// Points of a curve that are kept.
const POINTS: usize = 1000;
/// Characters of a line that are told.
const WIDTH: usize = 500;

impl Happening<'_> {
    pub(crate) fn key(&self, child: Option<&str>) -> Key {
        Key(child.map(str::to_owned), self.kind())
    }

    fn kind(&self) -> Kind {
        Kind::Page(match self {
            // One ends the other.
            Happening::Event(Event::Paused { .. } | Event::Resumed) => "paused",
            Happening::Event(event) => return Kind::Event(mem::discriminant(event)),
            Happening::Plan { .. } => "plan",
            Happening::Log(_) => "log",
            Happening::Started { .. } => "started",
            Happening::Ended { .. } => "ended",
            Happening::Restarting { .. } => "restarting",
            Happening::Finished { .. } => "finished",
        })
    }

    pub(crate) fn keep(&self) -> Keep {
        match self {
            Happening::Event(Event::Stored { .. } | Event::Round { .. } | Event::Drift { .. }) => Keep::Thinned(POINTS),
            Happening::Event(Event::Notice { .. }) | Happening::Log(_) => Keep::Newest(LINES),
            Happening::Started { .. } | Happening::Ended { .. } | Happening::Restarting { .. } => Keep::Newest(TURNS),
            _ => Keep::Newest(1),
        }
    }

    /// As JSON, in a line; of a run with this name and folder.
    pub(crate) fn json(&self, name: &str, folder: &Path, child: Option<&str>, at: SystemTime) -> String {
        let dir = folder.to_string_lossy();
        let what = match *self {
            Happening::Event(event) => What::Event(event),
            Happening::Plan { senders, samples, partitions, rounds, live } => {
                What::Page(Page::Plan { name, dir: &dir, senders, samples, partitions, rounds, live })
            }
            Happening::Log(text) => What::Page(Page::Log { text: &text[..text.floor_char_boundary(WIDTH)] }),
            Happening::Started { pid } => What::Page(Page::Started { pid }),
            Happening::Ended { ok, status } => What::Page(Page::Ended { ok, status }),
            Happening::Restarting { count, of } => What::Page(Page::Restarting { count, of }),
            Happening::Finished { ok, text } => What::Page(Page::Finished { ok, text }),
        };
        let at = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as f64 / 1000.0;
        serde_json::to_string(&Line { at, child, what }).expect("texts and numbers are JSON")
    }
}

#[derive(Serialize)]
struct Line<'a> {
    /// Seconds since 1970.
    at: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    child: Option<&'a str>,
    #[serde(flatten)]
    what: What<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum What<'a> {
    Event(&'a Event),
    Page(Page<'a>),
}

/// What only a page is told.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Page<'a> {
    Plan { name: &'a str, dir: &'a str, senders: u32, samples: u64, partitions: u32, rounds: u32, live: bool },
    Log { text: &'a str },
    Started { pid: u32 },
    Ended { ok: bool, status: &'a str },
    Restarting { count: u32, of: u32 },
    Finished { ok: bool, text: &'a str },
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_happening_is_one_flat_json_object_with_its_time_and_child() {
        let at = UNIX_EPOCH + Duration::from_millis(1_764_536_400_123);
        let stored = Event::Stored { samples: 2000, chunks: 2 };
        let long = "é".repeat(WIDTH);
        let cut = format!(r#"{{"at":1764536400.123,"child":"trainer","event":"log","text":"{}"}}"#, &long[..WIDTH]);
        for (child, happening, expect) in [
            (
                None,
                Happening::Plan { senders: 2, samples: 20_000, partitions: 2, rounds: 3, live: false },
                r#"{"at":1764536400.123,"event":"plan","name":"one","dir":"runs/one","senders":2,"samples":20000,"partitions":2,"rounds":3,"live":false}"#,
            ),
            (
                Some("receiver"),
                Happening::Event(&stored),
                r#"{"at":1764536400.123,"child":"receiver","event":"stored","samples":2000,"chunks":2}"#,
            ),
            (Some("trainer"), Happening::Log(&long), &cut),
            (Some("x"), Happening::Log("a\nb"), r#"{"at":1764536400.123,"child":"x","event":"log","text":"a\nb"}"#),
            (
                Some("x"),
                Happening::Started { pid: 7 },
                r#"{"at":1764536400.123,"child":"x","event":"started","pid":7}"#,
            ),
            (
                Some("x"),
                Happening::Ended { ok: false, status: "signal: 9 (SIGKILL)" },
                r#"{"at":1764536400.123,"child":"x","event":"ended","ok":false,"status":"signal: 9 (SIGKILL)"}"#,
            ),
            (
                Some("x"),
                Happening::Restarting { count: 1, of: 5 },
                r#"{"at":1764536400.123,"child":"x","event":"restarting","count":1,"of":5}"#,
            ),
            (
                None,
                Happening::Finished { ok: true, text: "97 %" },
                r#"{"at":1764536400.123,"event":"finished","ok":true,"text":"97 %"}"#,
            ),
        ] {
            assert_eq!(happening.json("one", Path::new("runs/one"), child, at), expect);
        }
    }

    #[test]
    fn what_ends_a_pause_takes_its_place_and_children_do_not_take_each_others() {
        let paused = Event::Paused { reason: "full".into() };
        let of = |child, event| Happening::Event(event).key(child);
        assert_eq!(of(Some("receiver"), &paused), of(Some("receiver"), &Event::Resumed));
        let acknowledged = Event::Acknowledged { samples: 1, of: 2 };
        assert_ne!(of(Some("sender-0"), &acknowledged), of(Some("sender-1"), &acknowledged));
        assert_ne!(of(Some("a"), &acknowledged), of(Some("a"), &Event::Stored { samples: 1, chunks: 1 }));
    }
}
