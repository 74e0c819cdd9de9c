//! A lock on a file, which another process may hold. The system lets go of it when its holder ends, however that ends.

use std::{
    fs::{File, TryLockError},
    io, thread,
    time::{Duration, Instant},
};

/// Often enough to go unnoticed, and nothing to the disk.
const POLL: Duration = Duration::from_millis(20);

/// Takes the lock of `file` for this process alone, if nobody holds it. Whether it was taken.
///
/// # Errors
/// When the file system has no locks.
pub fn take(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// As [`take`], and waits up to `limit` while another process holds it, unless `gives_up`, which is asked before each
/// further look. It blocks the thread.
///
/// # Errors
/// When the file system has no locks.
pub fn wait(file: &File, limit: Duration, mut gives_up: impl FnMut() -> bool) -> io::Result<bool> {
    let until = Instant::now() + limit;
    loop {
        if take(file)? {
            return Ok(true);
        }
        if Instant::now() >= until || gives_up() {
            return Ok(false);
        }
        thread::sleep(POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_waited_for_until_its_holder_the_caller_or_the_limit_ends_that() {
        let held = tempfile::NamedTempFile::new().unwrap();
        let second = held.reopen().unwrap();
        let long = Duration::from_secs(60);
        assert!(take(held.as_file()).unwrap() && !take(&second).unwrap());
        assert!(!wait(&second, long, || true).unwrap());
        assert!(!wait(&second, Duration::ZERO, || unreachable!("the limit is over")).unwrap());
        let mut looks = 0;
        let ends = || {
            looks += 1;
            held.as_file().unlock().unwrap();
            looks > 1
        };
        assert!(wait(&second, long, ends).unwrap());
    }
}
