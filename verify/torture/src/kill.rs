//! Kills: whole runs of the real programs in which receiver, senders, trainer and orchestrator are killed again and
//! again (SIGKILL), at any time and at the worst ones: right after their start, as a file appears, between two phases.
//! However often, the run must end with every sample once, with the model of an undisturbed run, and with nothing left
//! behind. Some runs are live: they train while samples arrive.

pub mod pairs;
mod plan;
mod process;
mod run;
pub mod schedules;
mod trial;
mod verdict;

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, ensure};
use dataset::Split;
use sample::Samples;
use tempfile::TempDir;

use crate::{Finding, programs, samples, try_many};

/// What decides the model of a run, as far as it varies here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    samples: u64,
    rounds: u32,
    /// Of a live run.
    live: Option<Live>,
}

/// What a live run trains on in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Live {
    samples_per_round: u64,
    replay: &'static str,
}

/// Those of live runs come last. The last slice of one of them is short.
const SHAPES: [Shape; 4] = [
    Shape { samples: 240, rounds: 2, live: None },
    Shape { samples: 320, rounds: 3, live: None },
    Shape { samples: 260, rounds: 6, live: Some(Live { samples_per_round: 50, replay: "reservoir:60" }) },
    Shape { samples: 320, rounds: 8, live: Some(Live { samples_per_round: 40, replay: "sliding:70" }) },
];

impl Shape {
    /// The flags that decide the model, and their like.
    fn training(self) -> Vec<String> {
        let mut flags = vec!["--partitions=2".into()];
        match self.live {
            Some(Live { samples_per_round, replay }) => {
                flags.extend(["--live".into(), format!("--replay={replay}")]);
                flags.push(format!("--samples-per-round={samples_per_round}"));
            }
            None => flags.push(format!("--rounds={}", self.rounds)),
        }
        flags
    }
}

/// Samples that there are to send.
const TRAINING_SAMPLES: u64 = 400;

/// No step of a run takes longer, also not on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

/// Where all trials take place: the programs, installed into a directory so that none of them looks for a checkout; the
/// data; and an undisturbed run of each shape, whose model every other must have. For a live run, it must be that of the
/// replay.
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
        for (split, first, end) in [(Split::Train, 0, TRAINING_SAMPLES), (Split::Test, 10_000, 10_050)] {
            let Samples { labels, images } = samples::samples(first, end);
            dataset::write_idx(&dir.path().join("samples"), split, &images, &labels)?;
        }
        let mut bench = Bench { dir, models: Vec::new() };
        for (index, shape) in SHAPES.iter().enumerate() {
            let model = trial::undisturbed(&bench, index)?;
            if shape.live.is_some() {
                let replayed = bench.replay(index, &bench.undisturbed(index).join("chunks"))?;
                ensure!(
                    replayed == model,
                    "the replay of an undisturbed live run has the model {replayed}, not {model}"
                );
            }
            bench.models.push(model);
        }
        Ok(bench)
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The model that the trainer alone makes of a chunk directory.
    fn replay(&self, shape: usize, chunks: &Path) -> anyhow::Result<String> {
        let dir = tempfile::tempdir()?;
        let mut trainer = Command::new(self.path().join("trainer"));
        trainer.args(SHAPES[shape].training()).arg("--dir").arg(chunks);
        trainer.arg("--test-data").arg(self.path().join("samples")).arg("--run-dir=run");
        trainer.current_dir(dir.path()).env_remove("RUST_LOG").stdin(Stdio::null());
        let output = trainer.output().context("failed to start the trainer")?;
        ensure!(output.status.success(), "the replay failed: {}", String::from_utf8_lossy(&output.stderr));
        verdict::model_of(&dir.path().join("run"))
    }

    fn undisturbed(&self, shape: usize) -> PathBuf {
        self.path().join(format!("undisturbed-{shape}"))
    }
}
