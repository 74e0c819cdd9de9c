//! libtorch, the C++ library that the trainer computes with. It is looked for in this order: `$LIBTORCH`; `.libtorch`
//! in the checkout, which `.cargo/config.toml` names to cargo; a cache per user, so that a second checkout is instant;
//! and if it is nowhere, it is fetched into that cache.

mod fetch;
mod version;
mod wheel;

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

use anyhow::Context;

pub(crate) use self::version::VERSION;
use self::version::check;
use crate::{
    cache::{cache_dir, unavailable},
    caller::Caller,
    checkout::Checkout,
};

/// The link in the checkout, which `.cargo/config.toml` names.
const LINK: &str = ".libtorch";

pub(crate) async fn provide(checkout: &Checkout, caller: &Caller) -> anyhow::Result<PathBuf> {
    if let Some(path) = in_place(checkout)? {
        return Ok(path);
    }
    let (cache, cached) = (cache_dir()?, cached()?);
    if check(&cached).is_err() {
        fetch::fetch(&cache, &cached, caller).await?;
    }
    fetch::remove_wheels(&cache)?;
    caller.console.note(&format!("libtorch {VERSION} is in `{}`", cached.display()));
    let link = checkout.root.join(LINK);
    process::file::point(&link, &cached).with_context(|| format!("failed to make the link `{}`", link.display()))?;
    Ok(cached)
}

/// The directory of libtorch if it is there, also if the checkout does not know of it yet; an error if it is another.
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
            Err(problem) => {
                let path = path.display();
                Err(unavailable(format!("LIBTORCH is `{path}`, but {problem}; unset it to have libtorch fetched")))
            }
        };
    }
    let link = checkout.root.join(LINK);
    if check(&link).is_ok() {
        return Ok(Some(link.canonicalize().unwrap_or(link)));
    }
    if link.symlink_metadata().is_ok_and(|there| !there.is_symlink()) {
        let link = link.display();
        return Err(unavailable(format!("`{link}` is not libtorch {VERSION}; remove it and start again")));
    }
    Ok(None)
}

/// Where a libtorch that was fetched is kept.
fn cached() -> anyhow::Result<PathBuf> {
    Ok(cache_dir()?.join(format!("libtorch-{VERSION}")))
}

/// `$LIBTORCH`, if it was set by the user and not by the checkout's own `.cargo/config.toml`.
pub(crate) fn chosen_by_user(checkout: &Checkout) -> Option<OsString> {
    env::var_os("LIBTORCH").filter(|value| !value.is_empty() && Path::new(value) != checkout.root.join(LINK))
}
