//! The real programs, run as a user runs them, on real MNIST.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, ensure};
use cli::event::Event;
use serde::Deserialize;
use torture::programs::{self, Receiver};

use crate::{child::Killed, mnist_dir};

/// No program is given longer.
pub const LIMIT: Duration = Duration::from_secs(30 * 60);

/// A program, quiet unless something is wrong.
///
/// # Errors
/// When it cannot be built.
pub fn command(name: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(programs::path(name)?);
    command.env("RUST_LOG", "warn").stdin(Stdio::null());
    Ok(command)
}

/// What one sender and the receiver showed.
#[derive(Clone, Copy, Debug)]
pub struct Ingest {
    /// From the first sample received to a complete chunk directory.
    pub seconds: f64,
    /// Peak memory of the receiver in MB.
    pub receiver: f64,
    /// Peak memory of the sender in MB.
    pub sender: f64,
}

/// Streams so many samples, without simulated delay, into the chunk directory `chunks`.
///
/// # Errors
/// When one of the two fails.
pub fn ingest(chunks: &Path, samples: u64) -> anyhow::Result<Ingest> {
    let (receiver, address) = Receiver::start(chunks, &[])?;
    let mut sender = command("sender")?;
    sender.args([&format!("--connect={address}"), &format!("--samples={samples}")]);
    sender.args(["--dataset=mnist", "--batch-delay=0ms", "--json", "--data"]).arg(mnist_dir());
    sender.arg("--key").arg(programs::key(chunks)).stdout(Stdio::null());
    let mut sender = Killed(sender.spawn().context("failed to start the sender")?);
    let (mut receiver_peak, mut sender_peak) = (None, None);
    let id = receiver.id();
    let seconds = follow(receiver, || {
        // A peak only grows, so the last one seen is that of the whole life, but for its very end.
        receiver_peak = peak_memory(id).or(receiver_peak);
        sender_peak = peak_memory(sender.0.id()).or(sender_peak);
    })?;
    let status = sender.end(LIMIT)?;
    ensure!(status.success(), "the sender failed: {status}");
    let unseen = "the memory of a process was never seen; /proc has it on Linux only";
    Ok(Ingest { seconds, receiver: receiver_peak.context(unseen)?, sender: sender_peak.context(unseen)? })
}

/// Follows a receiver to its end, which must be a good one; returns the seconds from the first sample received to a
/// complete chunk directory.
///
/// # Errors
/// When it fails or says nothing for long.
pub fn follow(receiver: Receiver, mut on_chunk: impl FnMut()) -> anyhow::Result<f64> {
    let mut complete = None;
    while let Some(event) = receiver.event()? {
        match event {
            Event::Stored { .. } => on_chunk(),
            Event::Complete { seconds, .. } => complete = Some(seconds),
            _ => {}
        }
    }
    let code = receiver.code()?;
    ensure!(code == Some(0), "the receiver ended with {code:?}");
    complete.context("the receiver did not say that the directory is complete")
}

/// What a run's `summary.json` says.
#[derive(Clone, Debug, Deserialize)]
pub struct Summary {
    /// Share of the test set that is right.
    pub test_accuracy: f64,
    /// Where the time went.
    pub seconds: Seconds,
    /// How fast it was.
    pub samples_per_second: Rates,
}

/// See [`Summary`].
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "trainer::summary documents them")]
pub struct Seconds {
    pub send: f64,
    pub train: f64,
    pub evaluate: f64,
}

/// See [`Summary`].
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "trainer::summary documents them")]
pub struct Rates {
    pub train: f64,
}

impl Summary {
    /// That of a run folder.
    ///
    /// # Errors
    /// When there is none.
    pub fn of(run: &Path) -> anyhow::Result<Summary> {
        let path = run.join("summary.json");
        let text = fs::read(&path).with_context(|| format!("failed to read `{}`", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("`{}` is not as expected", path.display()))
    }
}

/// Trains on a chunk directory with these flags; returns the summary and the trainer's peak memory in MB.
///
/// # Errors
/// When the trainer fails.
pub fn train(chunks: &Path, flags: &[String]) -> anyhow::Result<(Summary, f64)> {
    let folder = tempfile::tempdir()?;
    let run = folder.path().join("run");
    let mut trainer = command("trainer")?;
    trainer.args(["--json", "--test-data"]).arg(mnist_dir()).args(flags);
    trainer.arg("--dir").arg(chunks).arg("--run-dir").arg(&run).stdout(Stdio::null());
    let mut trainer = Killed(trainer.spawn().context("failed to start the trainer")?);
    let mut peak = None;
    let id = trainer.0.id();
    let status = trainer.watch(LIMIT, || peak = peak_memory(id).or(peak))?;
    ensure!(status.success(), "the trainer failed: {status}");
    Ok((Summary::of(&run)?, peak.context("the trainer's memory was never seen")?))
}

/// Peak resident memory of a process in MB; `None` when it is gone.
fn peak_memory(id: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?; // The kernel's kB are 1024 bytes.
    Some(kib * 1024.0 / 1e6)
}
