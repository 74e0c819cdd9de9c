//! SimpleCnn: the network, its training step and its evaluation, and its weights in and out of files.
//!
//! Weights live outside libtorch as a [`StateDict`], plain numbers under PyTorch's keys that can be averaged, hashed,
//! stored and sent. Tensors exist only inside this crate, for as long as a [`Learner`] trains or [`evaluate`] runs; both
//! are behind the feature `torch`, which is on by default, so that files of weights can be read where libtorch is not.
//! It knows nothing of where samples come from or of how the models of many learners become one.

#![deny(unsafe_code)]

#[cfg(feature = "torch")]
mod adam;
mod error;
#[cfg(feature = "torch")]
mod evaluation;
#[cfg(feature = "torch")]
mod learner;
#[cfg(feature = "torch")]
mod network;
mod pickle;
mod pth;
#[cfg(all(test, feature = "torch"))]
mod reference;
mod state_dict;
mod state_dict_file;

pub use error::Error;
#[cfg(feature = "torch")]
pub use evaluation::{Evaluation, evaluate, logits};
#[cfg(feature = "torch")]
pub use learner::{Learner, Optimizer};
pub use state_dict::{StateDict, TENSORS};
