//! Adaptive server optimizers: Reddi et al., "Adaptive Federated Optimization", 2020, arXiv 2003.00295, Algorithm 2. They
//! differ in the second moment alone:
//!
//! m ← β₁m + (1-β₁)Δ, v ← (by strategy), then w + ηm / (√v + τ).
//!
//! As in the paper v begins at τ², m at 0, and neither is corrected for its bias. Other systems begin with v = 0, or correct.

pub(super) mod fedadagrad;
pub(super) mod fedadam;
pub(super) mod fedyogi;

use flags::{Adaptive, Weighting};
use model::StateDict;
use run_folder::ServerState;

use super::{LocalUpdate, mean_change, model, remembered};

const REMEMBERED: &[&str] = &["m", "v"];

/// A step, in which `second(v, Δ²)` is the next second moment.
fn step(
    Adaptive { eta, beta1, tau, .. }: Adaptive,
    second: impl Fn(f64, f64) -> f64,
    state: &mut ServerState,
    (global, updates, weighting): (&StateDict, &[LocalUpdate], Weighting),
) -> StateDict {
    let change = mean_change(global, updates, weighting);
    let m = remembered(state, "m", 0.0, global);
    m.iter_mut().zip(&change).for_each(|(m, change)| *m = beta1 * *m + (1.0 - beta1) * change);
    let m = m.clone();
    let v = remembered(state, "v", tau * tau, global);
    v.iter_mut().zip(&change).for_each(|(v, change)| *v = second(*v, change * change));
    let moved = |((&w, m), v): ((&f32, f64), &mut f64)| f64::from(w) + eta * m / (v.sqrt() + tau);
    model(global, global.values().iter().zip(m).zip(v).map(moved))
}
