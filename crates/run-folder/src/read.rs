//! Reading the small files of a run folder. What is larger than any of ours is not read: parsed, a hostile text takes many
//! times its size.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

use serde::de::DeserializeOwned;

use crate::{CONFIG, Error, IDENTITY, older};

/// The largest configuration. All flags together take two kilobytes.
const MAX_CONFIG: u64 = 1 << 16;
/// The largest file of JSON. Ours take a few kilobytes.
const MAX_JSON: u64 = 1 << 20;

/// The configuration in a run folder, by long flag.
///
/// # Errors
/// When it cannot be read, which is also how a directory that is no run folder shows itself, or is not TOML.
pub fn read_config(run_folder: &Path) -> Result<toml::Table, Error> {
    let path = run_folder.join(CONFIG);
    let text = || {
        let mut text = String::new();
        File::open(&path)?.take(MAX_CONFIG + 1).read_to_string(&mut text)?;
        if text.len() as u64 > MAX_CONFIG {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 64 KiB"));
        }
        Ok(text)
    };
    let text = text().map_err(|source| Error::Io { action: "read", path: path.clone(), source })?;
    let table = text.parse().map_err(|error| Error::Other { what: format!("is not TOML: {error}"), path })?;
    Ok(older::config(table))
}

/// The identity of the run with this folder; `None` if no orchestrator started it.
///
/// # Errors
/// When it cannot be read.
pub fn identity(run_folder: &Path) -> Result<Option<String>, Error> {
    let path = run_folder.join(IDENTITY);
    match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        text => text.map(Some).map_err(|source| Error::Io { action: "read", path, source }),
    }
}

/// What a file of JSON says; `None` if it is not there.
pub(crate) fn json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let failed = |action| move |source| Error::Io { action, path: path.to_owned(), source };
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(failed("open"))?,
    };
    let mut bytes = Vec::new();
    file.take(MAX_JSON + 1).read_to_end(&mut bytes).map_err(failed("read"))?;
    let parsed = if bytes.len() as u64 > MAX_JSON {
        Err(format!("it is longer than {MAX_JSON} bytes"))
    } else {
        serde_json::from_slice(&bytes).map_err(|error| error.to_string())
    };
    parsed.map(Some).map_err(|what| Error::Damaged { path: path.to_owned(), advice: "", what })
}
