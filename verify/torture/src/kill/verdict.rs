//! What must be true of a run that has succeeded, whatever was killed in it.

use std::{
    fs::{self, File},
    path::Path,
    time::Duration,
};

use anyhow::{Context, ensure};
use run_folder::Summary;

use super::{SHAPES, process, run::Run};
use crate::samples;

/// By then a child has noticed that its orchestrator is gone.
const CHILDREN_LIMIT: Duration = Duration::from_secs(20);

/// Checks a run whose undisturbed model has this hash.
pub(super) fn check(of: &Run, model_sha256: &str) -> anyhow::Result<()> {
    let (dir, shape) = (&of.dir, SHAPES[of.shape]);
    process::wait_for_all_in(dir, CHILDREN_LIMIT)?;
    ensure!(!of.log().contains("panicked at"), "a program panicked");
    let (chunks, run) = (&of.chunks, of.folder());
    let wrong = samples::check(chunks, shape.samples);
    ensure!(wrong.is_empty(), "{}", wrong[..wrong.len().min(5)].join("; "));
    let model = model(dir)?;
    ensure!(model == model_sha256, "the model is {model}, that of the undisturbed run {model_sha256}");
    check_events(&run, shape.rounds)?;
    for place in [chunks, &run, &run.join("checkpoints")] {
        for entry in fs::read_dir(place).with_context(|| format!("failed to list `{}`", place.display()))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            ensure!(!name.starts_with(".tmp-") && !name.ends_with(".tmp"), "`{name}` is left");
        }
    }
    for lock in [chunks.join(".lock"), run.join(".lock")] {
        let free = File::open(&lock)?.try_lock();
        free.with_context(|| format!("`{}` is still held", lock.display()))?;
    }
    Ok(())
}

/// The model of the orchestrator's run in this folder.
pub(super) fn model(dir: &Path) -> anyhow::Result<String> {
    model_of(&dir.join("runs/latest"))
}

/// The model of a run folder.
pub(super) fn model_of(run: &Path) -> anyhow::Result<String> {
    let summary = Summary::read(run).context("the summary is damaged")?;
    Ok(summary.context("there is no summary")?.model_sha256)
}

/// Every round is told of once, in order.
fn check_events(run: &Path, rounds: u32) -> anyhow::Result<()> {
    let text = fs::read_to_string(run.join("events.jsonl")).context("there are no events")?;
    let mut seen = Vec::new();
    for line in text.lines() {
        let event: serde_json::Value = serde_json::from_str(line).with_context(|| format!("`{line}` is no event"))?;
        if event["event"] == "round" {
            seen.push(event["round"].as_u64().context("a round without a number")?);
        }
    }
    ensure!(seen.iter().copied().eq(1..=u64::from(rounds)), "the events tell of the rounds {seen:?}");
    Ok(())
}
