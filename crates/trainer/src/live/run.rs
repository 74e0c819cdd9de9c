//! The loop over the slices: test on the slice, train on it and on the replay, record. A run that goes on reads its earlier
//! slices again, and so finds out whether they are still those that it learnt from.

use std::{ops::Range, time::Instant};

use anyhow::Context;
use event::{Event, Prequential};
use flags::{LiveTraining, Replay};
use model::{StateDict, best, logits, measure};
use process::{
    exit::{Code, code_of},
    shutdown::Shutdown,
};
use rayon::prelude::*;
use run_folder::{LiveSummary, Origin, Position};
use sample::{PIXELS, Samples};

use super::{figures::Figures, reservoir::Reservoir, slices::Slices};
use crate::{
    config::Config,
    data::{digest::Digest, test_set},
    engine::{self, LiveEngine, RoundSamples},
    initial_weights,
    round::{
        FinalEvaluation, RoundInputs, RunInputs, Scores, TrainingLoop,
        journal::Journal,
        partition, self_check,
        strategy::{self, Strategy},
    },
};

/// What the model was found to be on a slice before it was trained on it.
pub(crate) struct Tested {
    pub(crate) figures: Prequential,
    /// The seqs at which the drift detector saw a change.
    pub(crate) drifts: Vec<u64>,
    /// Where the run stands once it has trained on the slice.
    pub(crate) position: Position,
}

/// The most that the trainer was behind.
#[derive(Default)]
struct Behind {
    samples: u64,
    seconds: f64,
}

/// Trains on slices until the stream ends, or until told to stop.
pub(crate) fn run(config: &Config, live: &LiveTraining, shutdown: &Shutdown) -> anyhow::Result<()> {
    let mut slices = Slices::open(config, live.samples_per_round, shutdown)?;
    let dataset = slices.dataset()?;
    let started = Instant::now();
    let test_set = test_set::load_for(&dataset, config.training.test_data.as_deref())?;
    partition::check_count(config.partitions, live.samples_per_round)?;
    let engine = engine::open_live(config, shutdown)?;

    let (flags, initial) = initial_weights(config)?;
    let origin = Origin { flags, data: dataset.digest.clone(), dataset: dataset.name.clone() };
    let mut journal = Journal::open(config, origin, initial, shutdown)?;
    let earlier = journal.sums().seconds();
    let mut stream = Stream::new(config, live, &journal)?;
    stream.read_again(&mut slices, &journal)?;
    let behind = Behind::before(&journal);
    journal.start_live(live, &dataset.name, &test_set)?;

    let rounds = TrainingLoop { config, test_set: &test_set, shutdown };
    let mut run = Live { slices, stream, engine, rounds, strategy: strategy::chosen(config), behind };
    let result = run.train(&mut journal);
    let result = result.map_err(|error| shutdown.requested().map_or(error, |cause| journal.stopped(cause)))?;
    let manifest = run.slices.manifest().context("the stream ended without a manifest")?;
    journal.finish(RunInputs { manifest, test_set: &test_set }, &result, earlier + started.elapsed().as_secs_f64())
}

/// A live run under way.
struct Live<'a> {
    slices: Slices<'a>,
    stream: Stream<'a>,
    engine: Box<dyn LiveEngine + 'a>,
    rounds: TrainingLoop<'a>,
    strategy: Box<dyn Strategy>,
    behind: Behind,
}

