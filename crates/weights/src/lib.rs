//! The weights of SimpleCnn outside libtorch: a [`StateDict`], plain numbers under PyTorch's keys that can be averaged,
//! hashed, stored and sent, and its files: safetensors, written and read, and PyTorch's `.pth`, read.
//!
//! Nothing here links libtorch, so that whatever reads a file of weights can be tried with any bytes at all.

#![forbid(unsafe_code)]

mod changes;
mod element;
mod error;
mod fit;
mod pickle;
mod pth;
mod state_dict;
mod state_dict_file;

pub use error::Error;
pub use state_dict::{StateDict, TENSORS};
