//! A strategy turns the updates of a round into the next global model. There is one, [`FedAvg`]; another one is a type
//! beside it and a line in `chosen`.

use flags::Weighting;
use model::StateDict;

use super::local::LocalUpdate;
use crate::config::Config;

/// How updates become the next global model.
pub trait Strategy {
    /// The model after a round that began with `global`. `updates` are in partition order and there is at least one: sums of
    /// floating-point numbers depend on their order.
    ///
    /// What a strategy remembers from round to round has to be kept with the checkpoint of the round.
    fn step(&mut self, global: &StateDict, updates: &[LocalUpdate]) -> StateDict;
}

pub(crate) fn chosen(config: &Config) -> FedAvg {
    FedAvg { weighting: config.training.weighting }
}

/// The sum of n_k/n * w_k (McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data",
/// 2017). It remembers nothing.
#[derive(Clone, Copy, Debug)]
pub struct FedAvg {
    /// What n_k is.
    pub weighting: Weighting,
}

impl Strategy for FedAvg {
    fn step(&mut self, _: &StateDict, updates: &[LocalUpdate]) -> StateDict {
        average(updates, self.weighting)
    }
}

/// The average of `updates`, which must be in partition order: sums of floating-point numbers depend on their order, so
/// a fixed one is part of "the same seed gives the same model". Sums are in f64, where the rounding of up to millions of
/// terms stays below half a unit of f32; the average of equal weights is therefore that weight, bit for bit.
fn average(updates: &[LocalUpdate], weighting: Weighting) -> StateDict {
    assert!(updates.is_sorted_by_key(|update| update.partition), "updates come in partition order");
    let (first, rest) = updates.split_first().expect("every round has at least one partition");
    let weight = |update: &LocalUpdate| match weighting {
        Weighting::Samples => update.n_samples as f64,
        Weighting::Uniform => 1.0,
    };
    let total: f64 = updates.iter().map(weight).sum();
    // Starting from the first term and not from zero keeps the sign of a negative zero.
    let mut sums: Vec<f64> = first.state_dict.values().iter().map(|&w| weight(first) * f64::from(w)).collect();
    for update in rest {
        for (sum, &w) in sums.iter_mut().zip(update.state_dict.values()) {
            *sum += weight(update) * f64::from(w);
        }
    }
    let mut global = first.state_dict.clone();
    for (value, sum) in global.values_mut().iter_mut().zip(sums) {
        *value = (sum / total) as f32;
    }
    global
}

pub(crate) fn mean_train_loss(updates: &[LocalUpdate]) -> f64 {
    let total: f64 = updates.iter().map(|update| update.n_samples as f64).sum();
    updates.iter().map(|update| update.n_samples as f64 * update.train_loss).sum::<f64>() / total
}

#[cfg(test)]
mod tests {
    use model::SIMPLE_CNN;

    use super::*;

    fn update(partition: u32, n_samples: u64, state_dict: StateDict) -> LocalUpdate {
        LocalUpdate { partition, state_dict, n_samples, train_loss: f64::from(partition) }
    }

    fn constant(value: f32) -> StateDict {
        let mut dict = SIMPLE_CNN.zeros();
        dict.values_mut().fill(value);
        dict
    }

    #[test]
    fn the_average_of_identical_models_is_that_model_bit_for_bit() {
        let mut dict = SIMPLE_CNN.init(3);
        dict.values_mut()[..4].copy_from_slice(&[-0.0, f32::MIN_POSITIVE / 8.0, f32::MAX, -f32::MAX]);
        for sizes in [vec![7], vec![1667, 1667, 1666], vec![1, 3, 10, 99, 12_345, 7, 7]] {
            let updates: Vec<_> = (0..).zip(&sizes).map(|(p, &n)| update(p, n, dict.clone())).collect();
            for weighting in [Weighting::Samples, Weighting::Uniform] {
                assert_eq!(average(&updates, weighting).sha256(), dict.sha256(), "{sizes:?} {weighting:?}");
            }
        }
    }

    #[test]
    fn a_partition_counts_by_its_samples_or_like_every_other() {
        let updates = [update(0, 1, constant(0.0)), update(1, 3, constant(8.0))];
        assert_eq!(average(&updates, Weighting::Samples), constant(6.0));
        assert_eq!(average(&updates, Weighting::Uniform), constant(4.0));
        assert_eq!(mean_train_loss(&updates), 0.75);
    }

    #[test]
    fn sums_are_in_double_precision() {
        // In f32, 1 + 2^-24 is 1.
        let small = 2f32.powi(-24);
        let updates = [update(0, 1, constant(1.0)), update(1, 1, constant(small)), update(2, 1, constant(small))];
        assert_eq!(average(&updates, Weighting::Uniform), constant(((1.0 + 2.0 * f64::from(small)) / 3.0) as f32));
    }
}
