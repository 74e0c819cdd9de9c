//! Models that learn and are measured. There is one architecture, SimpleCnn, and there are two ways to compute it: the crate
//! `native`, and libtorch, which defines what is right.
//!
//! Weights come and go as a [`StateDict`]; tensors exist only inside this crate. It knows nothing of where samples come from or
//! of how the models of many learners become one.

#![deny(unsafe_code)]

mod evaluation;
mod learner;
mod libtorch;
#[cfg(test)]
mod reference;

pub use evaluation::{Evaluation, evaluate, logits, measure};
pub use learner::{ISA, Isa, Learner, Optimizer, Settings, Step, gradient_distance};
pub use native::{best, probabilities};
pub use weights::{Architecture, SIMPLE_CNN, StateDict};

/// The version of libtorch that is linked: `tch` takes this one and no other.
pub const LIBTORCH: &str = "2.13.0";
