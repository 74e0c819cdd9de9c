//! Kills: whole runs of the real programs in which receiver, senders, trainer and orchestrator are killed again and
//! again (SIGKILL), at any time and at the worst ones: right after their start, as a file appears, between two phases.
//! However often, the run must end with every sample once, with the model of an undisturbed run, and with nothing left
//! behind.

pub mod pairs;
mod plan;
mod process;
mod trial;
mod verdict;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use anyhow::Context;
use dataset::{Split, random::Stream};
use tempfile::TempDir;

use crate::{Finding, programs, samples};
use plan::Kill;

/// How many kills.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Kills, of living processes only; the runs under way when the last one strikes are finished, kills and all.
    pub kills: u64,
    /// Decides whom each trial kills, and when.
    pub seed: u64,
    /// Trials at the same time.
    pub at_once: usize,
}

/// What decides the model of a run, as far as it varies here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    samples: u64,
    rounds: u32,
}

const SHAPES: [Shape; 2] = [Shape { samples: 240, rounds: 2 }, Shape { samples: 320, rounds: 3 }];

/// So many violations are enough to know that something is wrong.
const ENOUGH: usize = 3;

/// Where all trials take place: the programs, installed into a directory so that none of them looks for a checkout; the
/// data; and an undisturbed run of each shape.
#[derive(Debug)]
struct Bench {
    dir: TempDir,
    models: Vec<String>,
}

/// What the trials had so far.
#[derive(Debug, Default)]
struct Tally {
    kills: BTreeMap<String, u64>,
    resumed: u64,
    violations: Vec<String>,
}

/// Kills until the number is reached.
///
/// # Errors
/// When the programs cannot be built or an undisturbed run fails. What went wrong otherwise is in the finding.
pub fn run(config: Config) -> anyhow::Result<Finding> {
    let bench = Bench::new()?;
    let start = Instant::now(); // The programs may have had to be built.
    let (tally, trials, kills) = (Mutex::new(Tally::default()), AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..config.at_once {
            scope.spawn(|| {
                while kills.load(Ordering::Relaxed) < config.kills {
                    let trial = trials.fetch_add(1, Ordering::Relaxed);
                    let outcome = trial::run(&bench, config.seed, trial);
                    kills.fetch_add(outcome.kills.len() as u64, Ordering::Relaxed);
                    let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
                    tally.add(outcome);
                    if tally.violations.len() >= ENOUGH {
                        break;
                    }
                }
            });
        }
    });
    let Tally { kills: by_kind, resumed, violations } = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    let runs = [("runs", trials.into_inner()), ("gone on with by --resume", resumed)];
    let runs = runs.into_iter().map(|(name, count)| (name.to_owned(), count));
    Ok(Finding {
        title: "Kills".into(),
        cases: kills.into_inner(),
        seed: config.seed,
        took: start.elapsed(),
        figures: runs.chain(by_kind).map(|(name, count)| (name, count.to_string())).collect(),
        violations,
    })
}

impl Tally {
    fn add(&mut self, outcome: trial::Outcome) {
        for Kill { phase, victim, moment } in outcome.kills {
            for figure in [format!("{victim}s killed"), format!("killed {phase}"), format!("killed {moment}")] {
                *self.kills.entry(figure).or_default() += 1;
            }
        }
        self.resumed += outcome.resumed;
        self.violations.extend(outcome.violations);
    }
}

impl Bench {
    fn new() -> anyhow::Result<Bench> {
        let dir = tempfile::tempdir()?;
        for name in ["receiver", "sender", "trainer", "orchestrator"] {
            let (built, installed) = (programs::path(name)?, dir.path().join(name));
            fs::hard_link(&built, &installed)
                .or_else(|_| fs::copy(&built, &installed).map(drop))
                .with_context(|| format!("failed to install `{}`", built.display()))?;
        }
        for (split, first, end) in [(Split::Train, 0, 400), (Split::Test, 10_000, 10_050)] {
            let source = samples::source("", first, end);
            dataset::write_idx(&dir.path().join("samples"), split, &source.images, &source.labels)?;
        }
        let mut bench = Bench { dir, models: Vec::new() };
        for index in 0..SHAPES.len() {
            let model = trial::undisturbed(&bench, index)?;
            bench.models.push(model);
        }
        Ok(bench)
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The folder of the undisturbed run.
    fn undisturbed(&self, shape: usize) -> PathBuf {
        self.path().join(format!("undisturbed-{shape}"))
    }
}
