//! FedAvgM: Hsu et al., "Measuring the Effects of Non-Identical Data Distribution for Federated Visual Classification", 2019,
//! arXiv 1909.06335, section 4.3. The text of the paper has plain momentum, and so has this; its authors' code has Nesterov's.

use flags::Weighting;
use model::StateDict;
use run_folder::ServerState;

use super::{LocalUpdate, Strategy, mean_change, model, remembered};

/// v ← βv + Δ, then w + ηv. In the paper η is 1.
#[derive(Clone, Copy, Debug)]
pub struct FedAvgM {
    /// What p_k is.
    pub weighting: Weighting,
    /// Momentum.
    pub beta: f64,
    /// The server's learning rate.
    pub eta: f64,
}

impl Strategy for FedAvgM {
    fn step(&self, state: &mut ServerState, global: &StateDict, updates: &[LocalUpdate]) -> StateDict {
        let change = mean_change(global, updates, self.weighting);
        let v = remembered(state, "v", 0.0, global);
        v.iter_mut().zip(change).for_each(|(v, change)| *v = self.beta * *v + change);
        model(global, global.values().iter().zip(v).map(|(&w, v)| f64::from(w) + self.eta * *v))
    }

    fn remembers(&self) -> &'static [&'static str] {
        &["v"]
    }
}
