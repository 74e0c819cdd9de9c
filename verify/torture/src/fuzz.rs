//! Hostile bytes: the fuzz targets, run by `cargo fuzz` for a number of inputs. It needs a nightly compiler and
//! `cargo install cargo-fuzz`.

use std::{
    fs,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, ensure};

use crate::{Finding, kept::Kept, last_lines, record::checkout};

/// What a target may hold in memory at its peak, in MiB.
const MEMORY: u64 = 128;

/// Runs every target, or those with `only` in their names, on so many inputs. One that has passed so at this commit is
/// not run again.
pub fn run(inputs: u64, seed: u64, only: Option<&str>) -> anyhow::Result<Finding> {
    let (listing, listed) = cargo_fuzz(&["list"])?;
    let targets: Vec<&str> = listing.lines().filter(|target| only.is_none_or(|only| target.contains(only))).collect();
    ensure!(listed && !targets.is_empty(), "there are no such fuzz targets: {listing}");
    let (mut kept, mut all) = (Kept::load("fuzz")?, Finding::default());
    for target in targets {
        let name = format!("{target}, {inputs} inputs from seed {seed}");
        all.add(kept.find(&name, || fuzz(target, inputs, seed))?);
    }
    Ok(all)
}

fn fuzz(target: &str, inputs: u64, seed: u64) -> anyhow::Result<Finding> {
    let start = Instant::now();
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
    // An upper bound: the system counts the memory of the process that became the target, too.
    let peak = stat("stat::peak_rss_mb:").unwrap_or(u64::MAX);
    let mut finding = Finding { cases: tried, ..Finding::default() };
    let seconds = start.elapsed().as_secs();
    finding.figure(target, format!("{tried} inputs, peak memory at most {peak} MiB, {seconds} s"));
    let last_words = || last_lines(&output).replace('\n', " / ");
    finding.hold(good && tried >= inputs, || format!("{target} failed: {}", last_words()));
    finding.hold(peak <= MEMORY, || format!("{target} held {peak} MiB"));
    Ok(finding)
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
