//! DiLoCo: Douillard et al., "DiLoCo: Distributed Low-Communication Training of Language Models", 2023, arXiv 2311.08105,
//! Algorithm 1, with its outer optimizer: Nesterov's momentum, as PyTorch's `SGD(nesterov=True)` computes it.

use flags::Weighting;
use model::StateDict;
use run_folder::ServerState;

use super::{LocalUpdate, Strategy, mean_change, model, remembered};

/// b ← μb + Δ, then w + η(Δ + μb). Of the paper this is the outer step; the inner one is `--optimizer`.
#[derive(Clone, Copy, Debug)]
pub struct DiLoCo {
    /// What p_k is.
    pub weighting: Weighting,
    /// The outer learning rate.
    pub eta: f64,
    /// Momentum.
    pub mu: f64,
}

impl Strategy for DiLoCo {
    fn step(&self, state: &mut ServerState, global: &StateDict, updates: &[LocalUpdate]) -> StateDict {
        let change = mean_change(global, updates, self.weighting);
        let b = remembered(state, "b", 0.0, global);
        b.iter_mut().zip(&change).for_each(|(b, change)| *b = self.mu * *b + change);
        let moved = |((&w, change), b): ((&f32, f64), &mut f64)| f64::from(w) + self.eta * (change + self.mu * *b);
        model(global, global.values().iter().zip(change).zip(b).map(moved))
    }

    fn remembers(&self) -> &'static [&'static str] {
        &["b"]
    }
}
