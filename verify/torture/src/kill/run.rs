//! One run: a folder, and an orchestrator that works in it and is started again when it was killed.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
};

use anyhow::Context;
use sample::random::Stream;

use super::{
    Bench, LIMIT, SHAPES,
    plan::{File, Victim},
    process::{children, lives},
};
use crate::{last_lines, look_for, programs::Killed};

#[derive(Debug)]
pub(super) struct Run {
    pub(super) dir: PathBuf,
    pub(super) chunks: PathBuf,
    pub(super) shape: usize,
    program: PathBuf,
    arguments: Vec<String>,
    orchestrator: Killed,
}

impl Run {
    /// Starts one in the folder `dir`, with the rest drawn from `random`.
    pub(super) fn start(
        bench: &Bench,
        dir: &Path,
        chunks: &Path,
        shape: usize,
        random: &mut Stream,
    ) -> anyhow::Result<Run> {
        fs::create_dir_all(dir)?;
        symlink(bench.path().join("samples"), dir.join("samples"))?;
        let (program, arguments) = (bench.path().join("orchestrator"), arguments(dir, chunks, shape, random));
        let orchestrator = spawn(&program, dir, &arguments)?;
        Ok(Run { dir: dir.to_owned(), chunks: chunks.to_owned(), shape, program, arguments, orchestrator })
    }

    /// Goes on, with `--resume` if there is something to resume; says whether there is.
    pub(super) fn start_again(&mut self) -> anyhow::Result<bool> {
        let (resume, has_begun) = (["--resume".to_owned()], self.folder().exists());
        self.orchestrator = spawn(&self.program, &self.dir, if has_begun { &resume } else { &self.arguments[..] })?;
        Ok(has_begun)
    }

    pub(super) fn folder(&self) -> PathBuf {
        self.dir.join("runs/latest")
    }

    /// Whether what the chunk directory holds is this run's.
    pub(super) fn has_begun(&self) -> bool {
        self.folder().join("data.digest").exists()
    }

    /// Whether the chunk directory is complete, with this run's samples.
    pub(super) fn is_streamed(&self) -> bool {
        self.has_begun() && self.chunks.join("_SUCCESS").exists()
    }

    /// What there is in the chunk directory and the run folder; but for a manifest that may be an earlier run's.
    pub(super) fn files(&self) -> BTreeSet<(File, String)> {
        let dirs = [self.chunks.clone(), self.folder(), self.folder().join("checkpoints")];
        let entries = dirs.iter().flat_map(|dir| fs::read_dir(dir).into_iter().flatten().flatten());
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let files = names.filter_map(|name| Some((File::named(&name)?, name)));
        files.filter(|(file, _)| *file != File::Manifest || self.has_begun()).collect()
    }

    pub(super) fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        self.orchestrator.0.try_wait().context("failed to wait for the orchestrator")
    }

    pub(super) fn end(&mut self) -> anyhow::Result<ExitStatus> {
        look_for("the run does not end", LIMIT, || self.ended())
    }

    /// The living processes of this kind that the orchestrator started; or itself.
    pub(super) fn living(&mut self, victim: Victim) -> anyhow::Result<Vec<u32>> {
        let own = self.orchestrator.0.id();
        Ok(match victim {
            Victim::Orchestrator => self.ended()?.is_none().then_some(own).into_iter().collect(),
            _ => children(own).into_iter().filter(|&id| lives(id, &victim.name())).collect(),
        })
    }

    pub(super) fn log(&self) -> String {
        fs::read(self.dir.join("log")).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    pub(super) fn last_words(&self) -> String {
        format!("it said:\n{}", last_lines(&self.log()))
    }
}

/// Starts an orchestrator in `dir`. What it says is appended to the file `log` there.
fn spawn(program: &Path, dir: &Path, arguments: &[String]) -> anyhow::Result<Killed> {
    let log = fs::File::options().create(true).append(true).open(dir.join("log"))?;
    let mut command = Command::new(program);
    command.args(arguments).current_dir(dir).env_remove("RUST_LOG").env_remove("MNIST_DIR");
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    command.spawn().map(Killed).context("failed to start the orchestrator")
}

/// The flags of a run. Only its shape reaches the model.
fn arguments(dir: &Path, chunks: &Path, shape: usize, random: &mut Stream) -> Vec<String> {
    let shape = SHAPES[shape];
    let senders = match random.below(8) {
        0 if shape.live.is_some() => 1 + random.below(50),
        _ => 1 + random.below(3),
    };
    // About half a second of streaming, and two of a live run: time to be killed in.
    let delay = senders * if shape.live.is_some() { 70 } else { 20 };
    let run = vec![
        format!("--data={}", dir.join("samples").display()),
        format!("--dir={}", chunks.display()),
        format!("--samples={}", shape.samples),
        format!("--senders={senders}"),
        format!("--samples-per-chunk={}", 20 + random.below(31)),
        "--samples-per-batch=10".into(),
        format!("--batch-delay={delay}ms"),
    ];
    [run, shape.training()].concat()
}
