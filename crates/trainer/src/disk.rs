//! Files that are complete or absent: whoever kills the trainer, and when, never leaves half a file behind.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use anyhow::Context;

/// Puts a file with these bytes at `path`, in place of any that is there, in one step that survives a power cut.
///
/// # Errors
/// When the disk is full or read-only, or the directory is missing.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let write = || -> io::Result<()> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        // One name per target, so that what a kill left behind is overwritten by the next attempt.
        let temporary = path.with_file_name(format!(".tmp-{}", name.display()));
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        sync_parent(path)
    };
    write().with_context(|| format!("failed to write `{}`", path.display()))
}

#[cfg(unix)]
fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => File::open(parent)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}

/// Elsewhere a directory cannot be opened like a file, and a rename is durable without it.
#[cfg(not(unix))]
fn sync_parent(_: &Path) -> io::Result<()> {
    Ok(())
}
