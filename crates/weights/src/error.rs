//! What can be wrong with a file of weights.

use std::io;
use std::path::PathBuf;

/// Why weights could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be opened or read.
    #[error("failed to read `{}`", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file was read, but its content is not the weights that are wanted.
    #[error("`{}` does not hold usable weights", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<Error>,
    },
    /// The bytes are not a well-formed safetensors file.
    #[error("not a valid safetensors file: {0}")]
    Safetensors(String),
    /// The bytes are not a PyTorch file of the kind that is understood here.
    #[error("not a readable PyTorch file: {0}")]
    Pth(String),
    /// A tensor of the architecture is absent.
    #[error("the tensor `{0}` is missing")]
    MissingTensor(String),
    /// The tensors are not exactly the architecture's, or there are none that can be read.
    #[error("{0}")]
    Other(String),
}

impl Error {
    /// The `sysexits.h` code of a program that ends because of this error.
    pub fn exit_code(&self) -> u8 {
        if matches!(self, Self::Io { .. }) { 74 } else { 65 }
    }
}
