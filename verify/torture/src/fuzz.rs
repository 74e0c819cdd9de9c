//! Hostile bytes: the fuzz targets, run by `cargo fuzz` for a number of inputs. It needs a nightly compiler and
//! `cargo install cargo-fuzz`.

use std::{
    fs,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use crate::{Finding, kept::Kept, last_lines, progress, record::checkout};

/// What a target may hold in memory at its peak, in MiB.
const MEMORY: u64 = 128;

#[derive(Clone, Serialize, Deserialize)]
struct Outcome {
    tried: u64,
    /// An upper bound, in MiB: the system counts the memory of the process that became the target, too.
    peak: u64,
    seconds: u64,
    violations: Vec<String>,
}

/// Runs every target, or those with `only` in their names, on so many inputs. One that has passed so at this commit is
/// not run again.
pub fn run(inputs: u64, seed: u64, only: Option<&str>) -> anyhow::Result<Finding> {
    let (listing, listed) = cargo_fuzz(&["list"])?;
    let targets: Vec<&str> = listing.lines().filter(|target| only.is_none_or(|only| target.contains(only))).collect();
    ensure!(listed && !targets.is_empty(), "there are no such fuzz targets: {listing}");
    let mut kept = Kept::<Outcome>::load("fuzz")?;
    let mut finding = Finding::new("Hostile bytes", seed);
    for target in targets {
        let key = format!("{target}, {inputs} inputs from seed {seed}");
        let outcome = kept.get(&key).cloned().map_or_else(|| fuzz(target, inputs, seed), Ok)?;
        if outcome.violations.is_empty() {
            kept.put(&key, outcome.clone())?;
        }
        let Outcome { tried, peak, seconds, violations } = outcome;
        progress(&format!("{target}: {tried} inputs in {seconds} s"));
        finding.figure(target, format!("{tried} inputs, peak memory at most {peak} MiB, {seconds} s"));
        finding.violations.extend(violations);
        finding.cases += tried;
        finding.took += Duration::from_secs(seconds);
    }
    Ok(finding)
}

fn fuzz(target: &str, inputs: u64, seed: u64) -> anyhow::Result<Outcome> {
    let began = Instant::now();
    // What is found goes into the first of the two directories; the other is committed.
    let corpora = [format!("target/fuzz/corpus/{target}"), format!("verify/hostile/corpus/{target}")];
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
        violations.push(format!("{target} failed: {}", last_lines(&output).replace('\n', " / ")));
    }
    if peak > MEMORY {
        violations.push(format!("{target} held {peak} MiB"));
    }
    Ok(Outcome { tried, peak, seconds: began.elapsed().as_secs(), violations })
}

/// What `cargo fuzz` prints, and whether it succeeds.
fn cargo_fuzz(arguments: &[&str]) -> anyhow::Result<(String, bool)> {
    let (command, options) = arguments.split_first().context("no command")?;
    let output = Command::new("cargo")
        .args(["+nightly", "fuzz", command, "--fuzz-dir", "verify/fuzz"])
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
