//! A round: every partition trains the global model, the strategy makes the next one of the results, the test set tells how
//! good it is, and the journal keeps it. `TrainingLoop::train` is the loop; a live run has another, in `live`.
//!
//! - `partition`: who gets which samples;
//! - [`local`]: what happens in a partition; `self_check`: whether the native step is right on this processor;
//! - [`strategy`]: what becomes of the updates;
//! - `early_end`: whether there have been rounds enough;
//! - `journal`: what a run remembers, in its folder (`folder`), as tables, as a summary, and for TensorBoard (`board`).

mod board;
mod early_end;
mod folder;
pub(crate) mod journal;
pub mod local;
pub(crate) mod partition;
mod progress;
mod provenance;
pub(crate) mod self_check;
pub mod strategy;
mod summary;
mod tables;

use std::time::Instant;

use anyhow::Context;
use dataset::Dataset;
use flags::When;
use model::{StateDict, logits, measure};
use process::{exit::Code, shutdown::Shutdown};
use run_folder::{
    LiveSummary,
    record::{PartitionRecord, Record},
};
use sample::CLASSES;
use store::Manifest;

use self::{
    journal::Journal,
    local::{LocalUpdate, Updates},
    progress::Progress,
    strategy::{Strategy, mean_train_loss},
};
use crate::{config::Config, engine::Engine, live::Tested};

pub(crate) struct TrainingLoop<'a> {
    pub(crate) config: &'a Config,
    pub(crate) test_set: &'a Dataset,
    pub(crate) shutdown: &'a Shutdown,
}

/// What a round is given.
pub(crate) struct RoundInputs<'a> {
    pub(crate) engine: &'a dyn Engine,
    pub(crate) partitions: u32,
    /// Those of all partitions.
    pub(crate) samples: u64,
    /// Whether to measure the accuracy on them, too.
    pub(crate) measures_received: bool,
    /// Of a live run: how the model did on the slice, and what it goes on from after it.
    pub(crate) tested: Option<Tested>,
}

#[derive(Clone, Copy)]
pub(crate) struct RunInputs<'a> {
    pub(crate) manifest: &'a Manifest,
    pub(crate) test_set: &'a Dataset,
}

/// What the model says of the test set.
pub(crate) type Scores = Vec<[f32; CLASSES]>;

/// What is known of the final model beside its record.
pub(crate) struct FinalEvaluation {
    pub(crate) received_accuracy: Option<f64>,
    pub(crate) scores: Scores,
    /// Of a live run.
    pub(crate) live: Option<LiveSummary>,
}

