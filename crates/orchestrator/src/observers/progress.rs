//! Progress shows people a run's events: a live line for the stage under way on a terminal, and a line for each phase and
//! round everywhere.

use std::{collections::BTreeMap, mem};

use event::Event;
use terminal::{Console, count};

use super::stage::{Stage, speed};
use crate::{
    child_event::{ChildEvent, What},
    phases::Phases,
};

/// Bytes of a sample on the wire: its pixels and its label.
const SAMPLE: f64 = 785.0;

/// The stage under way, and what the summary needs from the events so far.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    console: Console,
    stage: Option<(Step, Stage)>,
    /// Samples that each sender had acknowledged, by the child's number.
    acknowledged: BTreeMap<usize, u64>,
    chunks: u64,
    partitions: u64,
    rounds: u32,
    /// The last round that was shown, and its test accuracy.
    last: Option<(u32, f64)>,
    notices: Vec<String>,
    /// What a trainer said that was quicker than the receiver's last words.
    announcement: Option<String>,
    /// The receiver has said that it pauses.
    paused: bool,
    summary: Option<String>,
    ended: bool,
}

/// What is done in a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// Something is downloaded or drawn.
    Provide(String),
    Stream,
    Train(u32),
    /// The round is averaged and evaluated.
    Evaluate(u32),
}

impl Progress {
    pub(crate) fn new(console: Console) -> Progress {
        Progress { console, ..Progress::default() }
    }

    pub(crate) fn sending(&mut self, samples: u64) {
        self.enter(Step::Stream, "streaming", samples);
        self.show_streaming();
    }

    /// Takes the stage away.
    pub(crate) fn clear(&mut self) {
        self.stage = None;
        if let Some(text) = self.announcement.take() {
            self.console.step(&text);
        }
    }

    /// Shows no event any more.
    pub(crate) fn end(&mut self) {
        self.clear();
        self.ended = true;
    }

    /// Prints the summary of a whole run: the trainer's text, whose last line is the number that matters.
    pub(crate) fn summarise(&self, phases: &Phases) {
        self.console.result(&format!("\nphases             {}", phases.line()));
        for notice in &self.notices {
            self.console.result(&format!("NOTE               {notice}"));
        }
        if let Some(text) = &self.summary {
            self.console.result(text.trim());
        }
    }

    fn show(&mut self, child: usize, event: &Event) {
        match event {
            Event::Providing { what, done, of } => self.provide(what, *done, *of),
            Event::Notice { text } if self.notices.contains(text) => {} // From another sender.
            Event::Notice { text } => {
                self.console.warn(text);
                self.notices.push(text.clone());
            }
            Event::Acknowledged { samples, .. } => {
                // A sender that was started again begins with 0, until the receiver tells it where to go on.
                let acknowledged = self.acknowledged.entry(child).or_default();
                *acknowledged = (*acknowledged).max(*samples);
                self.show_streaming();
            }
            Event::Stored { chunks, .. } => {
                self.chunks = *chunks;
                self.show_streaming();
            }
            Event::Paused { .. } if self.paused => {}
            Event::Paused { reason } => {
                self.paused = true;
                self.console.warn(&format!("paused: {reason}; it goes on by itself when there is room"));
            }
            Event::Resumed => {
                self.paused = false;
                self.console.note("there is room again; going on");
            }
            Event::Complete { samples, chunks, seconds } => self.complete(*samples, *chunks, *seconds),
            Event::Training { samples, partitions, first_round, rounds, .. } => {
                self.begin_training(*samples, *partitions, *first_round, *rounds);
            }
            Event::Progress { round, samples, of, partitions } => self.train(*round, *samples, *of, partitions),
            // A trainer that was started again repeats what is in its checkpoint.
            Event::Round { round, .. } if self.last.is_some_and(|(last, _)| *round <= last) => {}
            Event::Round { round, test_accuracy, .. } => {
                self.clear();
                self.last = Some((*round, *test_accuracy));
                self.console.step(&round_line(*round, self.rounds, event));
            }
            Event::Summary { text } => {
                self.clear();
                self.summary = Some(text.clone());
            }
            // The run acts on the first two.
            Event::Listening { .. }
            | Event::Data { .. }
            | Event::Live { .. }
            | Event::Slice { .. }
            | Event::Drift { .. } => {}
        }
    }

