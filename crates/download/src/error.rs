//! Why a dataset is not there, sorted by what a caller can do about it.

use std::{path::PathBuf, time::Duration};

/// Why a dataset could not be provided. Every variant that is about one names the path or the mirrors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Files are missing or wrong, or cannot be read or written.
    #[error(transparent)]
    Dataset(#[from] dataset::Error),

    /// No mirror could deliver a file, nor could npm.
    #[error(
        "`{file}` could not be downloaded ({tried}); pass `--dataset generated`, or put the four MNIST files in `{}`",
        dir.display()
    )]
    Unavailable {
        /// Name of the file, without its directory.
        file: String,
        /// Where the file belongs.
        dir: PathBuf,
        /// Every source tried, each with the reason of its last failure.
        tried: String,
    },

    /// Drawn digits were asked for, and at the same time the files of a directory.
    #[error("`--dataset generated` draws its own digits and takes no `--data`; leave one of the two out")]
    GeneratedWithData,

    /// Another process holds a lock longer than its work can take.
    #[error(
        "`{}` is still locked by another process that provides the data, after {} s; wait for it or end it",
        path.display(), waited.as_secs()
    )]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// How long this process has waited.
        waited: Duration,
    },

    /// The caller, who is told of all progress, wants no more of it.
    #[error("stopped before the data was there")]
    Stopped,
}

impl Error {
    /// The `sysexits.h` code of a program that ends because of this error.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Dataset(error) => error.exit_code(),
            Self::GeneratedWithData => 64,
            Self::Unavailable { .. } | Self::Locked { .. } => 69,
            Self::Stopped => 143,
        }
    }
}
