//! `sender --share` and `sender --endless`, with a receiver in this process.

use std::{
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    time::Duration,
};

use dataset::Split;
use event::Event;
use process::shutdown::{Cause, Shutdown, Trigger};
use receiver::{Config, Outcome};
use sample::PIXELS;
use tempfile::TempDir;
use tokio::{runtime::Runtime, task::JoinHandle, time::timeout};

const LIMIT: Duration = Duration::from_secs(30);
/// Samples in the dataset; the label of each is its place in it.
const LENGTH: u64 = 10;

/// A receiver of some streams, and a dataset beside its directory.
struct Case {
    dir: TempDir,
    runtime: Runtime,
    address: String,
    trigger: Trigger,
    events: mpsc::Receiver<Event>,
    receiving: JoinHandle<anyhow::Result<Outcome>>,
}

impl Case {
    fn new(streams: usize) -> Case {
        let dir = tempfile::tempdir().unwrap();
        let labels: Vec<u8> = (0..LENGTH as u8).collect();
        let images: Vec<u8> = labels.iter().flat_map(|label| [*label; PIXELS]).collect();
        for split in [Split::Train, Split::Test] {
            dataset::write_idx(&dir.path().join("data"), split, &images, &labels).unwrap();
        }
        let runtime = Runtime::new().unwrap();
        let key = dir.path().join("key");
        let listener = runtime.block_on(receiver::bind("127.0.0.1:0", &key)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let config = Config { streams, samples_per_chunk: 5, ..Config::new(dir.path().join("chunks")) };
        let ((trigger, shutdown), (report, events)) = (Shutdown::manual(), mpsc::channel());
        let report = move |event: &Event| drop(report.send(event.clone()));
        let receiving = runtime.spawn(receiver::run(listener, config, shutdown, report));
        Case { dir, runtime, address, trigger, events, receiving }
    }

    fn sender(&self, flags: &[&str]) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sender"));
        command.current_dir(self.dir.path()).args(["--connect", &self.address, "--key=key", "--data=data"]);
        command.args(["--batch-delay=1ms", "--samples-per-batch=2"]).args(flags);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Waits until so many samples are durable.
    fn stored(&self, at_least: u64) {
        while !matches!(self.events.recv_timeout(LIMIT), Ok(Event::Stored { samples, .. }) if samples >= at_least) {}
    }

    /// Waits for the receiver, and returns its directory.
    fn complete(self) -> TempDir {
        let outcome = self.runtime.block_on(async { timeout(LIMIT, self.receiving).await }).unwrap().unwrap().unwrap();
        assert!(matches!(outcome, Outcome::Complete { .. }), "{outcome:?}");
        self.dir
    }
}

/// What a sender that ends well says.
#[track_caller]
fn says(sender: Child) -> String {
    let Output { status, stdout, stderr } = sender.wait_with_output().unwrap();
    assert_eq!(status.code(), Some(0), "{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

/// The seqs in the directory, in order; each sample is the one that its seq means.
#[track_caller]
fn seqs(dir: &Path) -> Vec<u64> {
    let (_, rows) = store::read(&dir.join("chunks")).unwrap();
    let labels = rows.samples.labels.iter().map(|label| u64::from(*label));
    assert!(rows.seqs.iter().map(|seq| seq % LENGTH).eq(labels));
    let mut seqs = rows.seqs;
    seqs.sort_unstable();
    seqs
}

#[test]
fn shares_of_the_same_samples_bring_each_of_them_once() {
    let case = Case::new(3);
    let senders = ["0/3", "1/3", "2/3"].map(|share| case.sender(&["--share", share, "--offset=1", "--samples=9"]));
    let said = senders.map(says);
    assert!(said[1].starts_with("sent 3 samples of data in "), "{said:?}");
    let dir = case.complete();
    assert_eq!(seqs(dir.path()), (1..10).collect::<Vec<_>>());
    let manifest = store::read_manifest(&dir.path().join("chunks")).unwrap().unwrap();
    let names: Vec<&str> = manifest.streams.iter().map(|stream| &*stream.name).collect();
    assert_eq!(names, ["share-0-of-3", "share-1-of-3", "share-2-of-3"]);
}

#[cfg(unix)]
#[test]
fn a_sender_without_an_end_that_is_stopped_leaves_its_stream_open_and_goes_on() {
    let case = Case::new(1);
    let first = case.sender(&["--endless"]);
    case.stored(LENGTH);
    assert!(Command::new("kill").args(["-INT", &first.id().to_string()]).status().unwrap().success());
    let Output { status, stderr, .. } = first.wait_with_output().unwrap();
    let said = String::from_utf8(stderr).unwrap();
    assert!(status.code() == Some(130) && said.contains("start the sender again to go on"), "{status}: {said}");
    let second = case.sender(&["--endless"]);
    case.stored(5 * LENGTH);
    case.trigger.stop(Cause::Terminate);
    let (said, seqs) = (says(second), seqs(case.complete().path()));
    assert!(said.contains(&format!(" {} samples ", seqs.len())), "{said}");
    assert_eq!(seqs, (0..seqs.len() as u64).collect::<Vec<_>>());
}

#[test]
fn a_sender_without_an_end_ends_well_when_the_receiver_is_stopped() {
    let case = Case::new(1);
    let sender = case.sender(&["--endless", "--offset=4"]);
    case.stored(3 * LENGTH);
    case.trigger.stop(Cause::Terminate);
    let said = says(sender);
    let seqs = seqs(case.complete().path());
    assert_eq!(seqs, (4..4 + seqs.len() as u64).collect::<Vec<_>>());
    assert_eq!(said, format!("the receiver was stopped, and has {} samples of data; all are durable\n", seqs.len()));
}

#[test]
fn a_share_that_is_none_and_a_number_of_samples_without_an_end_are_refused() {
    let case = Case::new(1);
    for (flags, words) in [
        (&["--share=3/3"][..], "give I/N, counted from 0"),
        (&["--share=2/3", "--samples=2"], "look at --offset, --samples and --share"),
        (&["--endless", "--samples=2"], "--samples <N>"),
    ] {
        let Output { status, stderr, .. } = case.sender(flags).wait_with_output().unwrap();
        let said = String::from_utf8(stderr).unwrap();
        assert!(status.code() == Some(64) && said.contains(words), "{status}: {said}");
    }
}