    /// Lets a stage stand there alone; whether it is another than before.
    fn enter(&mut self, step: Step, name: &str, of: u64) -> bool {
        let is_new = self.stage.as_ref().is_none_or(|(shown, _)| *shown != step);
        if is_new {
            self.stage = None; // First, so that two lines never stand there.
            self.stage = Some((step, Stage::new(&self.console, name, of)));
        }
        is_new
    }

    fn provide(&mut self, what: &str, done: u64, of: u64) {
        if self.enter(Step::Provide(what.to_owned()), "data", of) && !self.console.is_terminal() {
            self.console.note(what);
        }
        if let Some((_, stage)) = &self.stage {
            stage.at(done, |_| vec![what.to_owned()]);
        }
    }

    fn show_streaming(&self) {
        let Some((Step::Stream, stage)) = &self.stage else { return };
        stage.at(self.acknowledged.values().sum(), |rate| {
            let megabytes = format!("{:.1} MB/s", rate * SAMPLE / 1e6);
            vec![speed(rate), megabytes, count(self.chunks, "chunk")]
        });
    }

    fn complete(&mut self, samples: u64, chunks: u64, seconds: f64) {
        self.stage = None;
        let rate = if seconds > 0.0 { samples as f64 / seconds } else { 0.0 };
        let (samples, chunks) = (count(samples, "sample"), count(chunks, "chunk"));
        self.console.step(&format!("received {samples} in {chunks}, {seconds:.1} s, {rate:.0} samples/s"));
        self.clear();
    }

    fn begin_training(&mut self, samples: u64, partitions: u64, first_round: u32, rounds: u32) {
        let again = mem::replace(&mut self.rounds, rounds) > 0; // The trainer died and was started again.
        self.partitions = partitions;
        if again {
            return;
        }
        let text = if first_round > rounds {
            format!("the run has all its rounds ({rounds}); to train more, raise --rounds")
        } else {
            let (samples, partitions) = (count(samples, "sample"), count(partitions, "partition"));
            format!("training on {samples} in {partitions}, rounds {first_round} to {rounds}")
        };
        self.announcement = Some(text);
        if !self.is_streaming() {
            self.clear();
        }
    }

    fn is_streaming(&self) -> bool {
        matches!(self.stage, Some((Step::Stream, _)))
    }

    /// A round that is trained to the end is averaged and evaluated, until its result comes.
    fn train(&mut self, round: u32, samples: u64, of: u64, partitions: &[u64]) {
        if self.is_streaming() {
            return; // Until the receiver has said its last words.
        }
        let rounds = self.rounds;
        let last = self.last.map(|(_, accuracy)| format!("last {:.2} %", 100.0 * accuracy));
        let is_trained = samples >= of;
        if is_trained {
            self.enter(Step::Evaluate(round), "evaluating", 0);
        } else {
            self.enter(Step::Train(round), &format!("round {round}/{rounds}"), of);
        }
        let Some((_, stage)) = &self.stage else { return };
        let partitions = partitions_line(self.partitions, partitions, of);
        stage.at(samples, |rate| match is_trained {
            false => last.into_iter().chain([speed(rate), partitions]).collect(),
            true => [format!("round {round}/{rounds}")].into_iter().chain(last).collect(),
        });
    }

    pub(super) fn hear(&mut self, heard: &ChildEvent) {
        if let What::Event(event) = &heard.what
            && !self.ended
        {
            self.show(heard.child.number, event);
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
            progress.show(child, &Event::Notice { text: text.into() });
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
        let position = |progress: &Progress| progress.stage.as_ref().unwrap().1.position();
        for (child, samples) in [(0, 40), (1, 30), (0, 0), (0, 45)] {
            let before = position(&progress);
            progress.show(child, &Event::Acknowledged { samples, of: 50 });
            assert!(position(&progress) >= before);
        }
        assert_eq!(position(&progress), 75);
    }

    #[test]
    fn a_trainer_that_is_quicker_than_the_receivers_last_words_is_shown_after_them() {
        let mut progress = Progress::new(Console::new());
        progress.sending(100);
        let training =
            Event::Training { samples: 100, partitions: 2, first_round: 1, rounds: 3, run_dir: "runs/x".into() };
        progress.show(1, &training);
        progress.show(1, &Event::Progress { round: 1, samples: 5, of: 100, partitions: Vec::new() });
        assert!(progress.is_streaming());
        assert_eq!(progress.announcement.as_deref(), Some("training on 100 samples in 2 partitions, rounds 1 to 3"));
        progress.show(0, &Event::Complete { samples: 100, chunks: 1, seconds: 0.5 });
        assert!(progress.stage.is_none() && progress.announcement.is_none());
    }
}
