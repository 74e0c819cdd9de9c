//! Partitions on the threads of this process, one partition to a thread.

use ::rayon::prelude::*;
use model::{StateDict, evaluate};
use store::Held;

use super::Engine;
use crate::{
    config::Config,
    data::{self, Received, digest::Digest},
    round::{
        local::{Local, OnSamples, Turn, Updates, train_partition},
        partition::{Partitions, shuffled},
    },
};

/// The engine `rayon`.
#[derive(Debug)]
pub(super) struct Rayon {
    partitions: Partitions,
    digest: Digest,
    seed: u64,
    local: Local,
}

impl Rayon {
    /// Reads the samples of the chunk directory.
    ///
    /// # Errors
    /// When it is damaged.
    pub(super) fn open(config: &Config, held: &Held) -> anyhow::Result<Self> {
        Ok(Self::new(&data::read(held)?, config.seed, config.partitions as usize, config.local.clone()))
    }

    pub(super) fn new(received: &Received, seed: u64, partitions: usize, local: Local) -> Self {
        let partitions = Partitions::new(received, shuffled(received.len(), seed, partitions));
        Self { partitions, digest: received.digest, seed, local }
    }
}

impl Engine for Rayon {
    fn name(&self) -> &'static str {
        "rayon"
    }

    fn data(&self) -> Digest {
        self.digest
    }

    fn train_round(&self, round: u32, global: &StateDict, on_samples: OnSamples<'_>) -> anyhow::Result<Updates> {
        let train = |index| {
            let turn = Turn { seed: self.seed, round, partition: index as u32 };
            train_partition(&self.local, turn, global, self.partitions.get(index), on_samples)
        };
        (0..self.partitions.count()).into_par_iter().map(train).collect()
    }

    fn count_correct(&self, global: &StateDict, _: OnSamples<'_>) -> anyhow::Result<u64> {
        let sample::Samples { images, labels } = self.partitions.all();
        Ok(evaluate(global, images, labels).correct as u64)
    }
}
