//! What a long kind of trouble has shown so far at a commit. Whoever breaks off loses only what was under way.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Context;

use crate::{
    Finding, progress,
    record::{checkout, commit},
};

/// Findings in which nothing went wrong, by name, in a file below `target/torture`.
pub(crate) struct Kept {
    path: PathBuf,
    /// The commit, and what was found at it in how much time.
    at: (String, BTreeMap<String, (Finding, Duration)>),
}

impl Kept {
    /// What is kept of this kind and of the commit that is checked out. One with changes says nothing about which.
    pub(crate) fn load(kind: &str) -> anyhow::Result<Kept> {
        let path = checkout().join("target/torture").join(kind).with_extension("json");
        let commit = commit()?;
        let read = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let same = read.filter(|(of, _): &(String, _)| *of == commit && !commit.ends_with('+'));
        Ok(Kept { path, at: same.unwrap_or_else(|| (commit, BTreeMap::new())) })
    }

    /// What is kept under this name, or else what an attempt finds.
    pub(crate) fn find(
        &mut self,
        name: &str,
        attempt: impl FnOnce() -> anyhow::Result<Finding>,
    ) -> anyhow::Result<Finding> {
        if let Some((finding, took)) = self.at.1.get(name) {
            return Ok(Finding { spared: *took, ..finding.clone() });
        }
        let start = Instant::now();
        let finding = attempt().with_context(|| name.to_owned())?;
        let took = start.elapsed();
        progress(&format!("{name}: {} violations, {} s", finding.violations.len(), took.as_secs()));
        if finding.violations.is_empty() {
            self.at.1.insert(name.to_owned(), (finding.clone(), took));
            fs::create_dir_all(checkout().join("target/torture"))?;
            fs::write(&self.path, serde_json::to_vec_pretty(&self.at)?)
                .with_context(|| format!("failed to write `{}`", self.path.display()))?;
        }
        Ok(finding)
    }
}
