//! What is kept of each kind: its measurement, and of which commit, when and on which machine it was made. Records are
//! committed, and the report is written from them alone: a kind can be measured again by itself.

use std::fs;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use torture::record::{Origin, checkout};

use crate::Measurement;

pub(crate) const RECORDS: &str = "verify/bench/records";

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) measurement: Measurement,
    #[serde(flatten)]
    pub(crate) origin: Origin,
    /// How many processes were at work in the minute before it: 0 on a machine with nothing else to do.
    pub(crate) load: f64,
}

/// How busy the machine is before a kind begins.
pub(crate) fn load() -> f64 {
    let averages = fs::read_to_string("/proc/loadavg").unwrap_or_default(); // Linux only; elsewhere it counts as idle.
    averages.split(' ').next().and_then(|minute| minute.parse().ok()).unwrap_or(0.0)
}

/// A directory for one measurement, on the disk of the checkout. It goes when it is dropped.
pub(crate) fn scratch() -> anyhow::Result<TempDir> {
    let parent = checkout().join("target");
    fs::create_dir_all(&parent)
        .and_then(|()| tempfile::tempdir_in(&parent))
        .with_context(|| format!("failed to create a directory in `{}`", parent.display()))
}
