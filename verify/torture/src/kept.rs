//! What a long kind of trouble has shown so far at a commit. Whoever breaks off loses only what was under way.

use std::{collections::BTreeMap, fs, path::PathBuf};

use anyhow::Context;
use serde::{Serialize, de::DeserializeOwned};

use crate::record::{checkout, commit};

/// Results by name, in a file below `target/torture`.
pub(crate) struct Kept<T> {
    path: PathBuf,
    /// The commit, and what is kept of it.
    at: (String, BTreeMap<String, T>),
}

impl<T: Serialize + DeserializeOwned> Kept<T> {
    /// What is kept of this kind and of the commit that is checked out. One with changes says nothing about which.
    pub(crate) fn load(kind: &str) -> anyhow::Result<Kept<T>> {
        let path = checkout().join("target/torture").join(kind).with_extension("json");
        let commit = commit()?;
        let read = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let same = read.filter(|(of, _): &(String, _)| *of == commit && !commit.ends_with('+'));
        Ok(Kept { path, at: same.unwrap_or_else(|| (commit, BTreeMap::new())) })
    }

    pub(crate) fn get(&self, name: &str) -> Option<&T> {
        self.at.1.get(name)
    }

    pub(crate) fn put(&mut self, name: &str, result: T) -> anyhow::Result<()> {
        self.at.1.insert(name.to_owned(), result);
        fs::create_dir_all(checkout().join("target/torture"))?;
        fs::write(&self.path, serde_json::to_vec_pretty(&self.at)?)
            .with_context(|| format!("failed to write `{}`", self.path.display()))
    }
}
