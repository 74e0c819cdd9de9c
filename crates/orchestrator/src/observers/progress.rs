//! Progress shows people a run's events: on a terminal, a line that moves for the stage under way, two in a live run, which
//! streams and trains; and everywhere a line for each phase and round.

mod lines;

use std::{collections::BTreeMap, mem};

use event::Event;
use indicatif::HumanCount;
use terminal::{Console, count};

use self::lines::{partitions_line, round_line};
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
    streaming: Option<Stage>,
    /// What is under way beside.
    stage: Option<(Step, Stage)>,
    /// The trainer does not wait for the end of the streaming.
    live: bool,
    /// Samples that each sender had acknowledged, by the child's number.
    acknowledged: BTreeMap<usize, u64>,
    chunks: u64,
    partitions: u64,
    rounds: u32,
    /// The last round that was shown, and its test accuracy.
    last: Option<(u32, f64)>,
    /// The seq of the last drift that was shown.
    drift: Option<u64>,
    /// How far the training is behind the streaming, where that is known.
    behind: Option<String>,
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
    /// The samples of the round are still to come.
    Wait(u32),
    /// They are predicted, before they are trained on.
    Predict(u32),
    Train(u32),
    /// The round is averaged and evaluated.
    Evaluate(u32),
}

impl Progress {
    pub(crate) fn new(console: Console) -> Progress {
        Progress { console, ..Progress::default() }
    }

    pub(crate) fn sending(&mut self, samples: u64) {
        self.streaming = Some(Stage::new(&self.console, "streaming", samples));
        self.show_streaming();
    }

    /// Takes the line of the streaming away.
    pub(crate) fn end_streaming(&mut self) {
        self.streaming = None;
        if matches!(self.stage, Some((Step::Wait(_), _))) {
            self.clear(); // All samples are there.
        }
        if let Some(text) = self.announcement.take() {
            self.console.step(&text);
        }
    }

    /// Takes the line of the stage beside the streaming away.
    pub(crate) fn clear(&mut self) {
        self.stage = None;
    }

