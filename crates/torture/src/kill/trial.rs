//! One run, killed again and again, and gone on with until it succeeds.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use tempfile::TempDir;

use super::{
    Bench, SHAPES, Shape, Stream,
    plan::{File, Kill, Moment, Phase, Victim, plan},
    process::{self, Orchestrator},
    verdict,
};

/// No step of a trial takes longer, also not on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);
/// Between two looks at processes and files, for whose changes nobody can wait.
const LOOK: Duration = Duration::from_micros(300);

/// What became of a trial.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// The kills that hit a living process.
    pub(super) kills: Vec<Kill>,
    /// How often the orchestrator was started with `--resume`.
    pub(super) resumed: u64,
    pub(super) violations: Vec<String>,
}

/// Runs one trial.
pub(super) fn run(bench: &Bench, seed: u64, number: u64) -> Outcome {
    let mut outcome = Outcome::default();
    let result = Trial::new(bench, seed, number).and_then(|mut trial| {
        let result = trial.run();
        (outcome.kills, outcome.resumed) = (trial.kills.clone(), trial.resumed);
        result.with_context(|| format!("after {:?}; it said:\n{}", trial.kills, trial.last_lines()))
    });
    if let Err(error) = result {
        outcome.violations.push(format!("trial {number} of seed {seed}: {error:#}"));
    }
    outcome
}

/// Runs a shape without any kill, in a folder of the bench that stays, and returns the model's hash.
pub(super) fn undisturbed(bench: &Bench, shape: usize) -> anyhow::Result<String> {
    let dir = bench.undisturbed(shape);
    fs::create_dir(&dir)?;
    let random = Stream::keyed("tributary torture undisturbed", &[]);
    let mut trial = Trial::prepare(bench, dir, shape, random)?;
    trial.finish().with_context(|| format!("an undisturbed run failed; it said:\n{}", trial.last_lines()))?;
    verdict::model(&trial.dir)
}

pub(super) struct Trial<'a> {
    bench: &'a Bench,
    /// Removes the folder at the end.
    _temporary: Option<TempDir>,
    dir: PathBuf,
    shape: usize,
    random: Stream,
    arguments: Vec<String>,
    orchestrator: Orchestrator,
    kills: Vec<Kill>,
    /// Chunks of this run that were there.
    chunks: BTreeSet<String>,
    resumed: u64,
    /// How much of the log earlier orchestrators have written.
    logged: usize,
}

/// What a wait for a moment ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// It has come, for this process if for a certain one.
    Reached(Option<u32>),
    /// The phase is over, or the whole run.
    Over,
}

/// What there was when the wait for a moment began.
struct Before {
    time: Instant,
    living: Vec<u32>,
    files: Vec<String>,
}

