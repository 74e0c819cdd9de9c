//! Weights outside libtorch. An [`Architecture`] says which tensors a network has; a [`StateDict`] is the weights of one,
//! plain numbers under PyTorch's keys that can be averaged, hashed, stored and sent. Its files: safetensors, written and
//! read, and PyTorch's `.pth`, read.
//!
//! Nothing here links libtorch, so that whatever reads a file of weights can be tried with any bytes at all.

#![forbid(unsafe_code)]

mod architecture;
mod changes;
mod element;
mod error;
mod fit;
mod pickle;
mod pth;
mod state_dict;
mod state_dict_file;

pub use architecture::{Architecture, SIMPLE_CNN};
pub use error::Error;
pub use state_dict::StateDict;
pub use state_dict_file::{Beside, check_header};
