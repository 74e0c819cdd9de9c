//! What the trainer does beside training, a module for each subcommand.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context;

pub mod evaluate;
pub mod import;
pub mod inspect;
mod kept;
pub(crate) mod model_file;
pub mod page;
pub mod predict;
pub mod report;

/// The files in a folder that have a wanted ending, by name.
fn files_in(dir: &Path, is_wanted: impl Fn(&str) -> bool) -> anyhow::Result<Vec<PathBuf>> {
    let list = || fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>();
    let mut files = list().with_context(|| format!("failed to list `{}`", dir.display()))?;
    files.retain(|path| {
        // What macOS keeps beside `x.png` on foreign disks is called `._x.png`.
        let is_left_by_macos = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"._"));
        path.extension().and_then(OsStr::to_str).is_some_and(&is_wanted) && !is_left_by_macos
    });
    files.sort();
    Ok(files)
}