impl<'a> Trial<'a> {
    fn new(bench: &'a Bench, seed: u64, number: u64) -> anyhow::Result<Trial<'a>> {
        let mut random = Stream::keyed("tributary torture kill", &[seed, number]);
        let temporary = tempfile::tempdir()?;
        let dir = temporary.path().to_owned();
        let shape = random.below(SHAPES.len() as u64) as usize;
        if random.below(2) == 0 {
            leave_an_earlier_run(
                &bench.undisturbed(1 - shape).join("chunks"),
                &dir.join("chunks"),
                random.below(2) == 0,
            )?;
        }
        Ok(Trial { _temporary: Some(temporary), ..Trial::prepare(bench, dir, shape, random)? })
    }

    fn prepare(bench: &'a Bench, dir: PathBuf, shape: usize, mut random: Stream) -> anyhow::Result<Trial<'a>> {
        symlink(bench.path().join("samples"), dir.join("samples"))?;
        let arguments = arguments(&dir, &dir.join("chunks"), SHAPES[shape], &mut random);
        let orchestrator = Orchestrator::start(&bench.path().join("orchestrator"), &dir, &arguments)?;
        Ok(Trial {
            bench,
            _temporary: None,
            dir,
            shape,
            random,
            arguments,
            orchestrator,
            kills: Vec::new(),
            chunks: BTreeSet::new(),
            resumed: 0,
            logged: 0,
        })
    }

    fn run(&mut self) -> anyhow::Result<()> {
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
        verdict::check(&self.dir, SHAPES[self.shape], &self.bench.models[self.shape])
    }

    /// Waits for the moment of a kill.
    fn wait(&mut self, kill: Kill) -> anyhow::Result<Wait> {
        let before = Before {
            time: Instant::now(),
            living: self.orchestrator.living(kill.victim)?,
            files: self.files(kill.phase),
        };
        let waits_for_last =
            kill.moment == Moment::Appears(File::Last) && !before.files.iter().any(|name| name == "_SUCCESS");
        loop {
            if self.has_finished()? || (kill.phase == Phase::Streaming && self.is_streamed() && !waits_for_last) {
                return Ok(Wait::Over);
            }
            if let Moment::Started(wait) = kill.moment
                && let Some(new) =
                    self.orchestrator.living(kill.victim)?.into_iter().find(|id| !before.living.contains(id))
            {
                thread::sleep(wait);
                return Ok(Wait::Reached(Some(new)));
            }
            if self.has_come(kill, &before) {
                return Ok(Wait::Reached(None));
            }
            ensure!(before.time.elapsed() < LIMIT, "nothing happens while waiting for {kill:?}");
            thread::sleep(LOOK);
        }
    }

    fn has_come(&self, kill: Kill, before: &Before) -> bool {
        match kill.moment {
            Moment::Started(wait) => kill.victim == Victim::Orchestrator && self.orchestrator.started.elapsed() >= wait,
            Moment::After(wait) => before.time.elapsed() >= wait,
            Moment::Appears(_) if kill.phase == Phase::Training && !self.is_streamed() => false,
            Moment::Appears(file) => {
                self.files(kill.phase).iter().any(|name| kind(name) == Some(file) && !before.files.contains(name))
            }
        }
    }

    /// Kills this process, or any living victim; a killed orchestrator is started again at once.
    fn strike(&mut self, kill: Kill, process: Option<u32>) -> anyhow::Result<()> {
        let mut living = self.orchestrator.living(kill.victim)?;
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
        self.logged = self.log().len();
        let resume = ["--resume".to_owned()];
        // Killed so early that there is no run yet, it is started as the first time.
        let exists = self.dir.join("runs/latest").exists();
        let arguments = if exists { &resume[..] } else { &self.arguments };
        self.orchestrator = Orchestrator::start(&self.bench.path().join("orchestrator"), &self.dir, arguments)?;
        self.resumed += u64::from(exists);
        Ok(())
    }

    /// Whether the run has succeeded. One that gave up because a child died too often is gone on with.
    fn has_finished(&mut self) -> anyhow::Result<bool> {
        let Some(status) = self.orchestrator.ended()? else { return Ok(false) };
        if status.success() {
            return Ok(true);
        }
        let log = self.log();
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
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Checks that no chunk of this run is gone: its samples were acknowledged.
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
        self.dir.join("runs/latest/data.digest").exists()
    }

    /// Whether the chunk directory is complete, with this run's samples.
    fn is_streamed(&self) -> bool {
        self.has_begun() && self.dir.join("chunks/_SUCCESS").exists()
    }

    /// The names of the files that a phase writes.
    fn files(&self, phase: Phase) -> Vec<String> {
        let dirs: &[&str] = match phase {
            Phase::Streaming => &["chunks", "runs/latest"],
            Phase::Training => &["runs/latest", "runs/latest/checkpoints"],
        };
        let entries = dirs.iter().flat_map(|dir| fs::read_dir(self.dir.join(dir)).into_iter().flatten().flatten());
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let is_of_phase = |name: &String| match name.as_str() {
            "_SUCCESS" => self.is_streamed(), // It may be an earlier run's.
            "final_cnn_model.safetensors" => phase == Phase::Training,
            _ => true,
        };
        names.filter(is_of_phase).collect()
    }

    fn log(&self) -> String {
        fs::read(self.dir.join("log")).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    fn last_lines(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

/// The flags of a run. Only its shape reaches the model.
pub(super) fn arguments(dir: &Path, chunks: &Path, shape: Shape, random: &mut Stream) -> Vec<String> {
    let senders = 1 + random.below(3);
    vec![
        format!("--data={}", dir.join("samples").display()),
        format!("--dir={}", chunks.display()),
        format!("--samples={}", shape.samples),
        format!("--rounds={}", shape.rounds),
        "--partitions=2".into(),
        format!("--senders={senders}"),
        format!("--samples-per-chunk={}", 20 + random.below(31)),
        "--samples-per-batch=10".into(),
        // About half a second of streaming: time to be killed in.
        format!("--batch-delay={}ms", 20 * senders),
    ]
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

/// What a file's name says about it.
fn kind(name: &str) -> Option<File> {
    match name {
        "data.digest" => Some(File::First),
        "_SUCCESS" | "final_cnn_model.safetensors" => Some(File::Last),
        _ if name.starts_with(".tmp-") => Some(File::Temporary),
        _ if name.starts_with("chunk-") || name.starts_with("round-") => Some(File::Whole),
        _ => None,
    }
}
