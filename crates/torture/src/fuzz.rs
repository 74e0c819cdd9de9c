//! Hostile bytes: the fuzz targets, run by `cargo fuzz` for a number of inputs. It needs a nightly compiler and
//! `cargo install cargo-fuzz`.

use std::{
    fs,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, ensure};

use crate::{Finding, progress, record::checkout};

/// What a target may hold in memory at its peak, in MiB.
const MEMORY: u64 = 128;

/// Runs every target on so many inputs.
///
/// # Errors
/// When `cargo fuzz` cannot be run.
pub fn run(inputs: u64, seed: u64) -> anyhow::Result<Finding> {
    let start = Instant::now();
    let (targets, listed) = cargo_fuzz(&["list"])?;
    ensure!(listed && !targets.trim().is_empty(), "there are no fuzz targets: {targets}");
    // What earlier runs found would make this one another than its seed says.
    let _ = fs::remove_dir_all(checkout().join("target/fuzz/corpus"));
    let (mut figures, mut violations, mut cases) = (Vec::new(), Vec::new(), 0);
    for target in targets.lines() {
        let began = Instant::now();
        let (runs, seed) = (format!("-runs={inputs}"), format!("-seed={seed}"));
        // What is found goes into the first of the two directories; the other is committed.
        let corpora = [format!("target/fuzz/corpus/{target}"), format!("crates/hostile/corpus/{target}")];
        fs::create_dir_all(checkout().join(&corpora[0])).context("failed to create a directory for the corpus")?;
        let limit = format!("-rss_limit_mb={MEMORY}");
        let options = [&runs, &seed, &limit, "-max_len=4096", "-timeout=10", "-print_final_stats=1", "-verbosity=0"];
        let run = ["run", "--sanitizer=none", target, &corpora[0], &corpora[1], "--"];
        let (output, good) = cargo_fuzz(&[&run[..], &options].concat())?;
        let stat = |name| output.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
        let executed = stat("stat::number_of_executed_units:").unwrap_or(0);
        // An upper bound: the system counts the memory of the process that became the target, too.
        let peak = stat("stat::peak_rss_mb:").unwrap_or(u64::MAX);
        cases += executed;
        if !good || executed < inputs {
            let last = output.lines().rev().take(20).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>();
            violations.push(format!("{target} failed: {}", last.join(" / ")));
        }
        if peak > MEMORY {
            violations.push(format!("{target} held {peak} MiB"));
        }
        let seconds = began.elapsed().as_secs();
        progress(&format!("{target}: {executed} inputs in {seconds} s"));
        figures.push((target.to_owned(), format!("{executed} inputs, peak memory at most {peak} MiB, {seconds} s")));
    }
    Ok(Finding { title: "Hostile bytes".into(), cases, seed, took: start.elapsed(), figures, violations })
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
