//! Coordinate-wise trimmed mean: Yin et al., "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates", 2018,
//! arXiv 1803.01498, Definition 2.

use model::StateDict;
use run_folder::ServerState;

use super::{LocalUpdate, Strategy, median::trimmed, model};

/// The mean of each weight without its smallest and its largest, ⌊βn⌋ of n updates each. Every update counts alike.
#[derive(Clone, Copy, Debug)]
pub struct TrimmedMean {
    /// The share that is left out at either end, below a half.
    pub beta: f64,
}

impl Strategy for TrimmedMean {
    fn step(&self, _: &mut ServerState, global: &StateDict, updates: &[LocalUpdate]) -> StateDict {
        // 0.29 of 100 is 29, though not in f64.
        let left_out = (self.beta * updates.len() as f64 + 1e-9).floor() as usize;
        model(global, trimmed(updates, left_out))
    }
}
