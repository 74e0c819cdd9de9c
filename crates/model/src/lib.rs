//! Networks on libtorch: the forward pass, the training step and the evaluation. There is one architecture, SimpleCnn.
//!
//! Weights come and go as a [`StateDict`]. Tensors exist only inside this crate, for as long as a [`Learner`] trains or
//! [`evaluate`] runs. It knows nothing of where samples come from or of how the models of many learners become one.

#![deny(unsafe_code)]

mod adam;
mod evaluation;
mod learner;
mod network;
#[cfg(test)]
mod reference;

pub use evaluation::{Evaluation, best, evaluate, logits, measure, probabilities};
pub use learner::{Learner, Optimizer, Precision};
pub use weights::{Architecture, SIMPLE_CNN, StateDict};

/// The version of libtorch that is linked: `tch` takes this one and no other.
pub const LIBTORCH: &str = "2.13.0";
