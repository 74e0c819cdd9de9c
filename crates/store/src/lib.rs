//! The chunk directory. A chunk is one Parquet file of samples, complete or absent: it is written under a hidden name,
//! synced, and renamed to a name that carries its digest. One rename commits the samples, their checksum and the
//! position of every stream together, so there is no second ledger that could fall out of step.
//!
//! ```text
//! .lock                                  held by the one writer, or by readers
//! .reading                               held by those who follow the writer
//! .rejected                              why the directory was given up, if it was
//! .tmp-…                                 being written; swept at start
//! chunk-00000042-<16 hex>.parquet        the hex is the start of BLAKE3 over the whole file
//! _SUCCESS                               the manifest, written last
//! ```
//!
//! Writing is [`Store`]; reading is [`read`], and while it is written [`Follower`]; all do all their I/O through one trait,
//! [`FileSystem`], so that tests can cut the power and make any step fail. Columns of a chunk: `stream` string, `seq` int64,
//! `label` int32, `image` fixed 784 bytes, so pandas, DuckDB and Spark read the files as they are. The footer of a chunk and the
//! manifest say with which extent each stream was declared, and the columns hold the seqs that it means.

#![forbid(unsafe_code)]

mod chunk;
mod columns;
mod directory;
mod file_system;
mod follow;
mod layout;
mod pending;
mod reader;
mod thrift;
mod writer;

use std::{
    io,
    path::{Path, PathBuf},
};

pub use chunk::samples_in;
pub use file_system::{Disk, FileSystem, Lock, NewFile};
pub use follow::Follower;
pub use manifest::{ChunkEntry, DatasetId, Manifest, StreamEntry};
pub use reader::{Held, Rows, hold, read, read_manifest, read_on};
pub use writer::{Durable, Mode, Replay, Store};

/// What can go wrong with a chunk directory.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such directory.
    #[error("chunk directory `{}` does not exist; start a receiver and a sender first, or name another one", .0.display())]
    Missing(PathBuf),
    /// The directory has no manifest.
    #[error("chunk directory `{}` is not complete: it has no `_SUCCESS`; let the receiver and its senders finish", .0.display())]
    Incomplete(PathBuf),
    /// Another process writes here, or reads what must not be removed under it.
    #[error(
        "chunk directory `{}` is in use: a receiver writes to it or a trainer reads it; let that one end, or choose \
         another --dir",
        .0.display()
    )]
    Locked(PathBuf),
    /// What is there cannot be followed sample by sample.
    #[error("the samples in chunk directory `{}` cannot be taken one after the other: {what}", dir.display())]
    Order {
        /// The chunk directory.
        dir: PathBuf,
        /// One clause.
        what: String,
    },
    /// What was read of the directory is not there any more.
    #[error("chunk directory `{}` was emptied while it was read; begin anew, or choose another --dir", .0.display())]
    Replaced(PathBuf),
    /// The directory is finished.
    #[error("chunk directory `{}` is already complete; use --fresh to replace it, or choose another --dir", .0.display())]
    Complete(PathBuf),
    /// What a stream brought is not what its sender sent.
    #[error("chunk directory `{}` was given up: {what}; use --fresh to receive it again", dir.display())]
    Rejected {
        /// The chunk directory.
        dir: PathBuf,
        /// One clause.
        what: String,
    },
    /// Something in the directory is not ours.
    #[error("`{}` is not a file of ours; choose another --dir (--fresh removes only files of ours)", .0.display())]
    Foreign(PathBuf),
    /// The directory holds samples of another dataset.
    #[error(
        "chunk directory `{}` holds samples of dataset {have}, not of {want}; use --fresh to replace them, or choose another --dir",
        dir.display()
    )]
    OtherDataset {
        /// The chunk directory.
        dir: PathBuf,
        /// What it holds.
        have: String,
        /// What was to be added.
        want: String,
    },
    /// A stream changed its extent or came out of order: a mistake of the caller.
    #[error("stream `{stream}`: {what}")]
    Stream {
        /// The stream's name.
        stream: String,
        /// One clause.
        what: String,
    },
    /// A file is not as it was written.
    #[error("`{}` is damaged: {what}; receive the data again with --fresh", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// One clause.
        what: String,
    },
    /// A newer program wrote a file.
    #[error("`{}` is {}", path.display(), manifest::Error::Newer(*format))]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version of the format.
        format: u64,
    },
    /// There is no room for a file. Nothing of it is left, and a later try may succeed.
    #[error("no room for `{}`", path.display())]
    Full {
        /// The file that was to be written.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
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
}

impl Error {
    /// The `sysexits.h` code of a program that ends because of this error.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Missing(_)
            | Error::Incomplete(_)
            | Error::Damaged { .. }
            | Error::Newer { .. }
            | Error::Rejected { .. }
            | Error::Order { .. } => 65,
            Error::Stream { .. } => 70,
            Error::Locked(_)
            | Error::Replaced(_)
            | Error::Complete(_)
            | Error::Foreign(_)
            | Error::OtherDataset { .. } => 73,
            Error::Full { .. } | Error::Io { .. } => 74,
        }
    }

    /// Whether the disk, or the share of it that the user may have, is full: freeing room mends it.
    pub fn is_full(&self) -> bool {
        matches!(self, Error::Full { .. })
    }

    fn unusable(path: &Path, error: manifest::Error) -> Self {
        match error {
            manifest::Error::Newer(format) => Error::Newer { path: path.to_owned(), format },
            manifest::Error::Damaged(what) => Error::damaged(path, what),
        }
    }

    fn damaged(path: &Path, what: impl Into<String>) -> Self {
        Error::Damaged { path: path.to_owned(), what: what.into() }
    }
}
