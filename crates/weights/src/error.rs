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
    /// Neither of the two formats.
    #[error("neither a safetensors file nor a PyTorch file (`.pth`, as `torch.save` writes it)")]
    UnknownFormat,
    /// The bytes are not a well-formed safetensors file.
    #[error("not a valid safetensors file: {0}")]
    Safetensors(String),
    /// The bytes are not a PyTorch file of the kind that is understood here.
    #[error("not a readable PyTorch file: {0}")]
    Pth(String),
    /// A tensor of the architecture is absent.
    #[error("the tensor `{0}` is missing")]
    MissingTensor(String),
    /// There is a tensor that the architecture does not have.
    #[error("the tensor `{key}` does not belong to {architecture}")]
    UnexpectedTensor {
        /// The tensor's name.
        key: String,
        /// The architecture's name.
        architecture: &'static str,
    },
    /// A tensor has another shape than in the architecture.
    #[error("the tensor `{key}` has shape {found:?} instead of {expected:?}")]
    Shape {
        /// The tensor's name.
        key: String,
        /// The shape in the file.
        found: Vec<usize>,
        /// The shape in the architecture.
        expected: Vec<usize>,
    },
    /// The part of a PyTorch file that looks most like weights does not fit.
    #[error("its entry `{entry}` does not fit")]
    Entry {
        /// The key of that part.
        entry: String,
        /// What is wrong with it.
        source: Box<Error>,
    },
    /// A PyTorch file holds the weights of several models.
    #[error("several of its entries fit: `{}`; save the one that is meant in a file of its own", .0.join("`, `"))]
    SeveralEntries(Vec<String>),
    /// A tensor has elements that are no floating-point numbers, or of a rare kind.
    #[error("the tensor `{key}` has elements of type {found} instead of float32: convert it with `.float()` first")]
    ElementType {
        /// The tensor's name.
        key: String,
        /// The type of its elements.
        found: String,
    },
}

impl Error {
    /// The `sysexits.h` code of a program that ends because of this error.
    pub fn exit_code(&self) -> u8 {
        if matches!(self, Self::Io { .. }) { 74 } else { 65 }
    }
}
