//! How a run's events are shown: a progress bar on a terminal, and one line per phase and round everywhere.

use std::{
    mem,
    time::{Duration, Instant},
};

use cli::event::Event;
use indicatif::ProgressBar;

use crate::console::Console;

const PROVIDING: &str = "{msg} [{bar:30}] {percent} %";
const SENDING: &str = "sending    [{bar:30}] {human_pos}/{human_len} samples, {rate}, {eta} left";
const TRAINING: &str = "round {msg:<5}[{bar:30}] {human_pos}/{human_len} samples, {rate}, {eta} left";

/// What the summary needs from the events of a run, and the bar of the phase under way.
#[derive(Debug)]
pub struct Progress {
    console: Console,
    bar: ProgressBar,
    acknowledged: Vec<u64>,
    rounds: u32,
    notices: Vec<String>,
    /// The receiver has said that it pauses.
    paused: bool,
    summary: Option<String>,
    phases: Phases,
}

/// The time each phase took.
#[derive(Clone, Debug, Default)]
pub struct Phases(Vec<(&'static str, Duration)>);

impl Phases {
    /// Notes that a phase which began at `start` is over.
    pub fn end(&mut self, name: &'static str, start: Instant) {
        self.0.push((name, start.elapsed()));
    }

    /// Each phase and its seconds.
    pub fn seconds(&self) -> Vec<(&'static str, f64)> {
        self.0.iter().map(|(name, time)| (*name, time.as_secs_f64())).collect()
    }

    /// `set-up 0.2 s, data 1.0 s, total 1.2 s`
    pub fn line(&self) -> String {
        let seconds = |(name, time): &(&str, Duration)| format!("{name} {:.1} s", time.as_secs_f64());
        let total = ("total", self.0.iter().map(|(_, time)| time).sum());
        self.0.iter().chain([&total]).map(seconds).collect::<Vec<_>>().join(", ")
    }
}

impl Progress {
    /// Nothing shown yet.
    pub fn new(console: Console) -> Progress {
        Progress {
            console,
            bar: ProgressBar::hidden(),
            acknowledged: Vec::new(),
            rounds: 0,
            notices: Vec::new(),
            paused: false,
            summary: None,
            phases: Phases::default(),
        }
    }

    /// The time of each phase so far.
    pub fn phases(&mut self) -> &mut Phases {
        &mut self.phases
    }

    /// A note about what is going on.
    pub fn note(&self, line: &str) {
        self.console.note(line);
    }

    /// Begins the bar of `samples` samples to send.
    pub fn sending(&mut self, samples: u64) {
        self.bar = self.console.bar(samples, SENDING);
    }

    /// Shows one event of child number `child`.
    pub fn show(&mut self, child: usize, event: Event) {
        match event {
            Event::Providing { what, done, of } => {
                if self.bar.message() != what {
                    self.clear();
                    if !self.console.is_terminal() {
                        self.console.note(&what);
                    }
                    self.bar = self.console.bar(of, PROVIDING);
                    self.bar.set_message(what);
                }
                self.bar.set_position(done);
            }
            Event::Notice { text } if self.notices.contains(&text) => {} // From another sender.
            Event::Notice { text } => {
                self.console.warn(&text);
                self.notices.push(text);
            }
            Event::Acknowledged { samples, .. } => {
                if self.acknowledged.len() <= child {
                    self.acknowledged.resize(child + 1, 0);
                }
                // A sender that was started again begins with 0, until the receiver tells it where to go on.
                self.acknowledged[child] = self.acknowledged[child].max(samples);
                self.bar.set_position(self.acknowledged.iter().sum());
            }
            Event::Paused { reason } if !self.paused => {
                self.paused = true;
                self.console.warn(&format!("paused: {reason}; it goes on by itself when there is room"));
            }
            Event::Paused { .. } => {}
            Event::Resumed => {
                self.paused = false;
                self.console.note("there is room again; going on");
            }
            Event::Complete { samples, chunks, seconds } => {
                self.clear();
                let rate = if seconds > 0.0 { samples as f64 / seconds } else { 0.0 };
                self.console.result(&format!(
                    "received {samples} samples in {chunks} chunks, {seconds:.1} s, {rate:.0} samples/s"
                ));
            }
            Event::Training { samples, partitions, first_round, rounds, .. } => {
                let again = mem::replace(&mut self.rounds, rounds) > 0; // The trainer died and was started again.
                let all = first_round > rounds;
                if !again && all {
                    self.console
                        .result(&format!("the run has all its rounds ({rounds}); to train more, raise --rounds"));
                } else if !again {
                    let plural = if partitions == 1 { "" } else { "s" };
                    self.console.result(&format!(
                        "training on {samples} samples in {partitions} partition{plural}, rounds {first_round} to {rounds}"
                    ));
                }
                self.clear();
                if all {
                    return;
                }
                self.bar = self.console.bar(samples, TRAINING);
                self.bar.set_message(format!("{first_round}/{rounds}"));
            }
            Event::Progress { round, samples, of } => {
                self.bar.set_length(of);
                self.bar.set_message(format!("{round}/{}", self.rounds));
                self.bar.set_position(samples);
            }
            Event::Round { round, train_loss, test_loss, test_accuracy, received_accuracy, model_sha256, seconds } => {
                self.bar.reset();
                let percent = 100.0 * test_accuracy;
                let received = received_accuracy
                    .map(|accuracy| format!("  received accuracy {:.2} %", 100.0 * accuracy))
                    .unwrap_or_default();
                let hash = model_sha256.get(..12).unwrap_or(&model_sha256);
                self.console.result(&format!(
                    "round {round}/{}  train loss {train_loss:.4}  test loss {test_loss:.4}  test accuracy \
                     {percent:.2} %{received}  model {hash}  {seconds:.1} s",
                    self.rounds
                ));
            }
            Event::Summary { text } => {
                self.clear();
                self.summary = Some(text);
            }
            Event::Listening { .. } | Event::Data { .. } => {} // The run acts on them.
            Event::Stored { .. } => {}                         // It doubles the acknowledgements.
        }
    }

    /// Takes the bar away.
    pub fn clear(&mut self) {
        self.bar.finish_and_clear();
    }

    /// Prints the summary of a whole run: the trainer's text, whose last line is the number that matters.
    pub fn summarise(&mut self) {
        self.clear();
        self.console.result(&format!("\nphases             {}", self.phases.line()));
        for notice in &self.notices {
            self.console.result(&format!("NOTE               {notice}"));
        }
        if let Some(text) = &self.summary {
            self.console.result(text.trim());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_several_senders_say_is_shown_once() {
        let mut progress = Progress::new(Console::new());
        for (child, text) in ["a", "b", "a"].into_iter().enumerate() {
            progress.show(child, Event::Notice { text: text.into() });
        }
        assert_eq!(progress.notices, ["a", "b"]);
    }

    #[test]
    fn a_sender_that_begins_again_takes_nothing_back() {
        let mut progress = Progress::new(Console::new());
        progress.sending(100);
        for (child, samples) in [(0, 40), (1, 30), (0, 0), (0, 45)] {
            let before = progress.bar.position();
            progress.show(child, Event::Acknowledged { samples, of: 50 });
            assert!(progress.bar.position() >= before);
        }
        assert_eq!(progress.bar.position(), 75);
    }
}