impl TrainingLoop<'_> {
    /// Trains all rounds that are left, on the same samples.
    pub(crate) fn train(
        &self,
        engine: &dyn Engine,
        samples: u64,
        strategy: &dyn Strategy,
        journal: &mut Journal<'_>,
    ) -> anyhow::Result<FinalEvaluation> {
        let mut last_scores = None;
        let flags = &self.config.training;
        for round in journal.next_round()..=flags.rounds {
            if early_end::reason(flags, journal.history()).is_some() {
                break;
            }
            let measures_received = round == flags.rounds || flags.received_accuracy == When::EachRound;
            let given =
                RoundInputs { engine, partitions: self.config.partitions, samples, measures_received, tested: None };
            last_scores = Some(self.round(given, strategy, journal)?);
        }
        let last = journal.history().last().context("there is no round to sum up: --rounds is 0")?;
        let received = last.received_accuracy;
        let received =
            received.map_or_else(|| self.received_accuracy(engine, samples, journal.global(), journal), Ok)?;
        let scores = last_scores.unwrap_or_else(|| self.scores(journal.global()));
        Ok(FinalEvaluation { received_accuracy: Some(received), scores, live: None })
    }

    /// One round: partitions train, the strategy steps, the test set tells how good it is, the journal keeps it.
    pub(crate) fn round(
        &self,
        given: RoundInputs<'_>,
        strategy: &dyn Strategy,
        journal: &mut Journal<'_>,
    ) -> anyhow::Result<Scores> {
        let (round, training) = (journal.next_round(), Instant::now());
        let updates = self.train_partitions(round, &given, journal)?; // Every partition takes part.
        let mut server = journal.server().clone();
        let needed = self.config.training.strategy.needs();
        let global = if given.partitions < needed {
            // Only the last slice of a live run may have fewer samples than there are partitions.
            let (strategy, partitions) = (self.config.training.strategy, given.partitions);
            tracing::warn!(
                "round {round} keeps the model as it was: its slice fills {partitions} of the {needed} partitions that {strategy} needs"
            );
            journal.global().clone()
        } else {
            strategy.step(&mut server, journal.global(), &updates)
        };
        let train_seconds = training.elapsed().as_secs_f64();

        let evaluating = Instant::now();
        let scores = self.scores(&global);
        let test = measure(&scores, &self.test_set.samples.labels);
        self.check_finite(test.loss.is_finite(), || format!("round {round}, seen on the test set"))?;
        check_shutdown(self.shutdown, journal)?;
        let RoundInputs { engine, samples, measures_received, tested, .. } = given;
        let received = measures_received.then(|| self.received_accuracy(engine, samples, &global, journal));
        let partition =
            |update: &LocalUpdate| PartitionRecord { n_samples: update.n_samples, train_loss: update.train_loss };
        let record = Record {
            round,
            train_loss: mean_train_loss(&updates),
            test_loss: test.loss,
            test_accuracy: test.accuracy(),
            received_accuracy: received.transpose()?,
            prequential: tested.as_ref().map(|tested| tested.figures),
            drifts: tested.as_ref().map_or_else(Vec::new, |tested| tested.drifts.clone()),
            model_sha256: global.sha256(),
            train_seconds,
            evaluate_seconds: evaluating.elapsed().as_secs_f64(),
            partitions: updates.iter().map(partition).collect(),
        };
        // Every round: a late failure must not cost earlier results.
        journal.record(record, (global, server), tested.map(|tested| tested.position), &test.confusion)?;
        Ok(scores)
    }

    /// What a model says of the test set.
    pub(crate) fn scores(&self, global: &StateDict) -> Scores {
        logits(global, &self.test_set.samples.images)
    }

    fn train_partitions(&self, round: u32, given: &RoundInputs<'_>, journal: &Journal<'_>) -> anyhow::Result<Updates> {
        let of = given.samples * u64::from(self.config.training.local.local_epochs);
        let progress = Progress::new(self.config.json, round, of, given.partitions);
        let shutdown = self.shutdown;
        let on_samples = |partition, samples| {
            progress.advance(partition, samples);
            check_shutdown(shutdown, journal)
        };
        let updates = given.engine.train_round(round, journal.global(), &on_samples)?;
        for update in &updates {
            let is_finite = update.train_loss.is_finite() && update.state_dict.not_finite().is_none();
            self.check_finite(is_finite, || format!("round {round}, partition {}", update.partition))?;
        }
        Ok(updates)
    }

    /// The share of the received samples that the model recognises.
    fn received_accuracy(
        &self,
        engine: &dyn Engine,
        samples: u64,
        global: &StateDict,
        journal: &Journal<'_>,
    ) -> anyhow::Result<f64> {
        let shutdown = self.shutdown;
        Ok(engine.count_correct(global, &|_, _| check_shutdown(shutdown, journal))? as f64 / samples as f64)
    }

    /// Divergence ends a run at once, as a usage error: the cure is another flag, and going on would only hide where it
    /// began.
    fn check_finite(&self, is_finite: bool, place: impl FnOnce() -> String) -> anyhow::Result<()> {
        if !is_finite {
            let (place, rate) = (place(), self.config.training.local.learning_rate);
            fail!(
                Code::Usage,
                "training diverged in {place}: a loss or weight is not finite; try a smaller --learning-rate than {rate}"
            );
        }
        Ok(())
    }
}

