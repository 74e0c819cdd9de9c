//! A strategy turns the updates of a round into the next global model. Each has a file of its own, which names its paper; with
//! Δ is meant the mean change, the sum of p_k (w_k - w) over the updates, where p_k is n_k/n or the same for all.
//!
//! | strategy | next model | remembers |
//! |---|---|---|
//! | [`FedAvg`] | w + Δ | |
//! | [`FedAvgM`] | v ← βv + Δ, w + ηv | v |
//! | [`FedAdagrad`], [`FedAdam`], [`FedYogi`] | w + ηm / (√v + τ) | m, v |
//! | [`DiLoCo`] | b ← μb + Δ, w + η(Δ + μb) | b |
//! | [`Median`], [`TrimmedMean`] | weight by weight, without the extremes | |
//! | [`Krum`], [`MultiKrum`] | of the updates that are near to many others | |
//!
//! All arithmetic is in f64 and in partition order, and rounded to f32 once.

mod adaptive;
mod diloco;
mod fedavg;
mod fedavgm;
mod krum;
mod median;
#[cfg(test)]
mod reference;
mod trimmed_mean;

use std::borrow::Borrow;

use flags::{Training, Weighting};
use model::StateDict;
use run_folder::ServerState;

pub use self::{
    adaptive::{fedadagrad::FedAdagrad, fedadam::FedAdam, fedyogi::FedYogi},
    diloco::DiLoCo,
    fedavg::FedAvg,
    fedavgm::FedAvgM,
    krum::{Krum, MultiKrum},
    median::Median,
    trimmed_mean::TrimmedMean,
};
use super::local::LocalUpdate;
use crate::config::Config;

/// How updates become the next global model.
pub trait Strategy {
    /// The model after a round that began with `global`. `updates` are in partition order and there is at least one: sums of
    /// floating-point numbers depend on their order.
    ///
    /// What it remembers from round to round is in `state`, empty before the first round, and nowhere else: it is kept with
    /// the round's checkpoint, so that a resumed run is the same run.
    fn step(&self, state: &mut ServerState, global: &StateDict, updates: &[LocalUpdate]) -> StateDict;

    /// The names of what is in `state` after each round, sorted.
    fn remembers(&self) -> &'static [&'static str] {
        &[]
    }
}

/// The strategy that the flags name.
pub(crate) fn chosen(config: &Config) -> Box<dyn Strategy> {
    let Training { strategy, weighting, .. } = config.training;
    match strategy {
        flags::Strategy::FedAvg => Box::new(FedAvg { weighting }),
        flags::Strategy::FedAvgM { beta, eta } => Box::new(FedAvgM { weighting, beta, eta }),
        flags::Strategy::FedAdagrad(adaptive) => Box::new(FedAdagrad { weighting, adaptive }),
        flags::Strategy::FedAdam(adaptive) => Box::new(FedAdam { weighting, adaptive }),
        flags::Strategy::FedYogi(adaptive) => Box::new(FedYogi { weighting, adaptive }),
        flags::Strategy::DiLoCo { eta, mu } => Box::new(DiLoCo { weighting, eta, mu }),
        flags::Strategy::Median => Box::new(Median),
        flags::Strategy::TrimmedMean { beta } => Box::new(TrimmedMean { beta }),
        flags::Strategy::Krum { f } => Box::new(Krum { f: f as usize }),
        flags::Strategy::MultiKrum { f, m } => Box::new(MultiKrum { f: f as usize, m: m.map(|m| m as usize) }),
    }
}

/// The mean loss over the samples that were trained on.
pub(crate) fn mean_train_loss(updates: &[LocalUpdate]) -> f64 {
    let total: f64 = updates.iter().map(|update| update.n_samples as f64).sum();
    updates.iter().map(|update| update.n_samples as f64 * update.train_loss).sum::<f64>() / total
}

/// The mean of the updates' weights, each update counting by its samples or like every other. Sums of up to millions of f32
/// in f64 stay exact to half a unit of f32, so the mean of equal weights is that weight, bit for bit.
fn mean<U: Borrow<LocalUpdate>>(updates: &[U], weighting: Weighting) -> Vec<f64> {
    assert!(updates.is_sorted_by_key(|update| update.borrow().partition), "updates come in partition order");
    let (first, rest) = updates.split_first().expect("every round has at least one partition");
    let weight = |update: &LocalUpdate| match weighting {
        Weighting::Samples => update.n_samples as f64,
        Weighting::Uniform => 1.0,
    };
    let total: f64 = updates.iter().map(|update| weight(update.borrow())).sum();
    let first = first.borrow();
    // Starting from the first term and not from zero keeps the sign of a negative zero.
    let mut sums: Vec<f64> = first.state_dict.values().iter().map(|&w| weight(first) * f64::from(w)).collect();
    for update in rest.iter().map(Borrow::borrow) {
        for (sum, &w) in sums.iter_mut().zip(update.state_dict.values()) {
            *sum += weight(update) * f64::from(w);
        }
    }
    sums.iter_mut().for_each(|sum| *sum /= total);
    sums
}

/// Δ, the mean change.
fn mean_change(global: &StateDict, updates: &[LocalUpdate], weighting: Weighting) -> Vec<f64> {
    let mut change = mean(updates, weighting);
    change.iter_mut().zip(global.values()).for_each(|(mean, &w)| *mean -= f64::from(w));
    change
}

/// A model of these weights, of the kind that `like` is.
fn model(like: &StateDict, weights: impl IntoIterator<Item = f64>) -> StateDict {
    let mut model = like.clone();
    model.values_mut().iter_mut().zip(weights).for_each(|(value, weight)| *value = weight as f32);
    model
}

/// What is remembered under this name; `initial` for each weight before the first round.
fn remembered<'a>(state: &'a mut ServerState, name: &str, initial: f64, global: &StateDict) -> &'a mut Vec<f64> {
    state.entry(name.to_owned()).or_insert_with(|| vec![initial; global.values().len()])
}

#[cfg(test)]
mod tests {
    use model::SIMPLE_CNN;

    use super::*;

    pub(super) fn update(partition: u32, n_samples: u64, state_dict: StateDict) -> LocalUpdate {
        LocalUpdate { partition, state_dict, n_samples, train_loss: f64::from(partition) }
    }

    fn constant(value: f32) -> StateDict {
        let mut dict = SIMPLE_CNN.zeros();
        dict.values_mut().fill(value);
        dict
    }

    fn average(updates: &[LocalUpdate], weighting: Weighting) -> StateDict {
        FedAvg { weighting }.step(&mut ServerState::default(), &SIMPLE_CNN.zeros(), updates)
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
