//! The lock below our own directory: of processes that start together one provides the data, and the others wait for it.

use std::{
    fs::{self, File, TryLockError},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use crate::Error;

const POLL: Duration = Duration::from_millis(50);

/// Waits, for as long as `limit`, until no other process writes below `root`; none does until the returned file is closed.
pub(crate) fn lock(root: &Path, limit: Duration) -> Result<File, Error> {
    fs::create_dir_all(root).map_err(Error::io("create", root))?;
    let path = root.join(".provide.lock");
    let file = File::create(&path).map_err(Error::io("create", &path))?;
    let started = Instant::now();
    let mut told = false;
    while let Err(error) = file.try_lock() {
        match error {
            TryLockError::Error(source) => return Err(Error::io("lock", path)(source)),
            TryLockError::WouldBlock if started.elapsed() >= limit => {
                return Err(Error::Locked { path, waited: limit });
            }
            TryLockError::WouldBlock => {}
        }
        if !told {
            tracing::info!("waiting for another process to provide the data (`{}`)", path.display());
            told = true;
        }
        thread::sleep(POLL);
    }
    Ok(file)
}
