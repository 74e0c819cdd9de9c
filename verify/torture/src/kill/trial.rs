//! One run, killed again and again, and gone on with until it succeeds.

use std::{collections::BTreeSet, fs, path::Path, thread, time::Instant};

use anyhow::{Context, bail, ensure};
use sample::random::Stream;
use tempfile::TempDir;

use super::{
    Bench, LIMIT, LOOK, SHAPES,
    plan::{File, Kill, Moment, Phase, Victim, plan},
    process,
    run::Run,
    verdict,
};
use crate::Tally;

pub(super) fn run(bench: &Bench, seed: u64, number: u64) -> Tally {
    let mut tally = Tally::default();
    tally.count("runs");
    let result = Trial::new(bench, seed, number).and_then(|mut trial| {
        let result = trial.run(bench);
        tally.cases = trial.kills.len() as u64;
        trial.kills.iter().flat_map(|kill| kill.figures()).for_each(|figure| tally.count(figure));
        (0..trial.resumed).for_each(|_| tally.count("gone on with by --resume"));
        result.with_context(|| format!("after {:?}; {}", trial.kills, trial.run.last_words()))
    });
    if let Err(error) = result {
        tally.violations.push(format!("trial {number} of seed {seed}: {error:#}"));
    }
    tally
}

/// Runs a shape without any kill, in a folder of the bench that stays, and returns the model's hash.
pub(super) fn undisturbed(bench: &Bench, shape: usize) -> anyhow::Result<String> {
    let (dir, mut random) = (bench.undisturbed(shape), Stream::keyed("tributary torture undisturbed", &[]));
    let mut run = Run::start(bench, &dir, &dir.join("chunks"), shape, &mut random)?;
    let status = run.end()?;
    ensure!(status.success(), "an undisturbed run failed; {}", run.last_words());
    verdict::model(&dir)
}

struct Trial {
    run: Run,
    /// Removes the run's folder at the end.
    _temporary: TempDir,
    random: Stream,
    kills: Vec<Kill>,
    /// Chunks of this run that were there.
    chunks: BTreeSet<String>,
    resumed: u64,
    /// How much of the log earlier orchestrators have written.
    logged: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    Reached(Option<u32>), // It has come, for this process if for a certain one.
    Over,                 // The phase is over, or the whole run.
}

impl Trial {
    fn new(bench: &Bench, seed: u64, number: u64) -> anyhow::Result<Trial> {
        let mut random = Stream::keyed("tributary torture kill", &[seed, number]);
        let temporary = tempfile::tempdir()?;
        let chunks = temporary.path().join("chunks");
        let shape = random.below(SHAPES.len() as u64) as usize;
        if random.below(2) == 0 {
            leave_an_earlier_run(&bench.undisturbed(1 - shape).join("chunks"), &chunks, random.below(2) == 0)?;
        }
        let run = Run::start(bench, temporary.path(), &chunks, shape, &mut random)?;
        let (kills, chunks) = (Vec::new(), BTreeSet::new());
        Ok(Trial { run, _temporary: temporary, random, kills, chunks, resumed: 0, logged: 0 })
    }

    fn run(&mut self, bench: &Bench) -> anyhow::Result<()> {
        // Both at once: what is planned must not depend on what was hit.
        let plans = [Phase::Streaming, Phase::Training].map(|phase| plan(&mut self.random, phase));
        for plan in plans {
            for kill in plan {
                match self.wait(kill)? {
                    Wait::Reached(process) => self.strike(kill, process)?,
                    Wait::Over => break,
                }
            }
        }
        self.finish()?;
        self.look_at_chunks()?;
        verdict::check(&self.run, &bench.models[self.run.shape])
    }

    fn wait(&mut self, kill: Kill) -> anyhow::Result<Wait> {
        let Kill { phase, victim, moment } = kill;
        let (start, living, files) = (Instant::now(), self.run.living(victim)?, self.files(phase));
        let waits_for_last = moment == Moment::Appears(File::Last) && !files.iter().any(|name| name == "_SUCCESS");
        loop {
            if self.has_finished()? || phase == Phase::Streaming && self.is_streamed() && !waits_for_last {
                return Ok(Wait::Over);
            }
            let has_come = match moment {
                Moment::Started(wait) => {
                    if let Some(new) = self.run.living(victim)?.into_iter().find(|id| !living.contains(id)) {
                        thread::sleep(wait);
                        return Ok(Wait::Reached(Some(new)));
                    }
                    victim == Victim::Orchestrator && self.run.started.elapsed() >= wait
                }
                Moment::After(wait) => start.elapsed() >= wait,
                Moment::Appears(_) if phase == Phase::Training && !self.is_streamed() => false,
                Moment::Appears(file) => {
                    self.files(phase).iter().any(|name| kind(name) == Some(file) && !files.contains(name))
                }
            };
            if has_come {
                return Ok(Wait::Reached(None));
            }
            ensure!(start.elapsed() < LIMIT, "nothing happens while waiting for {kill:?}");
            thread::sleep(LOOK);
        }
    }

