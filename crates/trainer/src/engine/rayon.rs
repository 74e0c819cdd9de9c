//! Partitions on the threads of this process, one partition to a thread.

use std::ops::Range;

use ::rayon::prelude::*;
use model::{StateDict, evaluate};
use sample::Samples;
use store::Held;

use super::{Engine, LiveEngine, RoundSamples};
use crate::{
    config::Config,
    data::{self, Received, digest::Digest},
    round::{
        local::{Local, OnSamples, Turn, Updates, train_partition},
        partition::{Assignment, shuffled},
        self_check,
    },
};

#[derive(Debug)]
pub(super) struct Rayon {
    /// The partitions end to end, so that each is a slice.
    samples: Samples,
    ranges: Vec<Range<usize>>,
    digest: Digest,
    seed: u64,
    local: Local,
}

impl Rayon {
    pub(super) fn open(config: &Config, held: &Held) -> anyhow::Result<Self> {
        let flags::Training { seed, local, .. } = &config.training;
        let engine = Self::new(&data::read(held)?, *seed, config.partitions as usize, local.clone());
        self_check::check(local, *seed, engine.samples.as_slice())?;
        Ok(engine)
    }

    pub(super) fn new(received: &Received, seed: u64, partitions: usize, local: Local) -> Self {
        let Assignment { order, ranges } = shuffled(received.len(), seed, partitions);
        Self { samples: received.gather(&order), ranges, digest: received.digest, seed, local }
    }
}

/// A live run, whose rounds each have samples of their own.
pub(super) struct Live<'a>(pub(super) &'a Config);

impl LiveEngine for Live<'_> {
    fn partitions<'a>(&'a mut self, given: &RoundSamples<'_>) -> anyhow::Result<Box<dyn Engine + 'a>> {
        let (_, canonical) = given.canonical()?;
        let flags::Training { seed, local, .. } = &self.0.training;
        let Assignment { order, ranges } = shuffled(canonical.len(), *seed, given.partitions as usize);
        let mut samples = Samples::default();
        canonical.as_slice().gather(&order, &mut samples);
        Ok(Box::new(Rayon { samples, ranges, digest: Digest::default(), seed: *seed, local: local.clone() }))
    }
}

impl Engine for Rayon {
    fn data(&self) -> Digest {
        self.digest
    }

    fn train_round(&self, round: u32, global: &StateDict, on_samples: OnSamples<'_>) -> anyhow::Result<Updates> {
        let train = |index: usize| {
            let turn = Turn { seed: self.seed, round, partition: index as u32 };
            let samples = self.samples.slice(self.ranges[index].clone());
            train_partition(&self.local, turn, global, samples, on_samples)
        };
        (0..self.ranges.len()).into_par_iter().map(train).collect()
    }

    fn count_correct(&self, global: &StateDict, _: OnSamples<'_>) -> anyhow::Result<u64> {
        let Samples { images, labels } = &self.samples;
        Ok(evaluate(global, images, labels).correct as u64)
    }
}
