//! A directory in which a file appears whole or not at all: hidden name, write, fsync, rename, fsync of the directory.
//!
//! What a failure leaves decides what may follow it. Up to the rename there is only a temporary file, which is removed;
//! if that works, nothing is left, and writing again, to a new file, is safe. Once the rename may have happened, the
//! file may be there, and may or may not survive a power cut: the only way on is to look, which is what opening the
//! directory anew does. Therefore "no room" is reported as [`Error::Full`] only in the first case.

use std::{
    fs::{File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use manifest::{Manifest, SUCCESS};

use crate::{
    Error,
    file_system::{FileSystem, Lock},
    layout::{LOCK, Listing, TEMPORARY},
};

#[derive(Clone, Debug)]
pub(crate) struct Directory {
    fs: Arc<dyn FileSystem>,
    path: PathBuf,
}

impl Directory {
    pub(crate) fn new(fs: Arc<dyn FileSystem>, path: &Path) -> Self {
        Directory { fs, path: path.to_owned() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Creates the directory and its parents, durably. One that is there already may have been created by a process that
    /// was killed before it could sync, so its name is synced, too.
    pub(crate) fn create(&self) -> Result<(), Error> {
        create_dir(&*self.fs, &self.path)
    }

    /// Takes the directory's lock without waiting.
    pub(crate) fn lock(&self) -> Result<Lock, Error> {
        self.lock_by(LOCK)
    }

    /// Takes the lock of this name without waiting.
    pub(crate) fn lock_by(&self, name: &str) -> Result<Lock, Error> {
        let path = self.join(name);
        self.fs.lock(&path).map_err(|error| match error {
            TryLockError::WouldBlock => Error::Locked(self.path.clone()),
            TryLockError::Error(source) => Error::Io { action: "lock", path, source },
        })
    }

    /// Shares the lock of this name with other readers, without waiting. None where the directory can only be read: there
    /// nobody can empty it either. It is a lock of the machine's own file system.
    pub(crate) fn share_lock(&self, name: &str) -> Result<Option<File>, Error> {
        let path = self.join(name);
        let lock = match File::options().create(true).truncate(false).write(true).open(&path) {
            Ok(file) => Some(file),
            Err(error)
                if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) =>
            {
                File::open(&path).ok()
            }
            Err(error) => return Err(failed("lock", &path)(error)),
        };
        match lock.as_ref().map_or(Ok(()), File::try_lock_shared) {
            Ok(()) => Ok(lock),
            Err(TryLockError::WouldBlock) => Err(Error::Locked(self.path.clone())),
            Err(TryLockError::Error(error)) => Err(failed("lock", &path)(error)),
        }
    }

    /// What the directory holds, by name alone.
    pub(crate) fn list(&self) -> Result<Listing, Error> {
        self.entries().map(Listing::of)
    }

    /// The manifest, or `None` while the directory is not complete.
    pub(crate) fn manifest(&self) -> Result<Option<Manifest>, Error> {
        if !self.list()?.complete {
            return Ok(None);
        }
        let manifest = Manifest::decode(&self.read(SUCCESS)?);
        manifest.map(Some).map_err(|error| Error::unusable(&self.join(SUCCESS), error))
    }

    fn entries(&self) -> Result<Vec<PathBuf>, Error> {
        self.fs.list(&self.path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => Error::Missing(self.path.clone()),
            _ => failed("list", &self.path)(source),
        })
    }

    pub(crate) fn read(&self, name: &str) -> Result<Vec<u8>, Error> {
        let path = self.join(name);
        self.fs.read(&path).map_err(|source| match source.kind() {
            io::ErrorKind::FileTooLarge => Error::damaged(&path, "it is larger than any file of ours"),
            _ => failed("read", &path)(source),
        })
    }

    /// Makes a file of this name exist with these bytes, durably, or not at all.
    /// Fails with [`Error::Full`] if there was no room and nothing is left. After any other error the file may be there.
    pub(crate) fn write_atomically(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let (temporary, target) = (self.join(&format!("{TEMPORARY}{name}")), self.join(name));
        let renamed = self
            .write_and_sync(&temporary, bytes)
            .and_then(|()| self.fs.rename(&temporary, &target).map_err(full_or_failed("rename", &temporary)));
        let Err(error) = renamed else { return self.sync() };
        let _ = self.fs.remove(&temporary); // If it cannot be removed, the next start sweeps it.
        Err(match error {
            // `Full` promises that nothing is left, and a rename may have taken effect whatever it said.
            Error::Full { path, source } if self.holds_any(&[temporary, target])? => failed("write", &path)(source),
            error => error,
        })
    }

    /// Removes a file, durably.
    pub(crate) fn remove(&self, name: &str) -> Result<(), Error> {
        self.discard(&self.join(name))?;
        self.sync()
    }

    /// Removes a file that does no harm should it come back.
    pub(crate) fn discard(&self, path: &Path) -> Result<(), Error> {
        self.fs.remove(path).map_err(failed("remove", path))
    }

    /// Makes the names in the directory durable.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        self.fs.sync_dir(&self.path).map_err(failed("sync", &self.path))
    }

    fn write_and_sync(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        let mut file = self.fs.create(path).map_err(full_or_failed("create", path))?;
        file.write_all(bytes).map_err(full_or_failed("write", path))?;
        file.sync().map_err(full_or_failed("sync", path))
    }

    fn holds_any(&self, files: &[PathBuf]) -> Result<bool, Error> {
        Ok(self.entries()?.iter().any(|path| files.contains(path)))
    }
}

/// A directory's own name is made durable before anything is created in it, so after a crash only the innermost one that
/// is there can be in doubt.
fn create_dir(fs: &dyn FileSystem, dir: &Path) -> Result<(), Error> {
    let Some(parent) = dir.parent() else { return Ok(()) }; // The root.
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    if !fs.exists(dir).map_err(failed("look for", dir))? {
        if parent != dir {
            create_dir(fs, parent)?;
        }
        fs.create_dir(dir).map_err(failed("create", dir))?;
    }
    fs.sync_dir(parent).map_err(failed("sync", parent))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io { action, path: path.to_owned(), source }
}

fn full_or_failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::Full { path: path.to_owned(), source },
        _ => failed(action, path)(source),
    }
}
