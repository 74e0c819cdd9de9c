//! Two runs in one chunk directory: the second starts while the first is in any of its phases, whose orchestrator may have
//! been killed just then. Whatever comes of it, no run ends well with the model of the other's samples.

use std::{
    fs,
    process::ExitStatus,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use sample::random::Stream;

use super::{Bench, LIMIT, LOOK, plan::Victim, process, run::Run, trials, verdict};
use crate::{Finding, Tally};

/// Exit codes of a run that will not have another's samples: in use, or another run's by now.
const REFUSED: [i32; 2] = [73, 65];

/// What the first run has come to when the second starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meeting {
    Started(u64), // It started some milliseconds ago.
    /// A folder beside or in its own has a file with such a name.
    Appeared(&'static str, &'static str),
}

/// Runs so many pairs, as [`super::run`] kills.
pub fn run(cases: u64, seed: u64, at_once: usize) -> anyhow::Result<Finding> {
    trials("Two runs in one directory", cases, seed, at_once, |bench, seed, number| {
        let mut tally = Tally { cases: 1, ..Tally::default() };
        if let Err(error) = pair(bench, seed, number, &mut tally) {
            tally.violations.push(format!("pair {number} of seed {seed}: {error:#}"));
        }
        tally
    })
}

fn pair(bench: &Bench, seed: u64, number: u64, tally: &mut Tally) -> anyhow::Result<()> {
    let mut random = Stream::keyed("tributary torture pairs", &[seed, number]);
    let meetings = [
        Meeting::Started(random.below(600)),
        Meeting::Appeared("../chunks", "chunk-"),
        Meeting::Appeared("../chunks", "_SUCCESS"),
        Meeting::Appeared("runs/latest/checkpoints", "round-"),
        Meeting::Appeared("runs/latest", "final_cnn_model"),
    ];
    // Every meeting in turn; of each, every second first run is killed.
    let (meeting, killed) = (meetings[number as usize % meetings.len()], number / meetings.len() as u64 % 2 == 1);
    let shape = random.below(2) as usize;
    let place = tempfile::tempdir()?;
    let mut start = |name: &str, shape| {
        Run::start(bench, &place.path().join(name), &place.path().join("chunks"), shape, &mut random)
    };
    let story = || format!("the second run started when the first had {meeting:?}, killed: {killed}");

    let mut first = start("first", shape)?;
    wait_for(&mut first, meeting)?;
    let mut first_end = None;
    if killed {
        for id in first.living(Victim::Orchestrator)? {
            process::kill(id);
        }
        first_end = Some(first.end()?);
    }
    let mut second = start("second", 1 - shape)?;
    let second_end = second.end().with_context(|| second.last_words())?;
    if !killed || first.folder().exists() && first.start_again()? {
        first_end = Some(first.end().with_context(|| first.last_words())?);
    }
    let first_end = first_end.context("the first run has no end")?;
    for (run, end) in [(&first, first_end), (&second, second_end)] {
        tally.count(judge(run, end, bench).with_context(|| run.last_words()).with_context(story)?);
    }
    // Nobody was in the way of a first run that was not killed.
    ensure!(killed || first_end.success(), "{}: {first_end}; {}", story(), first.last_words());
    let left = process::left_in(place.path(), LIMIT);
    ensure!(left.is_empty(), "processes are left: {left:?}");
    if killed {
        tally.count("first runs killed and resumed");
    }
    Ok(())
}

/// Waits until the run is there, or over.
fn wait_for(run: &mut Run, meeting: Meeting) -> anyhow::Result<()> {
    let began = Instant::now();
    while run.ended()?.is_none() {
        ensure!(began.elapsed() < LIMIT, "nothing happens while waiting for {meeting:?}");
        let has_come = match meeting {
            Meeting::Started(milliseconds) => began.elapsed() >= Duration::from_millis(milliseconds),
            Meeting::Appeared(folder, name) => fs::read_dir(run.dir.join(folder)).is_ok_and(|mut entries| {
                entries.any(|entry| entry.is_ok_and(|e| e.file_name().to_string_lossy().starts_with(name)))
            }),
        };
        if has_come {
            break;
        }
        thread::sleep(LOOK);
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
