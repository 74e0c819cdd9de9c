//! A place to train in: a chunk directory written by the real store, a small test set, and the real binary.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use dataset::{PIXELS, Split, random::Stream};
use store::{DatasetId, Mode, Store};
use tempfile::TempDir;

/// Samples received. Neither partitions nor minibatches come out even.
pub(crate) const N: usize = 250;

pub(crate) struct Place {
    dir: TempDir,
}

impl Place {
    /// With a test set and nothing received.
    pub(crate) fn new() -> Self {
        let place = Place { dir: tempfile::tempdir().unwrap() };
        let (labels, images) = blobs(1, 100);
        dataset::write_idx(&place.path("blobs"), Split::Test, &images, &labels).unwrap();
        place
    }

    /// With all samples received in the plainest way.
    pub(crate) fn received() -> Self {
        let place = Self::new();
        place.receive(100, &[("one", 0, N)]);
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Receives the streams (name, first, end), a few samples of each in turn, in chunks of this size.
    pub(crate) fn receive(&self, samples_per_chunk: usize, streams: &[(&str, usize, usize)]) {
        let dataset = DatasetId { name: "blobs".into(), digest: "00".repeat(32) };
        receive(&self.path("chunks"), &dataset, 0, samples_per_chunk, streams);
    }

    /// Receives other samples, as [`received`](Self::received) does.
    pub(crate) fn receive_others(&self) {
        let dataset = DatasetId { name: "blobs".into(), digest: "00".repeat(32) };
        receive(&self.path("chunks"), &dataset, 2, 100, &[("one", 0, N)]);
    }

    /// The trainer with these flags, and those that every test needs.
    pub(crate) fn command(&self, flags: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trainer"));
        command.current_dir(self.dir.path()).args(flags).stdin(Stdio::null());
        command.env_remove("MNIST_DIR").env_remove("RUST_LOG");
        command
    }

    /// A new run in `run_dir`.
    pub(crate) fn train(&self, run_dir: &str, flags: &[&str]) -> Command {
        let mut command = self.command(&["--dir", "chunks", "--test-data", "blobs", "--run-dir", run_dir]);
        for default in [["--partitions", "3"], ["--rounds", "2"], ["--batch-size", "16"]] {
            if !flags.contains(&default[0]) {
                command.args(default);
            }
        }
        command.args(flags);
        command
    }

    /// The hash of the final model of a run that must succeed.
    pub(crate) fn hash_of(&self, run_dir: &str, flags: &[&str]) -> String {
        succeed(&mut self.train(run_dir, flags));
        self.summary(run_dir)["model_sha256"].as_str().unwrap().to_owned()
    }

    pub(crate) fn summary(&self, run_dir: &str) -> serde_json::Value {
        serde_json::from_slice(&fs::read(self.path(run_dir).join("summary.json")).unwrap()).unwrap()
    }
}

/// Receives samples of this kind.
pub(crate) fn receive(
    dir: &Path,
    dataset: &DatasetId,
    kind: u64,
    samples_per_chunk: usize,
    streams: &[(&str, usize, usize)],
) {
    let (labels, images) = blobs(kind, N);
    let mut store = Store::open(dir, Mode::Fresh, samples_per_chunk).unwrap();
    for (name, first, end) in streams {
        store.open_stream(name, dataset, *first as u64, *end as u64).unwrap();
    }
    for step in (0..N).step_by(7) {
        for (name, first, end) in streams {
            let range = first + step..(first + step + 7).min(*end);
            if !range.is_empty() {
                let images = &images[range.start * PIXELS..range.end * PIXELS];
                store.append(name, range.start as u64, &labels[range.clone()], images).unwrap();
            }
        }
    }
    while store.has_pending() {
        store.commit().unwrap();
    }
    store.complete(None, 0.5).unwrap();
}

/// Images of one bright square each, somewhere near a place that tells the label, on noise.
fn blobs(kind: u64, count: usize) -> (Vec<u8>, Vec<u8>) {
    let mut random = Stream::keyed("tributary trainer blobs", &[kind]);
    let labels: Vec<u8> = (0..count).map(|_| random.below(10) as u8).collect();
    let mut images = Vec::with_capacity(count * PIXELS);
    for &label in &labels {
        let label = u64::from(label);
        let (top, left) = (label / 5 * 13 + random.below(6), label % 5 * 5 + random.below(3));
        images.extend((0..PIXELS as u64).map(|pixel| {
            let ink = (top..top + 8).contains(&(pixel / 28)) && (left..left + 5).contains(&(pixel % 28));
            if ink { 255 } else { random.below(100) as u8 }
        }));
    }
    (labels, images)
}

/// Runs a command that must succeed; its stdout.
#[track_caller]
pub(crate) fn succeed(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(status.success(), "{status}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

/// Runs a command that must fail with this exit code and one line on stderr that holds `expect`; log lines, which
/// begin with a time, do not count.
#[track_caller]
pub(crate) fn fail(command: &mut Command, code: i32, expect: &str) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(code), "{stderr}{}", String::from_utf8_lossy(&stdout));
    let errors: Vec<&str> = stderr.lines().filter(|line| line.starts_with("trainer: ")).collect();
    assert_eq!(errors.len(), 1, "{stderr}");
    assert!(errors[0].contains(expect), "{stderr}");
}
