//! The cache: a directory, one for each user, in which what is fetched is kept for all checkouts.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow};
use process::{
    exit::{Code, OrExit, failure},
    file::remove_directory,
    shutdown::stopped,
};
use tokio::time::sleep;

use crate::caller::Caller;

/// Another set-up may take this long; after that it is stuck.
const LOCK_LIMIT: Duration = Duration::from_secs(30 * 60);
const POLL: Duration = Duration::from_millis(200);

/// Where it is.
///
/// # Errors
/// When the user has no home directory.
pub fn cache_dir() -> anyhow::Result<PathBuf> {
    let variable = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = if cfg!(windows) {
        variable("LOCALAPPDATA")
    } else if let Some(cache) = variable("XDG_CACHE_HOME") {
        Some(cache)
    } else {
        variable("HOME").map(|home| home.join(if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" }))
    };
    let base = base.context("there is no home directory; set XDG_CACHE_HOME").or_exit(Code::Usage)?;
    Ok(base.join("tributary"))
}

/// Holds off a second set-up, which would download the same.
pub(crate) async fn lock(cache: &Path, caller: &Caller) -> anyhow::Result<File> {
    fs::create_dir_all(cache).with_context(|| format!("failed to create the cache `{}`", cache.display()))?;
    let path = cache.join("setup.lock");
    let file = File::create(&path).with_context(|| format!("failed to create `{}`", path.display()))?;
    let start = Instant::now();
    let mut told = false;
    while !process::lock::take(&file).with_context(|| format!("failed to lock `{}`", path.display()))? {
        if !told {
            caller.console.note("another set-up is fetching; waiting for it");
            told = true;
        }
        if start.elapsed() > LOCK_LIMIT {
            return Err(unavailable(format!("another set-up has held `{}` for too long", path.display())));
        }
        if let Some(cause) = caller.shutdown.requested() {
            return Err(stopped(cause));
        }
        sleep(POLL).await;
    }
    Ok(file)
}

pub(crate) fn create_dir(directory: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("failed to create `{}`", directory.display()))
}

/// Removes a directory, which need not be there.
pub(crate) fn remove_dir(directory: &Path) -> anyhow::Result<()> {
    remove_directory(directory).with_context(|| format!("failed to remove `{}`", directory.display()))
}

/// The error of a set-up that lacks something; the message says what to do.
pub(crate) fn unavailable(message: String) -> anyhow::Error {
    failure(Code::Unavailable, anyhow!(message))
}

#[cfg(test)]
mod tests {
    use process::shutdown::{Cause, Shutdown};
    use terminal::Console;

    use super::*;

    #[tokio::test]
    async fn a_second_set_up_waits_for_the_first_and_can_be_stopped() {
        let cache = tempfile::tempdir().unwrap();
        let (trigger, shutdown) = Shutdown::manual();
        let caller = Caller { console: Console::new(), shutdown };
        let first = lock(cache.path(), &caller).await.unwrap();
        trigger.stop(Cause::Interrupt);
        let error = lock(cache.path(), &caller).await.unwrap_err();
        assert_eq!(process::exit::code_of(&error), Code::Interrupted);
        drop(first);
        let (_trigger, shutdown) = Shutdown::manual();
        lock(cache.path(), &Caller { shutdown, ..caller }).await.unwrap();
    }
}