impl Live<'_> {
    /// Trains on slices until the stream ends.
    fn train(&mut self, journal: &mut Journal<'_>) -> anyhow::Result<FinalEvaluation> {
        let mut scores = None;
        while let Some(seqs) = self.slices.next()? {
            let slice = self.slices.read(seqs.clone())?;
            if scores.is_none() {
                let flags::Training { local, seed, .. } = &self.stream.config.training;
                self_check::check(local, *seed, slice.as_slice())?;
            }
            scores = Some(self.round(&seqs, &slice, journal)?);
        }
        let scores = scores.unwrap_or_else(|| self.rounds.scores(journal.global()));
        let live = Some(self.stream.summary(journal, &self.behind));
        Ok(FinalEvaluation { received_accuracy: None, scores, live })
    }

    /// The round of a slice: test on it, then train on it and on the replay.
    fn round(&mut self, seqs: &Range<u64>, slice: &Samples, journal: &mut Journal<'_>) -> anyhow::Result<Scores> {
        self.behind.tell(&self.slices, seqs, journal)?;
        let tested = self.stream.test(seqs, slice, journal.global())?;
        for &seq in &tested.drifts {
            let event = Event::Drift { round: journal.next_round(), seq };
            journal.tell(&event, Some(&format!("drift seen at sample {seq}")))?;
        }
        let given = self.stream.round_samples(seqs, slice, &self.slices);
        let (partitions, samples) = (given.partitions, given.len());
        let engine = self.engine.partitions(&given)?;
        let given =
            RoundInputs { engine: &*engine, partitions, samples, measures_received: false, tested: Some(tested) };
        let scores = self.rounds.round(given, &*self.strategy, journal)?;
        self.stream.remember(seqs, slice);
        Ok(scores)
    }
}

/// What is known of the stream up to where the run stands.
struct Stream<'a> {
    config: &'a Config,
    live: &'a LiveTraining,
    reservoir: Option<Reservoir>,
    /// One past the last sample's seq.
    seq: u64,
    digest: Digest,
    figures: Figures,
}

impl<'a> Stream<'a> {
    /// The beginning of the stream, with the figures that the journal goes on from.
    fn new(config: &'a Config, live: &'a LiveTraining, journal: &Journal<'_>) -> anyhow::Result<Self> {
        let figures = Figures::of(live, config.offset, journal)?;
        let reservoir = match live.replay {
            Replay::Reservoir(samples) => Some(Reservoir::new(config.training.seed, samples as usize)),
            _ => None,
        };
        Ok(Stream { config, live, reservoir, seq: config.offset, digest: Digest::default(), figures })
    }

    /// Takes a slice into the digest.
    fn digest(&mut self, seqs: &Range<u64>, slice: &Samples) {
        let samples = slice.labels.par_iter().zip(slice.images.par_chunks(PIXELS)).enumerate();
        let more = samples.map(|(i, (&label, image))| Digest::of(seqs.start + i as u64, label, image)).sum();
        self.digest = [self.digest, more].into_iter().sum();
        self.seq = seqs.end;
    }

    /// Keeps what later rounds may replay of a slice.
    fn remember(&mut self, seqs: &Range<u64>, slice: &Samples) {
        if let Some(reservoir) = &mut self.reservoir {
            for (seq, (label, image)) in seqs.clone().zip(slice.as_slice().iter()) {
                reservoir.offer(seq, label, image);
            }
        }
    }

    /// Reads the slices again that the journal's model was trained on, and checks that they are still the same.
    fn read_again(&mut self, slices: &mut Slices<'_>, journal: &Journal<'_>) -> anyhow::Result<()> {
        let Some(stored) = journal.position() else { return Ok(()) };
        let mut rounds = 0;
        while self.seq < stored.seq {
            let next = slices.next();
            // Of a directory with fewer samples it would be said that they make no slice.
            let Some(seqs) = next.or_else(|error| if is_of_data(&error) { Ok(None) } else { Err(error) })? else {
                break;
            };
            let slice = slices.read(seqs.clone())?;
            self.digest(&seqs, &slice);
            self.remember(&seqs, &slice);
            rounds += 1;
        }
        if self.seq == stored.seq && rounds + 1 != journal.next_round() {
            return Err(journal.damaged(format!(
                "it says that {} rounds end at sample {}",
                journal.next_round() - 1,
                self.seq
            )));
        }
        let digest = self.digest.to_string();
        if (stored.seq, &stored.digest) != (self.seq, &digest) {
            fail!(
                Code::Data,
                "chunk directory `{}` holds other samples up to {} than this run was trained on (digest {digest:.16}…, not \
                 {:.16}…); resume it with its own, or start a new run without --resume",
                self.config.dir.display(),
                self.seq,
                stored.digest
            );
        }
        Ok(())
    }

