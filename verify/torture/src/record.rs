//! What is kept of each kind of trouble: its finding, and of which commit and on which machine. Records are committed, and
//! `RELIABILITY.md` is written from them alone: a kind can be tried again by itself, on any machine.

use std::{fmt::Write, fs, path::Path, process::Command, time::Duration};

use anyhow::{Context, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::Finding;

/// A finding that is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// The kind of trouble, as a heading.
    pub title: String,
    /// The seed that repeats it.
    pub seed: u64,
    /// How long it took.
    pub took: Duration,
    /// The finding.
    pub finding: Finding,
    /// Where it was made.
    #[serde(flatten)]
    pub origin: Origin,
}

/// Where something was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Origin {
    /// The commit; ends in `+` if files were changed since.
    pub commit: String,
    /// The day.
    pub date: String,
    /// Processor and number of cores.
    pub machine: String,
}

impl Origin {
    /// Here and now.
    pub fn here() -> anyhow::Result<Origin> {
        Ok(Origin { commit: commit()?, date: jiff::Zoned::now().date().to_string(), machine: machine() })
    }
}

/// Keeps a record in `folder` of the checkout as that of its kind, in place of an older one.
pub fn save<K: ValueEnum>(folder: &str, kind: &K, record: &impl Serialize) -> anyhow::Result<()> {
    fs::create_dir_all(checkout().join(folder))?;
    write(&format!("{folder}/{}.json", name(kind)), &serde_json::to_string_pretty(record)?)
}

/// The records in `folder` of all kinds that have one.
pub fn load<K: ValueEnum, R: DeserializeOwned>(folder: &str) -> anyhow::Result<Vec<R>> {
    let paths = K::value_variants().iter().map(|kind| checkout().join(folder).join(name(kind) + ".json"));
    let read = |path: std::path::PathBuf| {
        let advice = || format!("`{}` is damaged or of another version; remove it", path.display());
        serde_json::from_slice(&fs::read(&path)?).with_context(advice)
    };
    paths.filter(|path| path.exists()).map(read).collect()
}

/// Writes a file of the checkout.
pub fn write(file: &str, text: &str) -> anyhow::Result<()> {
    fs::write(checkout().join(file), text).with_context(|| format!("failed to write `{file}`"))
}

/// The name of a kind, as a flag's value.
pub fn name(kind: &impl ValueEnum) -> String {
    kind.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

/// The report of these records, in Markdown.
pub fn report(records: &[Record]) -> String {
    let mut text = INTRODUCTION.to_owned();
    text += "\n| trouble | cases | violations | seconds | seed | commit | date |\n|---|---:|---:|---:|---:|---|---|\n";
    for Record { title, seed, took, finding, origin: Origin { commit, date, .. } } in records {
        let Finding { cases, violations, .. } = finding;
        let (violations, seconds) = (violations.len(), took.as_secs_f64());
        let _ = writeln!(text, "| {title} | {cases} | {violations} | {seconds:.0} | {seed} | {commit} | {date} |");
    }
    for Record { title, finding, origin: Origin { machine, .. }, .. } in records {
        let _ = write!(text, "\n## {title}\n\nOn {machine}.\n\n| figure | value |\n|---|---|\n");
        for (name, count) in &finding.counts {
            let _ = writeln!(text, "| {name} | {count} |");
        }
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
directory; for identical bits, a processor that rounds as IEEE 754 says.
";

/// The commit that is checked out; ends in `+` if files were changed since.
pub(crate) fn commit() -> anyhow::Result<String> {
    let commit = git(&["rev-parse", "--short=10", "HEAD"])?;
    // Reports are written after the commit that they are of.
    let reports = [":!RELIABILITY.md", ":!BENCHMARKS.md", ":!verify/torture/records", ":!verify/bench/records"];
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

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default(); // Elsewhere, the system's name has to do.
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    format!("{cores} cores of {}", model.map_or(std::env::consts::OS, |(_, name)| name))
}
