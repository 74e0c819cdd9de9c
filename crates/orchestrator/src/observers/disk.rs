//! The disk under a stream that has no end: how long it will have room, said beforehand and from time to time.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use event::Event;
use indicatif::HumanCount;
use setup::doctor;
use terminal::Console;

use super::stage::span;
use crate::child_event::{ChildEvent, What};

/// When it is first said how long the disk will last: when there is a speed to tell it by.
const FIRST: Duration = Duration::from_secs(60);
/// How often it is said after that.
const EVERY: Duration = Duration::from_secs(5 * 60);
/// With less time left, nobody should miss it.
const SOON: Duration = Duration::from_secs(60 * 60);

/// Says how long the disk will last.
#[derive(Debug)]
pub(crate) struct Disk {
    console: Console,
    /// The chunk directory.
    dir: PathBuf,
    said: Option<Said>,
}

/// What was known when something was said.
#[derive(Clone, Copy, Debug)]
struct Said {
    at: Instant,
    samples: u64,
    next: Duration,
}

impl Disk {
    /// Says for how many samples there is room, before the first is sent.
    pub(crate) fn begin(console: Console, dir: PathBuf) -> Disk {
        if let Some(room) = doctor::room_for_samples(&dir) {
            let (dir, room) = (dir.display(), HumanCount(room));
            console
                .note(&format!("the stream has no end, and `{dir}` has room for some {room} samples; Ctrl-C ends it"));
        }
        Disk { console, dir, said: None }
    }

    pub(super) fn hear(&mut self, heard: &ChildEvent) {
        let What::Event(Event::Stored { samples, .. }) = heard.what else { return };
        let now = Said { at: heard.at, samples, next: FIRST };
        let Some(last) = self.said else {
            self.said = Some(now);
            return;
        };
        let Some(rate) = last.rate(&now) else { return };
        self.said = Some(Said { next: EVERY, ..now });
        let Some(room) = doctor::room_for_samples(&self.dir) else { return };
        let lasts = lasts(room, rate);
        let text = format!("at this rate, `{}` has room for {} more", self.dir.display(), span(lasts));
        if lasts < SOON { self.console.warn(&text) } else { self.console.note(&text) }
    }
}

impl Said {
    /// Samples per second since then, if it is time to say something again.
    fn rate(&self, now: &Said) -> Option<f64> {
        let passed = now.at.saturating_duration_since(self.at);
        (passed >= self.next).then(|| now.samples.saturating_sub(self.samples) as f64 / passed.as_secs_f64())
    }
}

/// How long there is room for so many samples.
fn lasts(room: u64, rate: f64) -> Duration {
    Duration::try_from_secs_f64(room as f64 / rate).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_after_a_minute_and_then_every_five_by_the_speed_since() {
        let start = Instant::now();
        let at = |seconds, samples, next| Said { at: start + Duration::from_secs(seconds), samples, next };
        let first = at(0, 1000, FIRST);
        assert_eq!(first.rate(&at(59, 9000, FIRST)), None);
        assert_eq!(first.rate(&at(60, 7000, FIRST)), Some(100.0));
        let later = at(60, 7000, EVERY);
        assert_eq!(later.rate(&at(120, 9000, FIRST)), None);
        assert_eq!(later.rate(&at(460, 47_000, FIRST)), Some(100.0));
        assert_eq!(later.rate(&at(460, 0, FIRST)), Some(0.0), "of a receiver that begins again");
    }

    #[test]
    fn a_disk_lasts_as_long_as_there_is_room_for_samples_at_that_rate() {
        assert_eq!(lasts(1000, 10.0), Duration::from_secs(100));
        assert_eq!(lasts(1000, 0.0), Duration::MAX);
        assert_eq!(lasts(0, 10.0), Duration::ZERO);
    }
}
