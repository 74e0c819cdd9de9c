//! Hostile bytes: the fuzz targets, run by `cargo fuzz` for a number of inputs. It needs a nightly compiler and
//! `cargo install cargo-fuzz`.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use crate::{
    Finding, progress,
    record::{checkout, commit},
};

/// What a target may hold in memory at its peak, in MiB.
const MEMORY: u64 = 128;

/// Where outcomes are kept.
const KEPT: &str = "target/torture/fuzz";

/// What came of one target. It is kept: all targets take hours, and who breaks off loses but the one at hand.
#[derive(Serialize, Deserialize)]
struct Outcome {
    /// The commit that it is of.
    commit: String,
    /// The inputs that were asked for.
    inputs: u64,
    seed: u64,
    /// The inputs that were tried.
    tried: u64,
    /// An upper bound, in MiB: the system counts the memory of the process that became the target, too.
    peak: u64,
    seconds: u64,
    violations: Vec<String>,
}

/// Runs every target on so many inputs, except for those that have passed so at this commit.
///
/// # Errors
/// When `cargo fuzz` cannot be run.
pub fn run(inputs: u64, seed: u64) -> anyhow::Result<Finding> {
    let (targets, listed) = cargo_fuzz(&["list"])?;
    ensure!(listed && !targets.trim().is_empty(), "there are no fuzz targets: {targets}");
    let (mut figures, mut violations, mut cases, mut took) = (Vec::new(), Vec::new(), 0, Duration::ZERO);
    for target in targets.lines() {
        let outcome = match passed(target, inputs, seed)? {
            Some(outcome) => outcome,
            None => fuzz(target, inputs, seed)?,
        };
        let Outcome { tried, peak, seconds, .. } = outcome;
        progress(&format!("{target}: {tried} inputs in {seconds} s"));
        figures.push((target.to_owned(), format!("{tried} inputs, peak memory at most {peak} MiB, {seconds} s")));
        violations.extend(outcome.violations);
        cases += tried;
        took += Duration::from_secs(seconds);
    }
    Ok(Finding { title: "Hostile bytes".into(), cases, seed, took, figures, violations })
}

/// The outcome of an earlier run of this target, if it was the same and good.
fn passed(target: &str, inputs: u64, seed: u64) -> anyhow::Result<Option<Outcome>> {
    let Ok(bytes) = fs::read(kept(target)) else { return Ok(None) };
    let outcome: Outcome = serde_json::from_slice(&bytes).context("a kept outcome is damaged")?;
    let is_same = (&outcome.commit, outcome.inputs, outcome.seed) == (&commit()?, inputs, seed);
    // A commit with changes says nothing about which.
    Ok(Some(outcome).filter(|outcome| is_same && !outcome.commit.ends_with('+') && outcome.violations.is_empty()))
}

/// Where the outcome of a target is kept.
fn kept(target: &str) -> PathBuf {
    checkout().join(KEPT).join(target).with_extension("json")
}

/// Runs a target on so many inputs.
fn fuzz(target: &str, inputs: u64, seed: u64) -> anyhow::Result<Outcome> {
    let (began, commit) = (Instant::now(), commit()?);
    // What is found goes into the first of the two directories; the other is committed.
    let corpora = [format!("target/fuzz/corpus/{target}"), format!("crates/hostile/corpus/{target}")];
    // What earlier runs found would make this one another than its seed says.
    let _ = fs::remove_dir_all(checkout().join(&corpora[0]));
    fs::create_dir_all(checkout().join(&corpora[0])).context("failed to create a directory for the corpus")?;
    let (runs, from) = (format!("-runs={inputs}"), format!("-seed={seed}"));
    let limit = format!("-rss_limit_mb={MEMORY}");
    let options = [&runs, &from, &limit, "-max_len=4096", "-timeout=10", "-print_final_stats=1", "-verbosity=0"];
    let run = ["run", "--sanitizer=none", target, &corpora[0], &corpora[1], "--"];
    let (output, good) = cargo_fuzz(&[&run[..], &options].concat())?;
    let stat = |name| output.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
    let tried = stat("stat::number_of_executed_units:").unwrap_or(0);
    let peak = stat("stat::peak_rss_mb:").unwrap_or(u64::MAX);
    let mut violations = Vec::new();
    if !good || tried < inputs {
        let last = output.lines().rev().take(20).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>();
        violations.push(format!("{target} failed: {}", last.join(" / ")));
    }
    if peak > MEMORY {
        violations.push(format!("{target} held {peak} MiB"));
    }
    let outcome = Outcome { commit, inputs, seed, tried, peak, seconds: began.elapsed().as_secs(), violations };
    fs::create_dir_all(checkout().join(KEPT)).context("failed to create a directory for outcomes")?;
    fs::write(kept(target), serde_json::to_vec_pretty(&outcome)?).context("failed to keep an outcome")?;
    Ok(outcome)
}

/// What `cargo fuzz` prints, and whether it succeeds.
fn cargo_fuzz(arguments: &[&str]) -> anyhow::Result<(String, bool)> {
    let (command, options) = arguments.split_first().context("no command")?;
    let output = Command::new("cargo")
        .args(["+nightly", "fuzz", command, "--fuzz-dir", "crates/fuzz"])
        .env("CARGO_TARGET_DIR", "target/fuzz")
        .args(options)
        .current_dir(checkout())
        .env_remove("CARGO")
        .env_remove("RUSTUP_TOOLCHAIN")
        .stdin(Stdio::null())
        .output()
        .context("failed to run cargo fuzz")?;
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    ensure!(!text.contains("no such command"), "there is no `cargo fuzz`; run `cargo install cargo-fuzz`");
    Ok((text, output.status.success()))
}
