//! Two runs in one chunk directory: the second starts while the first is in any of its phases, whose orchestrator may have
//! been killed just then. Whatever comes of it, no run ends well with the model of the other's samples.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::ExitStatus,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use dataset::random::Stream;

use super::{
    Bench, ENOUGH, SHAPES,
    plan::Victim,
    process::{self, Orchestrator},
    trial, verdict,
};
use crate::Finding;

/// No run takes longer, also not on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);
/// Exit codes of a run that will not have another's samples: in use, or another run's by now.
const REFUSED: [i32; 2] = [73, 65];

/// How many pairs.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Pairs of runs.
    pub pairs: u64,
    /// Decides how each pair meets.
    pub seed: u64,
    /// Pairs at the same time.
    pub at_once: usize,
}

/// What the first run is doing when the second starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meeting {
    /// Starting, some milliseconds ago.
    Start(u64),
    /// Receiving: there is a chunk.
    Chunk,
    /// Between receiving and training: the directory is complete.
    Complete,
    /// Training: there is a checkpoint.
    Checkpoint,
    /// Ending: there is a model.
    Model,
}

#[derive(Debug, Default)]
struct Tally {
    figures: std::collections::BTreeMap<&'static str, u64>,
    violations: Vec<String>,
}

/// Runs the pairs.
///
/// # Errors
/// When the programs cannot be built or an undisturbed run fails. What went wrong otherwise is in the finding.
pub fn run(config: Config) -> anyhow::Result<Finding> {
    let bench = Bench::new()?;
    let start = Instant::now(); // The programs may have had to be built.
    let (tally, next) = (Mutex::new(Tally::default()), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..config.at_once {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= config.pairs {
                        break;
                    }
                    let outcome = pair(&bench, config.seed, number);
                    let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
                    match outcome {
                        Ok(figures) => {
                            figures.into_iter().for_each(|name| *tally.figures.entry(name).or_default() += 1)
                        }
                        Err(error) => {
                            tally.violations.push(format!("pair {number} of seed {}: {error:#}", config.seed));
                        }
                    }
                    if tally.violations.len() >= ENOUGH {
                        break;
                    }
                }
            });
        }
    });
    let Tally { figures, violations } = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Finding {
        title: "Two runs in one directory".into(),
        cases: next.into_inner().min(config.pairs),
        seed: config.seed,
        took: start.elapsed(),
        figures: figures.into_iter().map(|(name, count)| (name.to_owned(), count.to_string())).collect(),
        violations,
    })
}

/// One pair; what is to be counted of it.
fn pair(bench: &Bench, seed: u64, number: u64) -> anyhow::Result<Vec<&'static str>> {
    let mut random = Stream::keyed("tributary torture pairs", &[seed, number]);
    let meetings =
        [Meeting::Start(random.below(600)), Meeting::Chunk, Meeting::Complete, Meeting::Checkpoint, Meeting::Model];
    // Every meeting in turn; of each, every second first run is killed.
    let (meeting, killed) = (meetings[number as usize % meetings.len()], number / meetings.len() as u64 % 2 == 1);
    let shape = random.below(2) as usize;
    let place = tempfile::tempdir()?;
    let mut first = Run::new(bench, place.path(), "first", shape, &mut random)?;
    let mut second = Run::new(bench, place.path(), "second", 1 - shape, &mut random)?;
    let story = || format!("the second started at {meeting:?} of the first, killed: {killed}");

    first.start(&[])?;
    first.wait_for(meeting)?;
    if killed {
        first.kill()?;
    }
    second.start(&[])?;
    let second_end = second.end()?;
    let first_end = match killed && first.dir.join("runs/latest").exists() {
        true => {
            first.start(&["--resume".into()])?;
            first.end()?
        }
        false => first.end()?,
    };
    let mut figures = vec![first.verdict(first_end, bench).with_context(story)?];
    figures.push(second.verdict(second_end, bench).with_context(story)?);
    // Nobody was in the way of a first run that was not killed.
    ensure!(
        killed || first_end.success(),
        "the first run ended with {first_end}; {}; it said:\n{}",
        story(),
        first.log()
    );
    let left = process::left_in(place.path(), LIMIT);
    ensure!(left.is_empty(), "processes are left: {left:?}");
    if killed {
        figures.push("first runs killed and resumed");
    }
    Ok(figures)
}

