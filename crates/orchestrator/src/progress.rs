//! How a run's events are shown: a line for each stage under way on a terminal, and one per phase and round everywhere.

use std::{
    mem,
    time::{Duration, Instant},
};

use cli::{count, event::Event};

use crate::{
    console::Console,
    view::{Stage, speed},
};

/// Bytes of a sample on the wire: its pixels and its label.
const SAMPLE: f64 = 785.0;

/// What the summary needs from the events of a run, and the stages under way.
#[derive(Debug)]
pub struct Progress {
    console: Console,
    /// What is being downloaded or drawn.
    providing: Option<(String, Stage)>,
    streaming: Option<Stage>,
    acknowledged: Vec<u64>,
    chunks: u64,
    /// A round that is trained, or is averaged and evaluated.
    round: Option<(Step, Stage)>,
    partitions: u64,
    accuracy: Option<f64>,
    rounds: u32,
    notices: Vec<String>,
    /// The receiver has said that it pauses.
    paused: bool,
    summary: Option<String>,
    phases: Phases,
}

/// What is done with a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Train(u32),
    Evaluate(u32),
}

/// The time each phase took.
#[derive(Clone, Debug, Default)]
pub struct Phases(Vec<(&'static str, Duration)>);

impl Phases {
    /// Notes that a phase which began at `start` is over. The parts of a phase that another comes between are added up.
    pub fn end(&mut self, name: &'static str, start: Instant) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, time)) => *time += start.elapsed(),
            None => self.0.push((name, start.elapsed())),
        }
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
            providing: None,
            streaming: None,
            acknowledged: Vec::new(),
            chunks: 0,
            round: None,
            partitions: 0,
            accuracy: None,
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

    /// Begins the stage of `samples` samples to send.
    pub fn sending(&mut self, samples: u64) {
        self.streaming = Some(Stage::new(&self.console, "streaming", samples));
        self.show_streaming();
    }

    /// Shows one event of child number `child`.
    pub fn show(&mut self, child: usize, event: Event) {
        match event {
            Event::Providing { what, done, of } => self.provide(what, done, of),
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
                self.show_streaming();
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
                self.streaming = None;
                let rate = if seconds > 0.0 { samples as f64 / seconds } else { 0.0 };
                self.console.step(&format!(
                    "received {} in {}, {seconds:.1} s, {rate:.0} samples/s",
                    count(samples, "sample"),
                    count(chunks, "chunk")
                ));
            }
            Event::Training { samples, partitions, first_round, rounds, .. } => {
                self.begin_training(samples, partitions, first_round, rounds);
            }
            Event::Progress { round, samples, of, partitions } => self.show_training(round, samples, of, &partitions),
            Event::Round { round, test_accuracy, .. } => {
                self.round = None;
                self.accuracy = Some(test_accuracy);
                self.console.step(&round_line(round, self.rounds, &event));
            }
            Event::Summary { text } => {
                self.clear();
                self.summary = Some(text);
            }
            Event::Stored { chunks, .. } => {
                self.chunks = chunks;
                self.show_streaming();
            }
            Event::Listening { .. } | Event::Data { .. } => {} // The run acts on them.
        }
    }

    fn provide(&mut self, what: String, done: u64, of: u64) {
        if self.providing.as_ref().is_none_or(|(shown, _)| *shown != what) {
            if !self.console.is_terminal() {
                self.console.note(&what);
            }
            self.providing = None; // First, so that two lines never stand there.
            self.providing = Some((what.clone(), Stage::new(&self.console, "data", of)));
        }
        if let Some((_, stage)) = &self.providing {
            stage.at(done, |_| vec![what]);
        }
    }

    fn show_streaming(&self) {
        let Some(stage) = &self.streaming else { return };
        stage.at(self.acknowledged.iter().sum(), |rate| {
            let megabytes = format!("{:.1} MB/s", rate * SAMPLE / 1e6);
            vec![speed(rate), megabytes, count(self.chunks, "chunk")]
        });
    }

    fn begin_training(&mut self, samples: u64, partitions: u64, first_round: u32, rounds: u32) {
        let again = mem::replace(&mut self.rounds, rounds) > 0; // The trainer died and was started again.
        self.partitions = partitions;
        self.round = None;
        let text = match first_round > rounds {
            _ if again => return,
            true => format!("the run has all its rounds ({rounds}); to train more, raise --rounds"),
            false => {
                let (samples, partitions) = (count(samples, "sample"), count(partitions, "partition"));
                format!("training on {samples} in {partitions}, rounds {first_round} to {rounds}")
            }
        };
        self.console.step(&text);
    }

    /// A round that is trained to the end is averaged and evaluated, until its result comes.
    fn show_training(&mut self, round: u32, samples: u64, of: u64, partitions: &[u64]) {
        let step = if samples < of { Step::Train(round) } else { Step::Evaluate(round) };
        let last = self.accuracy.map(|accuracy| format!("last {:.2} %", 100.0 * accuracy));
        if self.round.as_ref().is_none_or(|(shown, _)| *shown != step) {
            let (name, of) = match step {
                Step::Train(_) => (format!("round {round}/{}", self.rounds), of),
                Step::Evaluate(_) => ("evaluating".to_owned(), 0),
            };
            self.round = None;
            self.round = Some((step, Stage::new(&self.console, &name, of)));
        }
        let Some((_, stage)) = &self.round else { return };
        let partitions = partitions_line(self.partitions, partitions, of);
        let rounds = self.rounds;
        stage.at(samples, |rate| match step {
            Step::Train(_) => last.into_iter().chain([speed(rate), partitions]).collect(),
            Step::Evaluate(_) => [format!("round {round}/{rounds}")].into_iter().chain(last).collect(),
        });
    }

    /// Takes all stages away.
    pub fn clear(&mut self) {
        (self.providing, self.streaming, self.round) = (None, None, None);
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

/// What a round has come to. Empty for any other event.
fn round_line(round: u32, rounds: u32, event: &Event) -> String {
    let Event::Round { train_loss, test_loss, test_accuracy, received_accuracy, model_sha256, seconds, .. } = event
    else {
        return String::new();
    };
    let received =
        received_accuracy.map(|accuracy| format!("  received accuracy {:.2} %", 100.0 * accuracy)).unwrap_or_default();
    let hash = model_sha256.get(..12).unwrap_or(model_sha256);
    let percent = 100.0 * test_accuracy;
    format!(
        "round {round}/{rounds}  train loss {train_loss:.4}  test loss {test_loss:.4}  test accuracy {percent:.2} \
         %{received}  model {hash}  {seconds:.1} s"
    )
}

/// `partitions 41, 40 %`; of more than a few, `12 partitions, 38 to 41 %`; of one, or where none is known, their number alone.
fn partitions_line(partitions: u64, done: &[u64], of: u64) -> String {
    /// So many can be read at a glance.
    const FEW: usize = 4;
    let percent = |done: &u64| u128::from(*done) * 100 * u128::from(partitions) / u128::from(of.max(1));
    match (done, done.iter().min(), done.iter().max()) {
        ([_, _, ..], Some(least), Some(most)) if done.len() > FEW => {
            format!("{partitions} partitions, {} to {} %", percent(least), percent(most).min(100))
        }
        ([_, _, ..], ..) => {
            let each: Vec<String> = done.iter().map(|done| percent(done).min(100).to_string()).collect();
            format!("partitions {} %", each.join(", "))
        }
        _ => count(partitions, "partition"),
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
    fn a_round_is_shown_with_its_partitions() {
        assert_eq!(partitions_line(2, &[4100, 4000], 20_000), "partitions 41, 40 %");
        assert_eq!(partitions_line(6, &[0, 5, 10, 9, 4, 3], 60), "6 partitions, 0 to 100 %");
        assert_eq!(partitions_line(1, &[50], 100), "1 partition");
        assert_eq!(partitions_line(3, &[], 100), "3 partitions");
        assert_eq!(partitions_line(2, &[0, 6], 11), "partitions 0, 100 %", "one has a sample more than the other");
    }

    #[test]
    fn a_sender_that_begins_again_takes_nothing_back() {
        let mut progress = Progress::new(Console::new());
        progress.sending(100);
        for (child, samples) in [(0, 40), (1, 30), (0, 0), (0, 45)] {
            let position = |progress: &Progress| progress.streaming.as_ref().unwrap().position();
            let before = position(&progress);
            progress.show(child, Event::Acknowledged { samples, of: 50 });
            assert!(position(&progress) >= before);
        }
        assert_eq!(progress.streaming.unwrap().position(), 75);
    }
}
