//! Kills: whole runs of the real programs in which receiver, senders, trainer and orchestrator are killed again and
//! again (SIGKILL), at any time and at the worst ones: right after their start, as a file appears, between two phases.
//! However often, the run must end with every sample once, with the model of an undisturbed run, and with nothing left
//! behind.

pub mod pairs;
mod plan;
mod process;
mod run;
mod trial;
mod verdict;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use dataset::Split;
use sample::Samples;
use tempfile::TempDir;

use crate::{Finding, programs, samples, try_many};

/// What decides the model of a run, as far as it varies here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    samples: u64,
    rounds: u32,
}

const SHAPES: [Shape; 2] = [Shape { samples: 240, rounds: 2 }, Shape { samples: 320, rounds: 3 }];

/// No step of a run takes longer, also not on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);
/// Where all trials take place: the programs, installed into a directory so that none of them looks for a checkout; the
/// data; and an undisturbed run of each shape.
#[derive(Debug)]
struct Bench {
    dir: TempDir,
    models: Vec<String>,
}

/// Kills living processes, so many, in trials of which `at_once` run at the same time; those under way when the last one
/// is counted are finished. What happens in each is decided by the seed.
pub fn run(cases: u64, seed: u64, at_once: usize) -> anyhow::Result<Finding> {
    let bench = Bench::new()?;
    Ok(try_many(cases, at_once, |number| trial::run(&bench, seed, number)))
}

impl Bench {
    fn new() -> anyhow::Result<Bench> {
        let dir = programs::install()?;
        for (split, first, end) in [(Split::Train, 0, 400), (Split::Test, 10_000, 10_050)] {
            let Samples { labels, images } = samples::samples(first, end);
            dataset::write_idx(&dir.path().join("samples"), split, &images, &labels)?;
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

    fn undisturbed(&self, shape: usize) -> PathBuf {
        self.path().join(format!("undisturbed-{shape}"))
    }
}
