//! FedAdagrad: Reddi et al. 2020, Algorithm 2.

use flags::{Adaptive, Weighting};
use model::StateDict;
use run_folder::ServerState;

use super::{LocalUpdate, REMEMBERED, step};
use crate::round::strategy::Strategy;

/// Adagrad: v ← v + Δ². In the paper β₁ is 0.
#[derive(Clone, Copy, Debug)]
pub struct FedAdagrad {
    /// What p_k is.
    pub weighting: Weighting,
    /// Its hyper-parameters.
    pub adaptive: Adaptive,
}

impl Strategy for FedAdagrad {
    fn step(&self, state: &mut ServerState, global: &StateDict, updates: &[LocalUpdate]) -> StateDict {
        step(self.adaptive, |v, square| v + square, state, (global, updates, self.weighting))
    }

    fn remembers(&self) -> &'static [&'static str] {
        REMEMBERED
    }
}
