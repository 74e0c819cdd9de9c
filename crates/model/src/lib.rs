//! SimpleCnn: the network, its training step and its evaluation, and its weights in and out of files.
//!
//! Weights live outside libtorch as a [`StateDict`], plain numbers under PyTorch's keys that can be averaged, hashed,
//! stored and sent. Tensors exist only inside this crate, for as long as a [`Learner`] trains or [`evaluate`] runs.
//! It knows nothing of where samples come from or of how the models of many learners become one.

#![deny(unsafe_code)]

mod adam;
mod error;
mod evaluation;
mod learner;
mod network;
mod pickle;
mod pth;
#[cfg(test)]
mod reference;
mod state_dict;
mod state_dict_file;

pub use error::Error;
pub use evaluation::{Evaluation, evaluate, logits};
pub use learner::{Learner, Optimizer};
pub use state_dict::{StateDict, TENSORS};
