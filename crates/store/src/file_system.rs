//! What a chunk directory asks of a file system, one method for each step that can fail on its own or be the last one
//! before the power goes. There are two implementations: the real [`Disk`], and the simulated one of the `torture` crate,
//! which fails on demand and forgets what was not synced.

use std::{
    any::Any,
    fmt::Debug,
    fs::{self, File, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// A file system. Nothing is durable before it is synced: bytes by [`NewFile::sync`], names by
/// [`FileSystem::sync_dir`].
pub trait FileSystem: Debug + Send + Sync {
    /// Whether there is a file or directory of this name.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// Creates a directory in one that exists. That it is there already is no error.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// The paths in a directory, in no particular order.
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>>;

    /// The bytes of a file. One that is larger than any of ours is refused as [`io::ErrorKind::FileTooLarge`].
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Creates a file. That it is there already is an error.
    fn create(&self, path: &Path) -> io::Result<Box<dyn NewFile>>;

    /// Renames a file, atomically.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes what was created, renamed and removed in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Locks a file, creating it if need be, without waiting.
    fn lock(&self, path: &Path) -> Result<Lock, TryLockError>;
}

/// A file being written.
pub trait NewFile {
    /// Appends bytes.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes the bytes durable. After an error the file is good for nothing but removal: the kernel may have dropped the
    /// bytes, and would report success the second time.
    fn sync(&mut self) -> io::Result<()>;
}

/// Holds a file's lock until it is dropped.
pub type Lock = Box<dyn Any + Send>;

/// The largest file that is read. A chunk of 100,000 samples, the most that `--samples-per-chunk` allows, takes 87 MB.
const MAX_FILE: u64 = 128 << 20;

/// The file system of the machine.
#[derive(Clone, Copy, Debug)]
pub struct Disk;

impl FileSystem for Disk {
    fn exists(&self, path: &Path) -> io::Result<bool> {
        fs::exists(path)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        match fs::create_dir(dir) {
            Err(_) if dir.is_dir() => Ok(()),
            created => created,
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.path())).collect()
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let metadata = fs::metadata(path)?; // Before it is opened, which for a pipe would wait for a writer.
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        if metadata.len() > MAX_FILE {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        fs::read(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn NewFile>> {
        Ok(Box::new(File::create_new(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    #[cfg(unix)]
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    /// NTFS journals its directories, and Windows cannot open one as a file.
    #[cfg(not(unix))]
    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, path: &Path) -> Result<Lock, TryLockError> {
        let file = File::options().create(true).truncate(false).write(true).open(path).map_err(TryLockError::Error)?;
        file.try_lock()?;
        Ok(Box::new(file))
    }
}

impl NewFile for File {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        Write::write_all(self, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}