/// One of the two runs, in a folder of its own.
struct Run<'a> {
    program: PathBuf,
    bench: &'a Bench,
    dir: PathBuf,
    chunks: PathBuf,
    shape: usize,
    arguments: Vec<String>,
    orchestrator: Option<Orchestrator>,
}

impl<'a> Run<'a> {
    fn new(bench: &'a Bench, place: &Path, name: &str, shape: usize, random: &mut Stream) -> anyhow::Result<Run<'a>> {
        let dir = place.join(name);
        fs::create_dir(&dir)?;
        symlink(bench.path().join("samples"), dir.join("samples"))?;
        let chunks = place.join("chunks");
        let arguments = trial::arguments(&dir, &chunks, SHAPES[shape], random);
        let program = bench.path().join("orchestrator");
        Ok(Run { program, bench, dir, chunks, shape, arguments, orchestrator: None })
    }

    fn start(&mut self, instead: &[String]) -> anyhow::Result<()> {
        let arguments = if instead.is_empty() { &self.arguments } else { instead };
        self.orchestrator = Some(Orchestrator::start(&self.program, &self.dir, arguments)?);
        Ok(())
    }

    fn orchestrator(&mut self) -> anyhow::Result<&mut Orchestrator> {
        self.orchestrator.as_mut().context("it was not started")
    }

    /// Waits until the run is there, or over.
    fn wait_for(&mut self, meeting: Meeting) -> anyhow::Result<()> {
        let began = Instant::now();
        let has = |dir: &Path, what: &str| {
            let entries = fs::read_dir(dir).into_iter().flatten().flatten();
            entries.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with(what))
        };
        let run = self.dir.join("runs/latest");
        while self.orchestrator()?.ended()?.is_none() {
            ensure!(began.elapsed() < LIMIT, "nothing happens while waiting for {meeting:?}");
            let come = match meeting {
                Meeting::Start(milliseconds) => began.elapsed() >= Duration::from_millis(milliseconds),
                Meeting::Chunk => has(&self.chunks, "chunk-"),
                Meeting::Complete => has(&self.chunks, "_SUCCESS"),
                Meeting::Checkpoint => has(&run.join("checkpoints"), "round-"),
                Meeting::Model => has(&run, "final_cnn_model"),
            };
            if come {
                break;
            }
            thread::sleep(Duration::from_micros(300)); // For processes and files nobody can wait.
        }
        Ok(())
    }

    fn kill(&mut self) -> anyhow::Result<()> {
        for id in self.orchestrator()?.living(Victim::Orchestrator)? {
            process::kill(id);
        }
        self.end().map(drop)
    }

    fn end(&mut self) -> anyhow::Result<ExitStatus> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.orchestrator()?.ended()? {
                return Ok(status);
            }
            ensure!(
                began.elapsed() < LIMIT,
                "the run in `{}` does not end; it said:\n{}",
                self.dir.display(),
                self.log()
            );
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// What became of the run, which must have its own model if it says that all is well, and must have been refused else.
    fn verdict(&self, status: ExitStatus, bench: &Bench) -> anyhow::Result<&'static str> {
        if status.success() {
            let (model, own) = (verdict::model(&self.dir)?, &self.bench.models[self.shape]);
            let others = bench.models.contains(&model);
            ensure!(
                model == *own,
                "WRONG MODEL {model} (another run's: {others}), exit code 0; it said:\n{}",
                self.log()
            );
            return Ok("runs that ended with their own model");
        }
        // A first run that was killed before there was anything to resume is not started again.
        let refused = status.code().is_none_or(|code| REFUSED.contains(&code));
        ensure!(refused, "a run ended with {status}; it said:\n{}", self.log());
        Ok("runs that were refused, or killed at their very beginning")
    }

    fn log(&self) -> String {
        let text = fs::read(self.dir.join("log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}
