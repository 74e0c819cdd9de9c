//! The real programs, run as a user runs them, on real MNIST.

use std::{path::Path, process::Command, thread, time::Duration};

use anyhow::{Context, anyhow};
use run_folder::Summary;
use torture::programs::{self, Receiver};

use crate::{child, mnist_dir};

pub(crate) const LIMIT: Duration = Duration::from_secs(30 * 60);

pub(crate) fn command(name: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(programs::path(name)?);
    command.env("RUST_LOG", "warn");
    Ok(command)
}

/// What one sender and the receiver showed; memory is at its peak, in MB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ingest {
    /// From the first sample received to a complete chunk directory.
    pub(crate) seconds: f64,
    pub(crate) receiver: f64,
    pub(crate) sender: f64,
}

/// Streams so many samples, with this simulated delay of each batch, into the chunk directory `chunks`.
pub(crate) fn ingest(chunks: &Path, samples: u64, delay: &str) -> anyhow::Result<Ingest> {
    let (receiver, address) = Receiver::start(chunks, &[])?;
    let mut sender = command("sender")?;
    sender.args([&format!("--connect={address}"), &format!("--samples={samples}")]);
    sender.args(["--dataset=mnist", "--json", "--data"]).arg(mnist_dir()).arg(format!("--batch-delay={delay}"));
    sender.arg("--key").arg(programs::key(chunks));
    let (id, mut receiver_peak, mut sender_peak) = (receiver.id(), None, None);
    // A peak only grows, so the last one seen is that of the whole life, but for its very end.
    let seconds = thread::scope(|scope| {
        let sending = scope.spawn(|| child::watched(sender, LIMIT, |id| sender_peak = peak_memory(id).or(sender_peak)));
        let seconds = receiver.follow(|| receiver_peak = peak_memory(id).or(receiver_peak))?;
        sending.join().map_err(|_| anyhow!("watching the sender panicked"))??;
        anyhow::Ok(seconds)
    })?;
    let unseen = "the memory of a process was never seen; /proc has it on Linux only";
    Ok(Ingest { seconds, receiver: receiver_peak.context(unseen)?, sender: sender_peak.context(unseen)? })
}

pub(crate) fn summary_of(run: &Path) -> anyhow::Result<Summary> {
    Summary::read(run)?.with_context(|| format!("`{}` holds no finished run", run.display()))
}

/// Trains on a chunk directory with these flags; returns the summary and the trainer's peak memory in MB.
pub(crate) fn train(chunks: &Path, flags: &[String]) -> anyhow::Result<(Summary, f64)> {
    let folder = tempfile::tempdir()?;
    let run = folder.path().join("run");
    let mut trainer = command("trainer")?;
    trainer.args(["--json", "--test-data"]).arg(mnist_dir()).args(flags);
    trainer.arg("--dir").arg(chunks).arg("--run-dir").arg(&run);
    let mut peak = None;
    child::watched(trainer, LIMIT, |id| peak = peak_memory(id).or(peak))?;
    Ok((summary_of(&run)?, peak.context("the trainer's memory was never seen")?))
}

/// Peak resident memory of a process in MB; `None` when it is gone.
fn peak_memory(id: u32) -> Option<f64> {
    programs::peak_memory(id).map(|bytes| bytes as f64 / 1e6)
}
