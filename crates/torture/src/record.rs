//! What is kept of each kind of trouble: its finding, and of which commit and on which machine. Records are committed, and
//! `RELIABILITY.md` is written from them alone: a kind can be tried again by itself, on any machine.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use crate::Finding;

/// A finding that is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// The finding.
    pub finding: Finding,
    /// The commit that it is of; ends in `+` if files were changed since.
    pub commit: String,
    /// The day.
    pub date: String,
    /// Processor and number of cores.
    pub machine: String,
}

impl Record {
    /// The record of a finding made here and now, of the commit that was there when the work began.
    pub fn new(finding: Finding, commit: String) -> Record {
        Record { finding, commit, date: jiff::Zoned::now().date().to_string(), machine: machine() }
    }

    /// Keeps the record as that of `kind`, in place of an older one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, kind: &str) -> anyhow::Result<()> {
        let path = directory().join(kind).with_extension("json");
        fs::create_dir_all(directory())?;
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
        let bytes = fs::read(&path)?;
        serde_json::from_slice(&bytes).map(Some).with_context(|| format!("`{}` is damaged", path.display()))
    }
}

/// The report of these records, in Markdown.
pub fn report(records: &[Record]) -> String {
    let mut text = INTRODUCTION.to_owned();
    text += "\n| trouble | cases | violations | seconds | seed | commit | date |\n|---|---:|---:|---:|---:|---|---|\n";
    for Record { finding, commit, date, .. } in records {
        let Finding { title, cases, seed, took, violations, .. } = finding;
        let (violations, seconds) = (violations.len(), took.as_secs_f64());
        let _ = writeln!(text, "| {title} | {cases} | {violations} | {seconds:.0} | {seed} | {commit} | {date} |");
    }
    for Record { finding, machine, .. } in records {
        let _ = write!(text, "\n## {}\n\nOn {machine}.\n\n| figure | value |\n|---|---|\n", finding.title);
        for (name, value) in &finding.figures {
            let _ = writeln!(text, "| {name} | {value} |");
        }
        for violation in finding.violations.iter().take(20) {
            let _ = write!(text, "\n- **violation**: {violation}");
        }
    }
    text
}

const INTRODUCTION: &str = "\
# Reliability

Written by `scripts/torture`: figures, not prose. Each kind of trouble is made many times, from a seed that repeats it;
a violation is a lost, doubled or altered sample, a false acknowledgement, another model than that of the undisturbed
run, a panic, a hang, something let in or something left behind.

What is claimed: kill any process at any moment, as often as you like; cut the network in any way; fill the disk: the
chunk directory ends up holding every sample exactly once, and the trained model has the same SHA-256 as that of an
undisturbed run. What it rests on: a source that can be replayed, a disk whose fsync is honest, one receiver per
directory; for identical bits, the same binary and instruction set.
";

/// Where records are kept, in the checkout.
fn directory() -> PathBuf {
    checkout().join("crates/torture/records")
}

/// The commit that is checked out; ends in `+` if files were changed since.
///
/// # Errors
/// When git cannot tell.
pub fn commit() -> anyhow::Result<String> {
    let commit = git(&["rev-parse", "--short=10", "HEAD"])?;
    // Reports are written after the commit that they are of.
    let reports = [":!RELIABILITY.md", ":!BENCHMARKS.md", ":!crates/torture/records", ":!crates/bench/records"];
    let changed = git(&[&["status", "--porcelain", "--", "."][..], &reports].concat())?;
    Ok(if changed.is_empty() { commit } else { commit + "+" })
}

/// The checkout that this program was built from.
pub fn checkout() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn git(arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("git").args(arguments).current_dir(checkout()).output().context("failed to run git")?;
    ensure!(output.status.success(), "git {} failed", arguments[0]);
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Processor and number of cores.
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default(); // Elsewhere, the system's name has to do.
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    format!("{cores} cores of {}", model.map_or(std::env::consts::OS, |(_, name)| name))
}
