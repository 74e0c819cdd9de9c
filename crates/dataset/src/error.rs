//! What can go wrong with a dataset, sorted by what a caller can do about it.

use std::{io, path::PathBuf, time::Duration};

/// Why a dataset could not be provided or read. Every variant that is about one names the path or the mirrors.
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
            Self::GeneratedWithData => 64,
            Self::Unusable { .. } => 65,
            Self::Unavailable { .. } | Self::Locked { .. } => 69,
            Self::Io { .. } => 74,
            Self::Stopped => 143,
        }
    }

    pub(crate) fn unusable(path: impl Into<PathBuf>, what: impl Into<String>) -> Self {
        Self::Unusable { path: path.into(), what: what.into() }
    }

    /// For `map_err`: `fs::read(path).map_err(Error::io("read", path))`.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.into(), source }
    }
}
