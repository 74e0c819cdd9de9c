//! A place to train in: a chunk directory written by the real store, a small test set, and the real binary.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use dataset::Split;
use sample::{Extent, PIXELS, Samples, random};
use serde_json::Value;
use store::{DatasetId, Mode, Store};
use tempfile::TempDir;

/// Samples received. Neither partitions nor minibatches come out even.
pub(crate) const N: usize = 250;

/// A stream: its name, and its first sample and the end of its samples in the dataset.
type Stream<'a> = (&'a str, usize, usize);

pub(crate) struct Place {
    dir: TempDir,
}

impl Place {
    /// With a test set and nothing received.
    pub(crate) fn new() -> Self {
        let place = Place { dir: tempfile::tempdir().unwrap() };
        let Samples { labels, images } = blobs(1, 100);
        dataset::write_idx(&place.path("blobs"), Split::Test, &images, &labels).unwrap();
        place
    }

    /// With all samples received in the plainest way.
    pub(crate) fn received() -> Self {
        let place = Self::new();
        place.receive(100, &[("one", 0, N)]);
        place
    }

    /// With all samples received, and a model of one round in `run`.
    pub(crate) fn trained() -> Self {
        let place = Self::received();
        place.hash_of("run", &["--rounds", "1"]);
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub(crate) fn chunks(&self) -> Vec<String> {
        self.names("chunks").into_iter().filter(|name| name.ends_with(".parquet")).collect()
    }

    pub(crate) fn damage(&self, name: &str) {
        let mut bytes = fs::read(self.path(name)).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(self.path(name), bytes).unwrap();
    }

    /// Receives the streams, a few samples of each in turn, in chunks of this size.
    pub(crate) fn receive(&self, samples_per_chunk: usize, streams: &[Stream<'_>]) {
        self.receive_of(id("blobs", "00".repeat(32)), &blobs(0, N), samples_per_chunk, streams);
    }

    /// Receives streams of these samples, as those of a dataset.
    pub(crate) fn receive_of(&self, dataset: DatasetId, samples: &Samples, per_chunk: usize, streams: &[Stream<'_>]) {
        let mut store = Store::open(&self.path("chunks"), Mode::Fresh, per_chunk).unwrap();
        for (name, first, end) in streams {
            store.open_stream(name, &dataset, Extent::range(*first as u64..*end as u64)).unwrap();
        }
        for step in (0..samples.len()).step_by(7) {
            for (name, first, end) in streams {
                let range = first + step..(first + step + 7).min(*end);
                if !range.is_empty() {
                    store.append(name, range.start as u64, samples.slice(range)).unwrap();
                }
            }
        }
        while store.has_pending() {
            store.commit().unwrap();
        }
        store.complete(None, 0.5).unwrap();
    }

    /// The trainer with these flags, and those that every test needs.
    pub(crate) fn command(&self, flags: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trainer"));
        command.current_dir(self.dir.path()).args(flags).stdin(Stdio::null());
        // No folder for temporary files is needed.
        command.env_remove("MNIST_DIR").env_remove("RUST_LOG").env("TMPDIR", self.path("no/such/folder"));
        command
    }

    #[track_caller]
    pub(crate) fn says(&self, flags: &[&str]) -> String {
        succeed(&mut self.command(flags))
    }

    #[track_caller]
    pub(crate) fn fails(&self, flags: &[&str], code: i32, expect: &str) {
        fail(&mut self.command(flags), code, expect);
    }

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

    #[track_caller]
    pub(crate) fn hash_of(&self, run_dir: &str, flags: &[&str]) -> String {
        succeed(&mut self.train(run_dir, flags));
        self.summary(run_dir)["model_sha256"].as_str().unwrap().to_owned()
    }

    /// Goes on with a run, which must end with this model.
    #[track_caller]
    pub(crate) fn resumes_to(&self, hash: &str, run_dir: &str, flags: &[&str]) {
        self.says(&[&["--resume", run_dir], flags].concat());
        assert_eq!(self.summary(run_dir)["model_sha256"], hash);
    }

    pub(crate) fn summary(&self, run_dir: &str) -> Value {
        serde_json::from_str(&self.read(&format!("{run_dir}/summary.json"))).unwrap()
    }

    pub(crate) fn rounds(&self, run_dir: &str) -> Vec<Vec<String>> {
        let text = self.read(&format!("{run_dir}/rounds.csv"));
        text.lines().skip(1).map(|row| row.split(',').map(String::from).collect()).collect()
    }
}

pub(crate) fn id(name: &str, digest: String) -> DatasetId {
    DatasetId { name: name.into(), digest }
}

pub(crate) fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Images of one bright square each, somewhere near a place that tells the label, on noise.
pub(crate) fn blobs(kind: u64, count: usize) -> Samples {
    let mut random = random::Stream::keyed("tributary trainer blobs", &[kind]);
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
    Samples { labels, images }
}

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

/// Runs a command whose flags must be refused, in a text that holds all of these words.
#[track_caller]
pub(crate) fn refuse(command: &mut Command, words: &[&str]) {
    let Output { status, stderr, .. } = command.output().unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(64), "{stderr}");
    assert!(stderr.starts_with("error: ") && words.iter().all(|word| stderr.contains(word)), "{stderr}");
}
