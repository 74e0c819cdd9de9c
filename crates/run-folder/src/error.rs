//! What can be wrong with a run folder.

use std::{io, path::PathBuf};

/// Why something in a run folder could not be read or made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system said no.
    #[error("failed to {action} `{}`", path.display())]
    Io {
        /// A verb.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not as it was written.
    #[error("`{}` is damaged{advice}: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What to do, after a semicolon; or nothing.
        advice: &'static str,
        /// What is wrong.
        what: String,
    },
    /// A file is whole, but another one than was wanted; or it is no file of ours.
    #[error("`{}` {what}", path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// A clause.
        what: String,
    },
    /// A file of weights could not be read.
    #[cfg(feature = "checkpoint")]
    #[error(transparent)]
    Weights(#[from] weights::Error),
}

impl Error {
    /// The `sysexits.h` code of a program that ends because of this error.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Io { .. } => 74,
            Self::Damaged { .. } | Self::Other { .. } => 65,
            #[cfg(feature = "checkpoint")]
            Self::Weights(error) => error.exit_code(),
        }
    }
}
