//! What is kept of each kind: its measurement, and of which commit, when and on which machine it was made. Records are
//! committed, and the report is written from them alone: a kind can be measured again by itself.

use std::{fs, path::PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use torture::record::{checkout, machine};

use crate::Measurement;

/// A measurement that is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// The measurement.
    pub measurement: Measurement,
    /// The commit that it is of; ends in `+` if files were changed since.
    pub commit: String,
    /// The day.
    pub date: String,
    /// Processor and number of cores.
    pub machine: String,
    /// How many processes were at work in the minute before it: 0 on a machine with nothing else to do.
    pub load: f64,
}

/// How busy the machine is before a kind begins.
pub fn load() -> f64 {
    let averages = fs::read_to_string("/proc/loadavg").unwrap_or_default(); // Linux only; elsewhere it counts as idle.
    averages.split(' ').next().and_then(|minute| minute.parse().ok()).unwrap_or(0.0)
}

impl Record {
    /// The record of a measurement made here and now, of what was there when it began.
    pub fn new(measurement: Measurement, commit: String, load: f64) -> Record {
        let date = jiff::Zoned::now().date().to_string();
        Record { measurement, commit, date, machine: machine(), load }
    }

    /// Keeps the record as that of `kind`, in place of an older one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, kind: &str) -> anyhow::Result<()> {
        fs::create_dir_all(directory())?;
        let path = directory().join(kind).with_extension("json");
        fs::write(&path, serde_json::to_vec_pretty(self)?)
            .with_context(|| format!("failed to write `{}`", path.display()))
    }

    /// The record of `kind`, if there is one.
    ///
    /// # Errors
    /// When there is one that cannot be read.
    pub fn load(kind: &str) -> anyhow::Result<Option<Record>> {
        let path = directory().join(kind).with_extension("json");
        if !path.exists() {
            return Ok(None);
        }
        let bytes = fs::read(&path).with_context(|| format!("failed to read `{}`", path.display()))?;
        let advice = || format!("`{}` is damaged or of another version; remove it", path.display());
        serde_json::from_slice(&bytes).map(Some).with_context(advice)
    }
}

/// Where records are kept, in the checkout.
fn directory() -> PathBuf {
    checkout().join("crates/bench/records")
}

/// A directory for one measurement, on the disk of the checkout. It goes when it is dropped.
///
/// # Errors
/// When it cannot be made.
pub fn scratch() -> anyhow::Result<TempDir> {
    let parent = checkout().join("target");
    fs::create_dir_all(&parent)
        .and_then(|()| tempfile::tempdir_in(&parent))
        .with_context(|| format!("failed to create a directory in `{}`", parent.display()))
}
