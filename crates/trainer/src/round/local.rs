//! Local training is what happens in one partition in one round: start from the global model with a fresh optimizer,
//! pass over the partition's samples some times, and hand the resulting weights back. [`Local`] says how.
//!
//! [`train_partition`] is a pure function. Engines decide where it runs, never how, and may run it twice.

pub use flags::Local;
use flags::{BatchSize, Optimizer, Step};
use model::{Learner, Settings, StateDict};
use sample::{SampleSlice, Samples, random::Stream};

/// Which local training of a run it is; it decides the order of the samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The run's seed.
    pub seed: u64,
    /// From 1.
    pub round: u32,
    /// From 0.
    pub partition: u32,
}

/// What one partition contributes to a round.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalUpdate {
    /// The partition, from 0.
    pub partition: u32,
    /// Its weights after training.
    pub state_dict: StateDict,
    /// How many samples it holds.
    pub n_samples: u64,
    /// Mean loss over all samples trained on, each measured just before the step that learned from it.
    pub train_loss: f64,
}

/// What all partitions contribute to a round, in partition order.
pub type Updates = Vec<LocalUpdate>;

/// Is told, a few dozen at a time, how many more samples have been trained on, and in which partition if that is known; can
/// end training by an error.
pub type OnSamples<'a> = &'a (dyn Fn(Option<u32>, usize) -> anyhow::Result<()> + Sync);

/// Trains the global model on the samples of a partition.
///
/// # Errors
/// Only that of `on_samples`.
pub fn train_partition(
    local: &Local,
    turn: Turn,
    global: &StateDict,
    samples: SampleSlice<'_>,
    on_samples: OnSamples<'_>,
) -> anyhow::Result<LocalUpdate> {
    let Turn { seed, round, partition } = turn;
    let settings = Settings {
        step: match local.step {
            Step::Native => model::Step::Native,
            Step::Libtorch => model::Step::Libtorch,
        },
        optimizer: match local.optimizer {
            Optimizer::Adam => model::Optimizer::Adam,
            Optimizer::Sgd => model::Optimizer::Sgd,
        },
        learning_rate: local.learning_rate,
    };
    let batch_size = match local.batch_size {
        BatchSize::Full => samples.len(),
        BatchSize::Samples(count) => count as usize,
    };
    let mut learner = Learner::new(global, settings);
    let mut minibatch = Samples::default();
    let mut loss = 0.0;
    for epoch in 0..local.local_epochs {
        let mut order: Vec<u32> = (0..samples.len() as u32).collect();
        let key = [seed, round.into(), partition.into(), epoch.into()];
        Stream::keyed("tributary minibatches", &key).shuffle(&mut order);
        // The last chunk may be short. It is trained on like the others: no sample is ever dropped.
        for indices in order.chunks(batch_size) {
            samples.gather(indices, &mut minibatch);
            let mean =
                learner.step(&minibatch.images, &minibatch.labels, |samples| on_samples(Some(partition), samples))?;
            loss += mean * indices.len() as f64;
        }
    }
    Ok(LocalUpdate {
        partition,
        state_dict: learner.state_dict(),
        n_samples: samples.len() as u64,
        train_loss: loss / (samples.len() as f64 * f64::from(local.local_epochs)),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Mutex;

    use model::SIMPLE_CNN;

    use super::*;
    use crate::data::example;

    /// One pass by Adam in minibatches of 16.
    pub(crate) const LOCAL: Local = Local {
        local_epochs: 1,
        batch_size: BatchSize::Samples(16),
        learning_rate: 0.001,
        optimizer: Optimizer::Adam,
        step: Step::Native,
    };

    const FIRST: Turn = Turn { seed: 42, round: 1, partition: 0 };

    fn config(batch_size: BatchSize, local_epochs: u32) -> Local {
        Local { local_epochs, batch_size, ..LOCAL }
    }

    /// The update, and the numbers of samples that were reported.
    fn train(samples: &Samples, config: &Local) -> (LocalUpdate, Vec<usize>) {
        let steps = Mutex::new(Vec::new());
        let global = SIMPLE_CNN.init(42);
        let slice = samples.as_slice();
        let on_samples = |partition, samples| {
            assert_eq!(partition, Some(0));
            steps.lock().unwrap().push(samples);
            Ok(())
        };
        let update = train_partition(config, FIRST, &global, slice, &on_samples).unwrap();
        (update, steps.into_inner().unwrap())
    }

    #[test]
    fn a_short_last_minibatch_is_trained_on() {
        let samples = example(35);
        let (update, steps) = train(&samples, &config(BatchSize::Samples(16), 2));
        assert_eq!(steps, [16, 16, 3, 16, 16, 3]);
        assert_eq!(update.n_samples, 35);
        assert!(update.train_loss > 0.5 && update.train_loss < 2.6, "{}", update.train_loss);
    }

    #[test]
    fn every_sample_has_a_say_in_the_weights() {
        let samples = example(9);
        let (base, _) = train(&samples, &config(BatchSize::Samples(4), 1));
        for index in 0..9 {
            let mut other = samples.clone();
            other.labels[index] = (other.labels[index] + 1) % 10;
            let (update, _) = train(&other, &config(BatchSize::Samples(4), 1));
            assert_ne!(update.state_dict, base.state_dict, "sample {index} was left out");
        }
    }

    #[test]
    fn a_full_batch_is_one_step_and_so_is_a_batch_larger_than_the_partition() {
        let samples = example(20);
        let (full, steps) = train(&samples, &config(BatchSize::Full, 1));
        assert_eq!(steps, [20]);
        assert_eq!(train(&samples, &config(BatchSize::Samples(4096), 1)), (full, vec![20]));
    }

    #[test]
    fn seed_round_and_partition_each_change_the_order_and_nothing_else_does() {
        let samples = example(40);
        let slice = samples.as_slice();
        let sha = |round, partition, seed| {
            let (local, turn) = (config(BatchSize::Samples(8), 1), Turn { seed, round, partition });
            let update = train_partition(&local, turn, &SIMPLE_CNN.init(1), slice, &|_, _| Ok(())).unwrap();
            update.state_dict.sha256()
        };
        let hashes = [sha(1, 0, 42), sha(2, 0, 42), sha(1, 1, 42), sha(1, 0, 43)];
        assert_eq!(sha(1, 0, 42), hashes[0]);
        assert_eq!(hashes.iter().collect::<std::collections::BTreeSet<_>>().len(), hashes.len());
    }
}