/// Says by an error that the run is to stop.
pub(crate) fn check_shutdown(shutdown: &Shutdown, journal: &Journal<'_>) -> anyhow::Result<()> {
    shutdown.requested().map_or(Ok(()), |cause| Err(journal.stopped(cause)))
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, fs, path::Path};

    use dataset::Split;
    use model::SIMPLE_CNN;
    use process::shutdown::Cause;
    use run_folder::Origin;
    use sample::PIXELS;

    use super::{local::OnSamples, *};
    use crate::{
        config::{Folder, tests::config},
        data::digest::Digest,
    };

    /// Two partitions that add a number to every weight; no tensor is involved.
    struct Fake {
        /// What the second partition adds; the first adds nothing.
        adds: f32,
        /// The second one's loss.
        loss: f64,
        rounds: RefCell<Vec<u32>>,
    }

    impl Fake {
        fn new() -> Self {
            Fake { adds: 0.5, loss: 0.25, rounds: RefCell::new(Vec::new()) }
        }
    }

    impl Engine for Fake {
        fn data(&self) -> Digest {
            Digest::default()
        }

        fn train_round(&self, round: u32, global: &StateDict, on_samples: OnSamples<'_>) -> anyhow::Result<Updates> {
            on_samples(Some(0), 1)?;
            self.rounds.borrow_mut().push(round);
            let update = |partition: u32, adds: f32, train_loss| {
                let mut state_dict = global.clone();
                state_dict.values_mut().iter_mut().for_each(|weight| *weight += adds);
                LocalUpdate { partition, state_dict, n_samples: 1, train_loss }
            };
            Ok(vec![update(0, 0.0, 0.75), update(1, self.adds, self.loss)])
        }

        fn count_correct(&self, _: &StateDict, _: OnSamples<'_>) -> anyhow::Result<u64> {
            Ok(1)
        }
    }

    /// Runs up to so many rounds in this folder; the rounds in its journal, and the first weight of the model.
    fn run(folder: Folder, rounds: u32, engine: &Fake, shutdown: &Shutdown) -> anyhow::Result<(Vec<Record>, f32)> {
        let config = Config { folder, ..config(&["--partitions=2", &format!("--rounds={rounds}")]) };
        let images = tempfile::tempdir().unwrap();
        dataset::write_idx(images.path(), Split::Test, &[0; 2 * PIXELS], &[3, 4]).unwrap();
        let test_set = dataset::load(images.path(), Split::Test).unwrap();
        let origin = Origin { flags: config.decisive(), data: String::new(), dataset: "two".into() };
        let mut journal = Journal::open(&config, origin, SIMPLE_CNN.zeros(), shutdown)?;
        let rounds = TrainingLoop { config: &config, test_set: &test_set, shutdown };
        let result = rounds.train(engine, 2, &*strategy::chosen(&config), &mut journal)?;
        assert_eq!((result.received_accuracy, result.scores.len()), (Some(0.5), 2));
        Ok((journal.history().to_vec(), journal.global().values()[0]))
    }

    fn new(dir: &Path) -> Folder {
        Folder::New(Some(dir.to_owned()))
    }

    #[test]
    fn each_round_begins_with_the_average_of_the_one_before_also_after_a_resume() {
        let dir = tempfile::tempdir().unwrap();
        let (_trigger, shutdown) = Shutdown::manual();
        let (whole, parts) = (dir.path().join("whole"), dir.path().join("parts"));
        let engine = Fake::new();
        let (history, weight) = run(new(&whole), 3, &engine, &shutdown).unwrap();
        assert_eq!((history.len(), weight), (3, 0.75));
        assert_eq!((history[0].train_loss, history[0].partitions[1].train_loss), (0.5, 0.25));
        assert_eq!(history.iter().map(|record| record.received_accuracy).collect::<Vec<_>>(), [None, None, Some(0.5)]);

        let engine = Fake::new();
        run(new(&parts), 2, &engine, &shutdown).unwrap();
        let (resumed, again) = run(Folder::Resume(parts), 3, &engine, &shutdown).unwrap();
        assert_eq!((again, engine.rounds.take()), (weight, vec![1, 2, 3]));
        let hashes = |history: &[Record]| history.iter().map(|record| record.model_sha256.clone()).collect::<Vec<_>>();
        assert_eq!(hashes(&resumed), hashes(&history));
    }

    #[test]
    fn a_run_that_is_continued_is_no_longer_judged_by_its_old_final_model() {
        let dir = tempfile::tempdir().unwrap();
        let (_trigger, shutdown) = Shutdown::manual();
        let results = [run_folder::FINAL_MODEL, run_folder::SUMMARY, run_folder::REPORT];
        let resume = || Folder::Resume(dir.path().into());
        for (folder, rounds, are_left) in [(new(dir.path()), 1, false), (resume(), 1, true), (resume(), 2, false)] {
            for name in results {
                fs::write(dir.path().join(name), "of an earlier end").unwrap();
            }
            run(folder, rounds, &Fake::new(), &shutdown).unwrap();
            assert_eq!(results.map(|name| dir.path().join(name).exists()), [are_left; 3], "{rounds} rounds");
        }
    }

    #[test]
    fn divergence_ends_the_run_says_where_and_is_not_recorded() {
        let dir = tempfile::tempdir().unwrap();
        let (_trigger, shutdown) = Shutdown::manual();
        for (adds, loss, place) in [
            (0.5, f64::NAN, "round 1, partition 1"),
            (f32::INFINITY, 0.25, "round 1, partition 1"),
            (1e38, 0.25, "round 1, seen on the test set"),
        ] {
            let engine = Fake { adds, loss, ..Fake::new() };
            let error = run(Folder::Resume(dir.path().into()), 3, &engine, &shutdown).unwrap_err();
            assert_eq!(process::exit::code_of(&error), Code::Usage);
            let expect = format!("training diverged in {place}: a loss or weight is not finite; try a smaller ");
            assert!(error.to_string().starts_with(&expect), "{error}");
            assert_eq!(run_folder::checkpoint::newest(dir.path()).unwrap(), None);
        }
    }

    #[test]
    fn a_run_that_is_told_to_stop_says_how_to_go_on_where_it_can() {
        let dir = tempfile::tempdir().unwrap();
        let (_trigger, shutdown) = Shutdown::manual();
        let stop = |folder| {
            let (trigger, shutdown) = Shutdown::manual();
            trigger.stop(Cause::Lifeline);
            let error = run(folder, 2, &Fake::new(), &shutdown).unwrap_err();
            assert_eq!(process::exit::code_of(&error), Code::Terminated);
            error.to_string()
        };
        assert_eq!(stop(new(dir.path())), "stopped by the parent process before the first checkpoint");
        run(new(dir.path()), 1, &Fake::new(), &shutdown).unwrap();
        let expect = format!("stopped by the parent process; to go on: trainer --resume {}", dir.path().display());
        assert_eq!(stop(Folder::Resume(dir.path().into())), expect);
    }
}
