//! FedAdam: Reddi et al. 2020, Algorithm 2.

use flags::{Adaptive, Weighting};
use model::StateDict;
use run_folder::ServerState;

use super::{LocalUpdate, REMEMBERED, step};
use crate::round::strategy::Strategy;

/// Adam: v ← β₂v + (1-β₂)Δ².
#[derive(Clone, Copy, Debug)]
pub struct FedAdam {
    /// What p_k is.
    pub weighting: Weighting,
    /// Its hyper-parameters.
    pub adaptive: Adaptive,
}

impl Strategy for FedAdam {
    fn step(&self, state: &mut ServerState, global: &StateDict, updates: &[LocalUpdate]) -> StateDict {
        let beta2 = self.adaptive.beta2;
        step(self.adaptive, |v, square| beta2 * v + (1.0 - beta2) * square, state, (global, updates, self.weighting))
    }

    fn remembers(&self) -> &'static [&'static str] {
        REMEMBERED
    }
}