    /// Shows no event any more.
    pub(crate) fn end(&mut self) {
        self.clear();
        self.end_streaming();
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

    /// The number that matters, in its line; nothing before the trainer's summary.
    pub(crate) fn result(&self) -> String {
        let last = self.summary.as_deref().and_then(|text| text.trim().lines().last());
        last.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).unwrap_or_default()
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
            Event::Live { partitions, first_round, samples_per_round, replay, .. } => {
                self.begin_live(*partitions, *first_round, *samples_per_round, replay);
            }
            Event::Slice { round, behind_samples, behind_seconds, .. } => {
                let samples = HumanCount(*behind_samples);
                self.behind = Some(format!("{samples} samples and {behind_seconds:.1} s behind"));
                self.enter(Step::Predict(*round), "predicting", 0);
                self.show_round(*round);
            }
            // A trainer that was started again comes to the same drifts.
            Event::Drift { seq, .. } if self.drift.is_some_and(|last| *seq <= last) => {}
            Event::Drift { seq, .. } => {
                self.drift = Some(*seq);
                self.console.step(&format!("drift seen at sample {}", HumanCount(*seq)));
            }
            Event::Progress { round, samples, of, partitions } => self.train(*round, *samples, *of, partitions),
            // A trainer that was started again repeats what is in its checkpoint.
            Event::Round { round, .. } if self.last.is_some_and(|(last, _)| *round <= last) => {}
            Event::Round { round, test_accuracy, .. } => {
                self.clear();
                self.last = Some((*round, *test_accuracy));
                self.console.step(&round_line(&self.name_of(*round), event));
                self.wait(*round + 1);
            }
            Event::Summary { text } => {
                self.clear();
                self.summary = Some(text.clone());
            }
            // The run acts on these, or there is a page that shows them.
            Event::Listening { .. } | Event::Data { .. } | Event::Receiving { .. } => {}
            Event::Spark { .. } | Event::Tasks { .. } => {}
        }
    }

    /// Lets a stage stand there, beside the streaming at most; whether it is another than before.
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
        let Some(stage) = &self.streaming else { return };
        let samples = self.acknowledged.values().sum();
        stage.at(samples, |rate| {
            let megabytes = format!("{:.1} MB/s", rate * SAMPLE / 1e6);
            let samples = stage.is_endless().then(|| format!("{} samples", HumanCount(samples)));
            samples.into_iter().chain([speed(rate), megabytes, count(self.chunks, "chunk")]).collect()
        });
    }

    fn complete(&mut self, samples: u64, chunks: u64, seconds: f64) {
        let rate = if seconds > 0.0 { samples as f64 / seconds } else { 0.0 };
        let (samples, chunks) = (count(samples, "sample"), count(chunks, "chunk"));
        self.console.step(&format!("received {samples} in {chunks}, {seconds:.1} s, {rate:.0} samples/s"));
        self.end_streaming();
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
        match self.streaming {
            Some(_) => self.announcement = Some(text), // When the receiver has said its last words.
            None => self.console.step(&text),
        }
    }

    fn begin_live(&mut self, partitions: u64, first_round: u32, samples_per_round: u64, replay: &str) {
        let again = mem::replace(&mut self.live, true);
        self.partitions = partitions;
        if !again {
            let (partitions, samples) = (count(partitions, "partition"), count(samples_per_round, "sample"));
            self.console.step(&format!(
                "training live in {partitions}, {samples} a round, replay {replay}, from round {first_round}"
            ));
        }
        self.wait(first_round);
    }

    /// In a live run, a round's samples may still be on their way.
    fn wait(&mut self, round: u32) {
        if self.live && self.streaming.is_some() {
            self.enter(Step::Wait(round), "waiting", 0);
            self.show_round(round);
        }
    }

    /// A stage of unknown length, of this round.
    fn show_round(&self, round: u32) {
        let Some((_, stage)) = &self.stage else { return };
        let details = [Some(self.name_of(round)), self.behind.clone(), self.last_accuracy()];
        stage.at(0, |_| details.into_iter().flatten().collect());
    }

    fn last_accuracy(&self) -> Option<String> {
        self.last.map(|(_, accuracy)| format!("last {:.2} %", 100.0 * accuracy))
    }

    /// `round 3/5`; a live run has no last one.
    fn name_of(&self, round: u32) -> String {
        if self.live { format!("round {round}") } else { format!("round {round}/{}", self.rounds) }
    }

    /// A round that is trained to the end is averaged and evaluated, until its result comes.
    fn train(&mut self, round: u32, samples: u64, of: u64, partitions: &[u64]) {
        if self.streaming.is_some() && !self.live {
            return; // Until the receiver has said its last words.
        }
        if samples >= of {
            self.enter(Step::Evaluate(round), "evaluating", 0);
            return self.show_round(round);
        }
        self.enter(Step::Train(round), &self.name_of(round), of);
        let Some((_, stage)) = &self.stage else { return };
        let partitions = partitions_line(self.partitions, partitions, of);
        let first = [self.behind.clone(), self.last_accuracy()].into_iter().flatten();
        stage.at(samples, |rate| first.chain([speed(rate), partitions]).collect());
    }

    pub(super) fn hear(&mut self, heard: &ChildEvent) {
        if let What::Event(event) = &heard.what
            && !self.ended
        {
            self.show(heard.child.number, event);
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
            progress.show(child, &Event::Notice { text: text.into() });
        }
        assert_eq!(progress.notices, ["a", "b"]);
    }

    #[test]
    fn a_sender_that_begins_again_takes_nothing_back() {
        let mut progress = Progress::new(Console::new());
        progress.sending(100);
        let position = |progress: &Progress| progress.streaming.as_ref().unwrap().position();
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
        assert!(progress.streaming.is_some() && progress.stage.is_none());
        assert_eq!(progress.announcement.as_deref(), Some("training on 100 samples in 2 partitions, rounds 1 to 3"));
        progress.show(0, &Event::Complete { samples: 100, chunks: 1, seconds: 0.5 });
        assert!(progress.streaming.is_none() && progress.announcement.is_none());
    }

    #[test]
    fn a_live_run_shows_what_the_trainer_does_beside_the_streaming() {
        let mut progress = Progress::new(Console::new());
        progress.sending(4000);
        let live = |first_round| Event::Live {
            partitions: 2,
            first_round,
            samples_per_round: 2000,
            replay: "none".into(),
            run_dir: "runs/x".into(),
        };
        let slice = |round| Event::Slice { round, position: 2000, behind_samples: 1500, behind_seconds: 0.25 };
        let trained = |samples| Event::Progress { round: 1, samples, of: 2000, partitions: Vec::new() };
        let complete = Event::Complete { samples: 4000, chunks: 4, seconds: 0.5 };
        for (event, stage, is_streaming) in [
            (live(1), Some(Step::Wait(1)), true),
            (slice(1), Some(Step::Predict(1)), true),
            (trained(5), Some(Step::Train(1)), true),
            (live(1), Some(Step::Wait(1)), true), // It was started again.
            (slice(1), Some(Step::Predict(1)), true),
            (trained(2000), Some(Step::Evaluate(1)), true),
            (round(1), Some(Step::Wait(2)), true),
            (complete, None, false),
            (round(1), None, false), // It was started again.
            (slice(2), Some(Step::Predict(2)), false),
            (round(2), None, false),
        ] {
            progress.show(1, &event);
            let shown = progress.stage.as_ref().map(|(step, _)| step.clone());
            assert_eq!((shown, progress.streaming.is_some()), (stage, is_streaming), "{event:?}");
        }
        assert_eq!(progress.behind.as_deref(), Some("1,500 samples and 0.2 s behind"));
    }

    #[test]
    fn a_drift_is_shown_once() {
        let mut progress = Progress::new(Console::new());
        let seen = [700, 500, 700, 900].map(|seq| {
            progress.show(0, &Event::Drift { round: 1, seq });
            progress.drift
        });
        assert_eq!(seen, [700, 700, 700, 900].map(Some));
    }

    fn round(round: u32) -> Event {
        Event::Round {
            round,
            train_loss: 0.5,
            test_loss: 0.25,
            test_accuracy: 0.9752,
            received_accuracy: None,
            prequential: None,
            model_sha256: "0123456789abcdef".into(),
            seconds: 1.2,
        }
    }
}