    /// Tests the model so far on a slice that it has not seen.
    fn test(&mut self, seqs: &Range<u64>, slice: &Samples, global: &StateDict) -> anyhow::Result<Tested> {
        let scores = logits(global, &slice.images);
        let loss = measure(&scores, &slice.labels).loss;
        if !loss.is_finite() {
            fail!(
                Code::Usage,
                "training diverged: the loss on samples {seqs:?} is not finite; try a smaller --learning-rate"
            );
        }
        let predicted = scores.iter().map(|scores| best(scores) as u8);
        let predictions: Vec<(u8, u8)> = slice.labels.iter().copied().zip(predicted).collect();
        let Figures { prequential, detector } = &mut self.figures;
        let figures = prequential.add_slice(seqs.end, &predictions, loss);
        let with_seq = seqs.clone().zip(&predictions);
        let drifts = with_seq.filter(|(_, (label, predicted))| detector.update(label != predicted)).map(|(seq, _)| seq);
        let drifts = drifts.collect();
        self.digest(seqs, slice);
        let figures_after = serde_json::to_value(&self.figures).context("failed to represent the figures")?;
        let position = Position { seq: self.seq, digest: self.digest.to_string(), figures: figures_after };
        Ok(Tested { figures, drifts, position })
    }

    /// What the round of a slice trains on.
    fn round_samples<'b>(&'b self, seqs: &Range<u64>, slice: &'b Samples, slices: &'b Slices<'_>) -> RoundSamples<'b> {
        let first = match self.live.replay {
            Replay::None | Replay::Reservoir(_) => seqs.start,
            Replay::Landmark => self.config.offset,
            Replay::Sliding(samples) => seqs.start.saturating_sub(samples).max(self.config.offset),
        };
        let (partitions, reservoir) = (self.config.partitions, self.reservoir.as_ref());
        let mut given = RoundSamples { slices, reservoir, seqs: first..seqs.end, slice, partitions };
        given.partitions = partitions.min(given.len() as u32); // The last slice may be short.
        given
    }

    fn summary(&self, journal: &Journal<'_>, behind: &Behind) -> LiveSummary {
        let prequential = &self.figures.prequential;
        LiveSummary {
            samples: self.seq - self.config.offset,
            samples_per_round: self.live.samples_per_round,
            replay: self.live.replay.to_string(),
            prequential_accuracy: prequential.accuracy(),
            prequential_loss: prequential.loss(),
            prequential_kappa: prequential.kappa(),
            fading_accuracy: prequential.fading_accuracy(),
            drifts: journal.history().iter().flat_map(|record| record.drifts.iter().copied()).collect(),
            unlisted_drifts: journal.unlisted().drifts,
            behind_samples: behind.samples,
            behind_seconds: behind.seconds,
        }
    }
}

/// Whether what is there is wrong, and not how it is read.
fn is_of_data(error: &anyhow::Error) -> bool {
    matches!(code_of(error), Code::Usage | Code::Data)
}

impl Behind {
    /// As an earlier summary of the run has it; nothing if there is none.
    fn before(journal: &Journal<'_>) -> Self {
        let live = journal.earlier_summary().and_then(|summary| summary.live);
        live.map_or_else(Self::default, |live| Self { samples: live.behind_samples, seconds: live.behind_seconds })
    }

    /// Tells that a slice is there, and how far behind its round begins.
    fn tell(&mut self, slices: &Slices<'_>, seqs: &Range<u64>, journal: &mut Journal<'_>) -> anyhow::Result<()> {
        let (samples, age) = slices.behind(seqs);
        let seconds = age.as_secs_f64();
        (self.samples, self.seconds) = (self.samples.max(samples), self.seconds.max(seconds));
        let (round, position) = (journal.next_round(), seqs.end);
        journal.tell(&Event::Slice { round, position, behind_samples: samples, behind_seconds: seconds }, None)
    }
}
