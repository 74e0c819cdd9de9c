//! Every touch of the disk. A file appears whole or not at all: hidden name, write, fsync, rename, fsync of the
//! directory. A file whose write or fsync failed is removed and never synced again, because after a failed fsync the
//! kernel may have dropped the pages and would report success the second time.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use crate::{
    Error,
    layout::{LOCK, TEMPORARY},
};

/// The directory's lock, held as long as this lives.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// Takes the lock of `dir` without waiting.
pub(crate) fn lock(dir: &Path) -> Result<Lock, Error> {
    let path = dir.join(LOCK);
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(|source| Error::Io {
        action: "open",
        path: path.clone(),
        source,
    })?;
    match file.try_lock() {
        Ok(()) => Ok(Lock { _file: file }),
        Err(fs::TryLockError::WouldBlock) => Err(Error::Locked(dir.to_owned())),
        Err(fs::TryLockError::Error(source)) => Err(Error::Io { action: "lock", path, source }),
    }
}

/// Creates `dir` and its parents, durably.
pub(crate) fn create_dir(dir: &Path) -> Result<(), Error> {
    let is_new = |dir: &&Path| !dir.as_os_str().is_empty() && !dir.exists();
    let new: Vec<&Path> = dir.ancestors().take_while(is_new).collect();
    fs::create_dir_all(dir).map_err(|source| Error::Io { action: "create", path: dir.to_owned(), source })?;
    for dir in new {
        let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
        sync_dir(parent.unwrap_or(Path::new(".")))?;
    }
    Ok(())
}

/// The paths in `dir`, in no particular order.
pub(crate) fn entries(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => Error::Missing(dir.to_owned()),
        _ => Error::Io { action: "list", path: dir.to_owned(), source },
    };
    fs::read_dir(dir).map_err(failed)?.map(|entry| entry.map(|entry| entry.path()).map_err(failed)).collect()
}

/// Reads a whole file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::Io { action: "read", path: path.to_owned(), source })
}

/// The size of a file in bytes.
pub(crate) fn size(path: &Path) -> Result<u64, Error> {
    let metadata = fs::metadata(path);
    metadata.map(|file| file.len()).map_err(|source| Error::Io { action: "read", path: path.to_owned(), source })
}

/// Makes `dir/name` exist with these bytes, durably, or not at all.
pub(crate) fn write_atomically(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), Error> {
    let temporary = dir.join(format!("{TEMPORARY}{name}"));
    let target = dir.join(name);
    let written = write_and_sync(&temporary, bytes).and_then(|()| {
        fs::rename(&temporary, &target).map_err(|source| Error::Io {
            action: "rename",
            path: temporary.clone(),
            source,
        })
    });
    if written.is_err() {
        // What is left of it is swept at the next start if this fails too.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    sync_dir(dir)
}

/// Removes `files`, in this order, durably.
pub(crate) fn remove(dir: &Path, files: impl IntoIterator<Item = PathBuf>) -> Result<(), Error> {
    let mut removed = false;
    for path in files {
        fs::remove_file(&path).map_err(|source| Error::Io { action: "remove", path, source })?;
        removed = true;
    }
    if removed { sync_dir(dir) } else { Ok(()) }
}

fn write_and_sync(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let failed = |action| {
        move |source: io::Error| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::Full { path: path.to_owned(), source },
            _ => Error::Io { action, path: path.to_owned(), source },
        }
    };
    let mut file = File::create(path).map_err(failed("create"))?;
    file.write_all(bytes).map_err(failed("write"))?;
    file.sync_all().map_err(failed("sync"))
}

/// Makes renames and removals in `dir` durable.
#[cfg(unix)]
fn sync_dir(dir: &Path) -> Result<(), Error> {
    File::open(dir).and_then(|file| file.sync_all()).map_err(|source| Error::Io {
        action: "sync",
        path: dir.to_owned(),
        source,
    })
}

/// NTFS journals its directories, and Windows cannot open one as a file.
#[cfg(not(unix))]
fn sync_dir(_dir: &Path) -> Result<(), Error> {
    Ok(())
}
