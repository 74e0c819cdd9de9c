//! What can go wrong with a dataset, sorted by what a caller can do about it.

use std::{io, path::PathBuf};

/// Why a dataset could not be read or written. Every variant names the path.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory is not there, or is there and its content is wrong: the data must be put there or replaced.
    #[error("`{}` {what}", path.display())]
    Unusable {
        /// What was looked for or read.
        path: PathBuf,
        /// What is wrong with it and what to do, to be read after the path.
        what: String,
    },

    /// The operating system refused to read or write.
    #[error("failed to {action} `{}`", path.display())]
    Io {
        /// What was being done: "read", "create", "write".
        action: &'static str,
        /// The file or directory concerned.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl Error {
    /// The `sysexits.h` code of a program that ends because of this error.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Unusable { .. } => 65,
            Self::Io { .. } => 74,
        }
    }

    /// Something is wrong with what `path` names: `what`, to be read after it.
    pub fn unusable(path: impl Into<PathBuf>, what: impl Into<String>) -> Self {
        Self::Unusable { path: path.into(), what: what.into() }
    }

    /// For `map_err`: `fs::read(path).map_err(Error::io("read", path))`.
    pub fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.into(), source }
    }
}
