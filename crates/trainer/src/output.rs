//! What a run shows while it goes on: text for people, or events for a program; and a bar within a round, on a terminal.

use std::{
    io::{self, Write},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use cli::event::{self, Event};
use indicatif::ProgressBar;

/// Often enough to look alive.
const PERIOD: Duration = Duration::from_millis(100);

/// Shows the event, or the text that says the same.
pub(crate) fn show(json: bool, event: &Event, text: &str) {
    if json {
        let _ = event::emit(event); // For the reason given at `say`.
    } else {
        say(text);
    }
}

/// Shows text. A stdout that nobody reads any more is no reason to lose a run, whose results are all in its folder, so
/// errors are ignored.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// How far a round has come. Shared by the threads that train.
pub(crate) struct Progress {
    round: u32,
    of: u64,
    done: AtomicU64,
    bar: ProgressBar,
    /// When the last event was sent; `None` if events are not wanted.
    sent: Option<Mutex<Instant>>,
}

impl Progress {
    /// Of a round in which `of` samples pass through the network.
    pub(crate) fn new(json: bool, round: u32, of: u64) -> Self {
        let sent = json.then(|| Mutex::new(Instant::now()));
        // It draws nothing unless stderr is a terminal.
        let bar = if json { ProgressBar::hidden() } else { ProgressBar::new(of) };
        bar.set_style(cli::bars::style("{prefix} [{bar:30}] {human_pos}/{human_len} samples, {rate}, {eta} left"));
        bar.set_prefix(format!("round {round}"));
        Self { round, of, done: AtomicU64::new(0), bar, sent }
    }

    /// `samples` more have passed through the network.
    pub(crate) fn advance(&self, samples: usize) {
        self.done.fetch_add(samples as u64, Ordering::Relaxed);
        self.bar.inc(samples as u64);
        let Some(Ok(mut sent)) = self.sent.as_ref().map(Mutex::try_lock) else { return };
        if sent.elapsed() >= PERIOD {
            *sent = Instant::now();
            // Read under the lock, so that the numbers never go backwards.
            let samples = self.done.load(Ordering::Relaxed);
            show(true, &Event::Progress { round: self.round, samples, of: self.of }, "");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        if self.sent.is_some() {
            // Who follows sees that the round is trained, and what comes now is something else.
            let samples = self.done.load(Ordering::Relaxed);
            show(true, &Event::Progress { round: self.round, samples, of: self.of }, "");
        }
    }
}
