//! libtorch, the C++ library that the trainer computes with. It is looked for in this order: `$LIBTORCH`; `.libtorch`
//! in the checkout, which `.cargo/config.toml` names to cargo; a cache per user, so that a second checkout is instant;
//! and if it is nowhere, it is fetched into that cache.

use std::{
    env,
    ffi::OsString,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    process,
};

use anyhow::{Context, anyhow};
use cli::{
    exit::{Code, OrExit, failure},
    shutdown::Shutdown,
};

use super::{checkout::Checkout, libtorch_wheels};
use crate::{console::Console, platform};

/// The version that the `tch` crate is bound to.
pub(crate) const VERSION: &str = "2.13.0";
/// The link in the checkout, which `.cargo/config.toml` names.
const LINK: &str = ".libtorch";
/// Holds the version; written last, so that its presence says that the rest is there.
pub(super) const VERSION_FILE: &str = "build-version";

/// The directory of libtorch, found or fetched.
///
/// # Errors
/// When `$LIBTORCH` is not what is needed, or nothing can be fetched; the message says what to do.
pub(super) async fn provide(checkout: &Checkout, console: &Console, shutdown: &Shutdown) -> anyhow::Result<PathBuf> {
    if let Some(path) = in_place(checkout)? {
        return Ok(path);
    }
    let (cache, cached) = (cache_dir()?, cached()?);
    if check(&cached).is_err() {
        libtorch_wheels::fetch(&cache, &cached, console, shutdown).await?;
    }
    libtorch_wheels::remove_wheels(&cache)?;
    console.note(&format!("libtorch {VERSION} is in `{}`", cached.display()));
    let link = checkout.root.join(LINK);
    relink(&cached, &link).with_context(|| format!("failed to make the link `{}`", link.display()))?;
    Ok(cached)
}

/// The directory of libtorch if it is there, also if the checkout does not know of it yet.
///
/// # Errors
/// When something else is in its place; the message says what to do.
pub(crate) fn find(checkout: &Checkout) -> anyhow::Result<Option<PathBuf>> {
    match in_place(checkout)? {
        Some(path) => Ok(Some(path)),
        None => cached().map(|path| check(&path).is_ok().then_some(path)),
    }
}

/// libtorch where cargo looks for it.
fn in_place(checkout: &Checkout) -> anyhow::Result<Option<PathBuf>> {
    if let Some(path) = chosen_by_user(checkout) {
        let path = PathBuf::from(path);
        return match check(&path) {
            Ok(()) => Ok(Some(path)),
            Err(problem) => Err(failure(
                Code::Unavailable,
                anyhow!("LIBTORCH is `{}`, but {problem}; unset it to have libtorch fetched", path.display()),
            )),
        };
    }
    let link = checkout.root.join(LINK);
    if check(&link).is_ok() {
        return Ok(Some(link.canonicalize().unwrap_or(link)));
    }
    if link.symlink_metadata().is_ok_and(|there| !there.is_symlink()) {
        return Err(failure(
            Code::Unavailable,
            anyhow!("`{}` is not libtorch {VERSION}; remove it and start again", link.display()),
        ));
    }
    Ok(None)
}

/// Where a libtorch that was fetched is kept.
fn cached() -> anyhow::Result<PathBuf> {
    Ok(cache_dir()?.join(format!("libtorch-{VERSION}")))
}

/// `$LIBTORCH`, if it was set by the user and not by the checkout's own `.cargo/config.toml`.
pub(super) fn chosen_by_user(checkout: &Checkout) -> Option<OsString> {
    env::var_os("LIBTORCH").filter(|value| !value.is_empty() && Path::new(value) != checkout.root.join(LINK))
}

/// Whether `path` holds libtorch in the right version, whole; if not, why not.
pub(super) fn check(path: &Path) -> Result<(), String> {
    let library = path.join("lib").join(format!("{}torch_cpu{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX));
    let version = match fs::read_to_string(path.join(VERSION_FILE)) {
        Ok(version) => version,
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(format!("it has no file `{VERSION_FILE}`")),
        Err(error) => return Err(format!("its file `{VERSION_FILE}` cannot be read: {error}")),
    };
    // `2.13.0` or `2.13.0+cpu`
    match version.trim().split('+').next() {
        Some(VERSION) if library.is_file() => Ok(()),
        Some(VERSION) => Err(format!("it has no file `{}`", library.display())),
        _ => Err(format!("that is libtorch {}; exactly {VERSION} is needed", version.trim())),
    }
}

/// The directory, one for each user, in which what is fetched is kept for all checkouts.
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

/// Points `link` to `target` in one step, so that another set-up never finds it missing.
fn relink(target: &Path, link: &Path) -> std::io::Result<()> {
    let new = link.with_file_name(format!(".libtorch-{}", process::id()));
    platform::link_directory(target, &new)?;
    fs::rename(&new, link).inspect_err(|_| drop(fs::remove_file(&new)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn libtorch(version: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("lib")).unwrap();
        let library = format!("{}torch_cpu{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX);
        fs::write(dir.path().join("lib").join(library), "").unwrap();
        fs::write(dir.path().join(VERSION_FILE), version).unwrap();
        dir
    }

    #[test]
    fn only_the_exact_version_will_do_whatever_it_was_built_for() {
        assert_eq!(check(libtorch("2.13.0").path()), Ok(()));
        assert_eq!(check(libtorch("2.13.0+cpu\n").path()), Ok(()));
        let error = "that is libtorch 2.12.1; exactly 2.13.0 is needed".to_owned();
        assert_eq!(check(libtorch("2.12.1\n").path()), Err(error));
    }

    #[test]
    fn without_its_version_file_a_directory_is_not_taken_for_whole() {
        let dir = libtorch(VERSION);
        fs::remove_file(dir.path().join(VERSION_FILE)).unwrap();
        assert_eq!(check(dir.path()), Err("it has no file `build-version`".into()));
    }

    #[test]
    #[cfg(unix)]
    fn a_dangling_link_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (target, link) = (dir.path().join("new"), dir.path().join(".libtorch"));
        platform::link_directory(dir.path().join("gone"), &link).unwrap();
        relink(&target, &link).unwrap();
        assert_eq!(fs::read_link(&link).unwrap(), target);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
