//! Krum and Multi-Krum: Blanchard et al., "Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent", 2017,
//! section 4. Of n updates f may be anything at all.

use std::cmp::Ordering;

use model::StateDict;
use run_folder::ServerState;

use super::{LocalUpdate, Strategy, mean, model};
use flags::Weighting;

/// The update whose n - f - 2 nearest are nearest: the sum of the squared distances to them is least. Of several, the first.
#[derive(Clone, Copy, Debug)]
pub struct Krum {
    /// How many may be anything.
    pub f: usize,
}

/// The average of the m updates that [`Krum`] likes best. Every one counts alike.
#[derive(Clone, Copy, Debug)]
pub struct MultiKrum {
    /// How many may be anything.
    pub f: usize,
    /// How many are averaged; n - f, if it is not said.
    pub m: Option<usize>,
}

impl Strategy for Krum {
    fn step(&self, _: &mut ServerState, _: &StateDict, updates: &[LocalUpdate]) -> StateDict {
        updates[ranked(updates, self.f)[0]].state_dict.clone()
    }
}

impl Strategy for MultiKrum {
    fn step(&self, _: &mut ServerState, global: &StateDict, updates: &[LocalUpdate]) -> StateDict {
        let m = self.m.unwrap_or(updates.len() - self.f);
        let mut chosen = ranked(updates, self.f)[..m].to_vec();
        chosen.sort_unstable(); // Sums are in partition order.
        let chosen: Vec<&LocalUpdate> = chosen.into_iter().map(|index| &updates[index]).collect();
        model(global, mean(&chosen, Weighting::Uniform))
    }
}

/// The updates' indices, that of the least score first.
fn ranked(updates: &[LocalUpdate], f: usize) -> Vec<usize> {
    let n = updates.len();
    let mut distances = vec![vec![0.0; n]; n];
    for (one, other) in (0..n).flat_map(|other| (0..other).map(move |one| (one, other))) {
        distances[one][other] = distance(&updates[one], &updates[other]);
        distances[other][one] = distances[one][other];
    }
    let score = |index: usize| -> f64 {
        let mut others: Vec<f64> =
            (0..n).filter(|other| *other != index).map(|other| distances[index][other]).collect();
        others.sort_unstable_by(f64::total_cmp);
        others[..n - f - 2].iter().sum()
    };
    let scores: Vec<f64> = (0..n).map(score).collect();
    let mut ranked: Vec<usize> = (0..n).collect();
    let order = |a: &usize, b: &usize| -> Ordering { scores[*a].total_cmp(&scores[*b]) };
    ranked.sort_by(order); // Stable: of equal scores the first partition's comes first.
    ranked
}

/// The squared distance of two models.
fn distance(one: &LocalUpdate, other: &LocalUpdate) -> f64 {
    let pairs = one.state_dict.values().iter().zip(other.state_dict.values());
    pairs.map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum()
}
