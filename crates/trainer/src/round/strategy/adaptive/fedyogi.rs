//! FedYogi: Reddi et al. 2020, Algorithm 2.

use flags::{Adaptive, Weighting};
use model::StateDict;
use run_folder::ServerState;

use super::{LocalUpdate, REMEMBERED, step};
use crate::round::strategy::Strategy;

/// Yogi: v ← v - (1-β₂) Δ² sign(v - Δ²).
#[derive(Clone, Copy, Debug)]
pub struct FedYogi {
    /// What p_k is.
    pub weighting: Weighting,
    /// Its hyper-parameters.
    pub adaptive: Adaptive,
}

impl Strategy for FedYogi {
    fn step(&self, state: &mut ServerState, global: &StateDict, updates: &[LocalUpdate]) -> StateDict {
        let beta2 = self.adaptive.beta2;
        step(
            self.adaptive,
            |v, square| v - (1.0 - beta2) * square * sign(v - square),
            state,
            (global, updates, self.weighting),
        )
    }

    fn remembers(&self) -> &'static [&'static str] {
        REMEMBERED
    }
}

/// -1, 0 or 1. That of `f64` knows no 0.
fn sign(value: f64) -> f64 {
    if value == 0.0 { 0.0 } else { value.signum() }
}
