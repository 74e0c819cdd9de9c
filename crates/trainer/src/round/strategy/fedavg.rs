//! FedAvg: McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data", 2017,
//! arXiv 1602.05629, Algorithm 1.

use flags::Weighting;
use model::StateDict;
use run_folder::ServerState;

use super::{LocalUpdate, Strategy, mean, model};

/// The sum of p_k w_k. It remembers nothing.
#[derive(Clone, Copy, Debug)]
pub struct FedAvg {
    /// What p_k is.
    pub weighting: Weighting,
}

impl Strategy for FedAvg {
    fn step(&self, _: &mut ServerState, _: &StateDict, updates: &[LocalUpdate]) -> StateDict {
        model(&updates[0].state_dict, mean(updates, self.weighting))
    }
}
