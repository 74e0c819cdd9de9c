//! Two runs in one chunk directory: the second starts while the first is in any of its phases, whose orchestrator may have
//! been killed just then. Whatever comes of it, no run ends well with the model of the other's samples.

use std::{process::ExitStatus, thread, time::Duration};

use anyhow::{Context, ensure};
use sample::random::Stream;

use super::{
    Bench, LIMIT, SHAPES,
    plan::{File, Victim},
    process,
    run::Run,
    verdict,
};
use crate::{Finding, look_for, try_many};

/// Exit codes of a run that will not have another's samples: in use, or another run's by now.
const REFUSED: [i32; 2] = [73, 65];

/// Runs so many pairs, as [`super::run`] kills.
pub fn run(cases: u64, seed: u64, at_once: usize) -> anyhow::Result<Finding> {
    let bench = Bench::new()?;
    Ok(try_many(cases, at_once, |number| {
        let mut finding = Finding { cases: 1, ..Finding::default() };
        if let Err(error) = pair(&bench, seed, number, &mut finding) {
            finding.violations.push(format!("pair {number} of seed {seed}: {error:#}"));
        }
        finding
    }))
}

fn pair(bench: &Bench, seed: u64, number: u64, finding: &mut Finding) -> anyhow::Result<()> {
    let mut random = Stream::keyed("tributary torture pairs", &[seed, number]);
    // What the first run has come to when the second starts: it may have started just now, or a file has appeared. All in
    // turn; of each, every second first run is killed.
    let meetings = [None, Some(File::Chunk), Some(File::Manifest), Some(File::Checkpoint), Some(File::Model)];
    let (meeting, killed) = (meetings[number as usize % meetings.len()], number / meetings.len() as u64 % 2 == 1);
    let soon = Duration::from_millis(random.below(600));
    let shape = random.below(SHAPES.len() as u64) as usize;
    let other = (shape + 1 + random.below(SHAPES.len() as u64 - 1) as usize) % SHAPES.len();
    let place = tempfile::tempdir()?;
    let mut start = |name: &str, shape| {
        Run::start(bench, &place.path().join(name), &place.path().join("chunks"), shape, &mut random)
    };
    let story =
        || format!("the second run started when the first had {meeting:?}, or after {soon:?}, killed: {killed}");

    let mut first = start("first", shape)?;
    match meeting {
        None => thread::sleep(soon),
        Some(file) => look_for(&format!("there is no {file:?}"), LIMIT, || {
            let is_there = first.files().iter().any(|(there, _)| *there == file);
            Ok((is_there || first.ended()?.is_some()).then_some(()))
        })?,
    }
    let mut first_end = None;
    if killed {
        for id in first.living(Victim::Orchestrator)? {
            process::kill(id);
        }
        first_end = Some(first.end()?);
    }
    let mut second = start("second", other)?;
    let second_end = second.end().with_context(|| second.last_words())?;
    if !killed || first.folder().exists() && first.start_again()? {
        first_end = Some(first.end().with_context(|| first.last_words())?);
    }
    let first_end = first_end.context("the first run has no end")?;
    for (run, end) in [(&first, first_end), (&second, second_end)] {
        finding.count(judge(run, end, bench).with_context(|| run.last_words()).with_context(story)?);
    }
    // Nobody was in the way of a first run that was not killed.
    ensure!(killed || first_end.success(), "{}: {first_end}; {}", story(), first.last_words());
    process::wait_for_all_in(place.path(), LIMIT)?;
    if killed {
        finding.count("first runs killed and resumed");
    }
    Ok(())
}

/// What became of a run, which must have its own model if it says that all is well, and must have been refused else.
fn judge(run: &Run, status: ExitStatus, bench: &Bench) -> anyhow::Result<&'static str> {
    if status.success() {
        let (model, own) = (verdict::model(&run.dir)?, &bench.models[run.shape]);
        let others = bench.models.contains(&model);
        ensure!(model == *own, "WRONG MODEL {model} (another run's: {others}), exit code 0");
        return Ok("runs that ended with their own model");
    }
    // A first run that was killed before there was anything to resume is not started again.
    let refused = status.code().is_none_or(|code| REFUSED.contains(&code));
    ensure!(refused, "a run ended with {status}");
    Ok("runs that were refused, or killed at their very beginning")
}
