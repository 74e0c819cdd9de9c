//! Coordinate-wise median: Yin et al., "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates", 2018,
//! arXiv 1803.01498, Definition 1.

use model::StateDict;
use run_folder::ServerState;

use super::{LocalUpdate, Strategy, model};

/// The median of each weight; of an even number of updates, the mean of the two in the middle. Every update counts alike.
#[derive(Clone, Copy, Debug)]
pub struct Median;

impl Strategy for Median {
    fn step(&self, _: &mut ServerState, global: &StateDict, updates: &[LocalUpdate]) -> StateDict {
        let left_out = (updates.len() - 1) / 2;
        model(global, trimmed(updates, left_out))
    }
}

/// The mean of each weight over the updates, without so many of the smallest and of the largest.
pub(super) fn trimmed(updates: &[LocalUpdate], left_out: usize) -> impl Iterator<Item = f64> {
    let mut values = vec![0.0; updates.len()];
    (0..updates[0].state_dict.values().len()).map(move |weight| {
        for (value, update) in values.iter_mut().zip(updates) {
            *value = update.state_dict.values()[weight];
        }
        values.sort_unstable_by(f32::total_cmp);
        let kept = &values[left_out..values.len() - left_out];
        kept.iter().copied().map(f64::from).sum::<f64>() / kept.len() as f64
    })
}