    /// Kills this process, or any living victim; a killed orchestrator is started again at once.
    fn strike(&mut self, kill: Kill, process: Option<u32>) -> anyhow::Result<()> {
        let mut living = self.run.living(kill.victim)?;
        living.retain(|&id| process.is_none_or(|process| process == id));
        if living.is_empty() || !process::kill(living[self.random.below(living.len() as u64) as usize]) {
            return Ok(());
        }
        self.kills.push(kill);
        self.look_at_chunks()?;
        if kill.victim == Victim::Orchestrator {
            self.start_again()?;
        }
        Ok(())
    }

    fn start_again(&mut self) -> anyhow::Result<()> {
        self.logged = self.run.log().len();
        self.resumed += u64::from(self.run.start_again()?);
        Ok(())
    }

    /// Whether the run has succeeded. One that gave up because a child died too often is gone on with.
    fn has_finished(&mut self) -> anyhow::Result<bool> {
        let Some(status) = self.run.ended()? else { return Ok(false) };
        if status.success() {
            return Ok(true);
        }
        let log = self.run.log();
        if !log[self.logged.min(log.len())..].contains("(5 of 5)") {
            bail!("the run failed ({status})");
        }
        self.start_again()?;
        Ok(false)
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        let start = Instant::now();
        while !self.has_finished()? {
            ensure!(start.elapsed() < LIMIT, "the run does not end");
            thread::sleep(LOOK);
        }
        Ok(())
    }

    fn look_at_chunks(&mut self) -> anyhow::Result<()> {
        if self.has_begun() {
            let mut present: BTreeSet<String> = self.files(Phase::Streaming).into_iter().collect();
            present.retain(|name| kind(name) == Some(File::Whole));
            let gone: Vec<_> = self.chunks.difference(&present).collect();
            ensure!(gone.is_empty(), "chunks are gone: {gone:?}");
            self.chunks = present;
        }
        Ok(())
    }

    /// Whether what the chunk directory holds is this run's.
    fn has_begun(&self) -> bool {
        self.run.folder().join("data.digest").exists()
    }

    /// Whether the chunk directory is complete, with this run's samples.
    fn is_streamed(&self) -> bool {
        self.has_begun() && self.run.dir.join("chunks/_SUCCESS").exists()
    }

    fn files(&self, phase: Phase) -> Vec<String> {
        let dirs: &[&str] = match phase {
            Phase::Streaming => &["chunks", "runs/latest"],
            Phase::Training => &["runs/latest", "runs/latest/checkpoints"],
        };
        let entries = dirs.iter().flat_map(|dir| fs::read_dir(self.run.dir.join(dir)).into_iter().flatten().flatten());
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let is_of_phase = |name: &String| match name.as_str() {
            "_SUCCESS" => self.is_streamed(), // It may be an earlier run's.
            "final_cnn_model.safetensors" => phase == Phase::Training,
            _ => true,
        };
        names.filter(is_of_phase).collect()
    }
}

/// Fills the chunk directory with an earlier run's, complete or as it is when the receiver was killed.
fn leave_an_earlier_run(from: &Path, to: &Path, complete: bool) -> anyhow::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let name = entry?.file_name();
        let is_chunk = name.to_string_lossy().ends_with(".parquet");
        if is_chunk || (complete && name == "_SUCCESS") {
            fs::copy(from.join(&name), to.join(&name))?;
        }
    }
    Ok(())
}

fn kind(name: &str) -> Option<File> {
    match name {
        "data.digest" => Some(File::First),
        "_SUCCESS" | "final_cnn_model.safetensors" => Some(File::Last),
        _ if name.starts_with(".tmp-") => Some(File::Temporary),
        _ if name.starts_with("chunk-") || name.starts_with("round-") => Some(File::Whole),
        _ => None,
    }
}
