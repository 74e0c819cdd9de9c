//! Partitions on the threads of this process, one partition to a thread.

use ::rayon::prelude::*;
use model::{StateDict, evaluate};
use store::Manifest;

use super::Engine;
use crate::{
    config::{Config, Local},
    data::{self, Samples},
    digest::Digest,
    local::{LocalUpdate, OnSamples, train_partition},
    partition::Partitions,
};

/// The engine `rayon`.
#[derive(Debug)]
pub struct Rayon {
    partitions: Partitions,
    digest: Digest,
    local: Local,
}

impl Rayon {
    /// Reads the samples of the chunk directory.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn open(config: &Config, manifest: &Manifest) -> anyhow::Result<Self> {
        let (samples, digest) = data::read(&config.dir, manifest)?;
        Ok(Self::new(samples, digest, config.partitions as usize, config.local.clone()))
    }

    pub(super) fn new(samples: Samples, digest: Digest, partitions: usize, local: Local) -> Self {
        Self { partitions: Partitions::cut(samples, local.seed, partitions), digest, local }
    }
}

impl Engine for Rayon {
    fn name(&self) -> &'static str {
        "rayon"
    }

    fn data(&self) -> Digest {
        self.digest
    }

    fn train_round(
        &self,
        round: u32,
        global: &StateDict,
        on_samples: OnSamples<'_>,
    ) -> anyhow::Result<Vec<LocalUpdate>> {
        let train = |index| {
            let samples = self.partitions.get(index);
            train_partition(round, index as u32, global, samples, &self.local, on_samples)
        };
        (0..self.partitions.count()).into_par_iter().map(train).collect()
    }

    fn recognised(&self, global: &StateDict, _: OnSamples<'_>) -> anyhow::Result<u64> {
        let Samples { images, labels } = self.partitions.all();
        Ok(evaluate(global, images, labels).correct as u64)
    }
}
