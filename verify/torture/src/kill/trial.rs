//! One run, killed again and again, and gone on with until it succeeds.

use std::{collections::BTreeSet, fs, path::Path, time::Instant};

use anyhow::{Context, bail, ensure};
use sample::random::Stream;

use super::{
    Bench, LIMIT, SHAPES,
    plan::{File, Kill, Phase, Sign, Victim, plan},
    process,
    run::Run,
    verdict,
};
use crate::{Finding, look_for};

pub(super) fn run(bench: &Bench, seed: u64, number: u64) -> Finding {
    let mut finding = Finding::default();
    if let Err(error) = in_a_folder(bench, seed, number, &mut finding) {
        finding.violations.push(format!("trial {number} of seed {seed}: {error:#}"));
    }
    finding
}

fn in_a_folder(bench: &Bench, seed: u64, number: u64, finding: &mut Finding) -> anyhow::Result<()> {
    let mut random = Stream::keyed("tributary torture kill", &[seed, number]);
    let dir = tempfile::tempdir()?;
    let chunks = dir.path().join("chunks");
    let shape = random.below(SHAPES.len() as u64) as usize;
    if random.below(2) == 0 {
        let other = (shape + 1) % SHAPES.len();
        leave_an_earlier_run(&bench.undisturbed(other).join("chunks"), &chunks, random.below(2) == 0)?;
    }
    finding.count(if SHAPES[shape].live.is_some() { "live runs" } else { "runs that train when all is there" });
    let run = Run::start(bench, dir.path(), &chunks, shape, &mut random)?;
    let mut trial = Trial { run, random, chunks: BTreeSet::new(), logged: 0, killed: Vec::new(), finding };
    let result = trial.run(&bench.models[shape]);
    result.with_context(|| format!("after {:?}; {}", trial.killed, trial.run.last_words()))
}

/// Runs a shape without any kill, in a folder of the bench that stays, and returns the model's hash.
pub(super) fn undisturbed(bench: &Bench, shape: usize) -> anyhow::Result<String> {
    let (dir, mut random) = (bench.undisturbed(shape), Stream::keyed("tributary torture undisturbed", &[]));
    let mut run = Run::start(bench, &dir, &dir.join("chunks"), shape, &mut random)?;
    let status = run.end()?;
    ensure!(status.success(), "an undisturbed run failed; {}", run.last_words());
    verdict::model(&dir)
}

struct Trial<'a> {
    run: Run,
    random: Stream,
    /// Chunks of this run that were there.
    chunks: BTreeSet<String>,
    /// How much of the log earlier orchestrators have written.
    logged: usize,
    killed: Vec<Kill>,
    finding: &'a mut Finding,
}

impl Trial<'_> {
    fn run(&mut self, model_sha256: &str) -> anyhow::Result<()> {
        let is_live = SHAPES[self.run.shape].live.is_some();
        // Both at once: what is planned must not depend on what was hit.
        let plans = [Phase::Streaming, Phase::Training].map(|phase| plan(&mut self.random, phase, is_live));
        for plan in plans {
            for kill in plan {
                let before = self.run.living(kill.victim)?;
                if !self.wait(kill, &before)? {
                    break;
                }
                self.strike(kill, &before)?;
            }
        }
        look_for("the run does not end", LIMIT, || Ok(self.has_finished()?.then_some(())))?;
        self.look_at_chunks()?;
        verdict::check(&self.run, model_sha256)
    }

    /// Waits for the moment of a kill, with these victims `before`; says whether it came before the phase was over.
    fn wait(&mut self, kill: Kill, before: &[u32]) -> anyhow::Result<bool> {
        let Kill { phase, victim, sign, later } = kill;
        let (files, mut seen) = (self.run.files(), None);
        look_for(&format!("nothing happens for {kill:?}"), LIMIT, || {
            if self.has_finished()? {
                return Ok(Some(false));
            }
            let is_streamed = self.run.is_streamed();
            let is_there = match sign {
                _ if seen.is_some() => true,
                Sign::Nothing => true,
                Sign::Start if victim == Victim::Orchestrator => true, // It is started again as soon as it is killed.
                Sign::Start => self.run.living(victim)?.iter().any(|id| !before.contains(id)),
                Sign::File(file) => self.run.files().difference(&files).any(|(new, _)| *new == file),
            };
            if is_there {
                // The manifest is the end of its phase.
                let is_phase = is_streamed == (phase == Phase::Training) || sign == Sign::File(File::Manifest);
                if is_phase && seen.get_or_insert_with(Instant::now).elapsed() >= later {
                    return Ok(Some(true));
                }
            }
            Ok((is_streamed && phase == Phase::Streaming).then_some(false))
        })
    }

    /// Kills a living victim: a new one, if it was to be. A killed orchestrator is started again at once.
    fn strike(&mut self, kill: Kill, before: &[u32]) -> anyhow::Result<()> {
        let mut living = self.run.living(kill.victim)?;
        if kill.sign == Sign::Start && kill.victim != Victim::Orchestrator {
            living.retain(|id| !before.contains(id));
        }
        if living.is_empty() || !process::kill(living[self.random.below(living.len() as u64) as usize]) {
            return Ok(());
        }
        self.killed.push(kill);
        self.finding.cases += 1;
        kill.figures().into_iter().for_each(|figure| self.finding.count(figure));
        self.look_at_chunks()?;
        if kill.victim == Victim::Orchestrator {
            self.start_again()?;
        }
        Ok(())
    }

    fn start_again(&mut self) -> anyhow::Result<()> {
        self.logged = self.run.log().len();
        if self.run.start_again()? {
            self.finding.count("gone on with by --resume");
        }
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

    fn look_at_chunks(&mut self) -> anyhow::Result<()> {
        if self.run.has_begun() {
            let present = self.run.files().into_iter().filter(|(file, _)| *file == File::Chunk);
            let present: BTreeSet<String> = present.map(|(_, name)| name).collect();
            let gone: Vec<_> = self.chunks.difference(&present).collect();
            ensure!(gone.is_empty(), "chunks are gone: {gone:?}");
            self.chunks = present;
        }
        Ok(())
    }
}

/// Fills the chunk directory with an earlier run's, complete or as it is when the receiver was killed.
fn leave_an_earlier_run(from: &Path, to: &Path, complete: bool) -> anyhow::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let name = entry?.file_name();
        let file = File::named(&name.to_string_lossy());
        if file == Some(File::Chunk) || (complete && file == Some(File::Manifest)) {
            fs::copy(from.join(&name), to.join(&name))?;
        }
    }
    Ok(())
}
