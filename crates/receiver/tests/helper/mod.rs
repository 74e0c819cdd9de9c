//! A receiver in this process or in one of its own, senders in this process, and a client that speaks the protocol by
//! hand. Real sockets, real files.

#![allow(dead_code, unused_imports, reason = "each test binary uses a part of it")]

mod by_hand;

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Once,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use event::Event;
use process::{
    exit::{Code, code_of},
    shutdown::{Shutdown, Trigger},
};
use proto::{Key, message::Open};
use receiver::{Config, Outcome};
use sample::{Extent, PIXELS, Samples};
use sender::{Source, Supply};
use tempfile::TempDir;
use tokio::{
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    task::JoinHandle,
    time::timeout,
};
use transport::key_file;

pub(crate) use by_hand::ByHand;

/// Every wait in these tests has this limit.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// Samples `first..end`, each with a label and pixels that follow from its seq.
pub(crate) fn source(stream: &str, first: u64, end: u64) -> Source {
    Source {
        stream: stream.into(),
        dataset: "tiny".into(),
        dataset_digest: [7; 32],
        extent: Extent::range(first..end),
        supply: Supply::new(first, samples(first, end)),
    }
}

pub(crate) fn samples(first: u64, end: u64) -> Samples {
    Samples { labels: (first..end).map(label).collect(), images: (first..end).flat_map(image).collect() }
}

pub(crate) fn label(seq: u64) -> u8 {
    (seq % 10) as u8
}

pub(crate) fn image(seq: u64) -> [u8; PIXELS] {
    std::array::from_fn(|i| (seq as usize * 31 + i) as u8)
}

/// The key file of all receivers and senders here.
pub(crate) fn key() -> PathBuf {
    static MAKE: Once = Once::new();
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tributary.key");
    MAKE.call_once(|| drop(key_file::create(&path))); // There may be one of an earlier run.
    path
}

/// What it holds.
pub(crate) fn right_key() -> Key {
    key_file::read(&key()).unwrap()
}

/// How the tests send: no latency, small batches.
pub(crate) fn sending(to: SocketAddr) -> sender::Config {
    sender::Config {
        connect: to.to_string(),
        key: key(),
        tls: false,
        samples_per_batch: 7,
        batch_delay: Duration::ZERO,
        deadline: LIMIT,
        time_limits: sender::TimeLimits::default(),
    }
}

/// Sends in this process, to the end.
pub(crate) async fn try_to_send(source: Source, config: sender::Config) -> anyhow::Result<sender::Outcome> {
    let (_trigger, shutdown) = Shutdown::manual();
    timeout(LIMIT, sender::run(&source, &config, shutdown, |_| {})).await.expect("the sender ends in time")
}

/// Sends in this process until the receiver has it all.
pub(crate) async fn send(source: Source, config: sender::Config) {
    assert_eq!(try_to_send(source, config).await.unwrap(), sender::Outcome::Complete);
}

/// Sends in vain.
pub(crate) async fn send_fails(source: Source, config: sender::Config, code: Code, words: &[&str]) {
    assert_ends(&try_to_send(source, config).await.unwrap_err(), code, words);
}

/// The error has this code, and all of these words are in it.
#[track_caller]
pub(crate) fn assert_ends(error: &anyhow::Error, code: Code, words: &[&str]) {
    let text = format!("{error:#}");
    assert_eq!(code_of(error), code, "{text}");
    for word in words {
        assert!(text.contains(word), "no `{word}` in: {text}");
    }
}

/// The directory is complete and holds exactly samples 0..end.
#[track_caller]
pub(crate) fn assert_complete(dir: &Path, end: u64) {
    let (manifest, rows) = store::read(dir).unwrap();
    assert_eq!(manifest.samples, end);
    let mut order: Vec<usize> = (0..rows.seqs.len()).collect();
    order.sort_by_key(|&i| rows.seqs[i]);
    assert!(order.iter().map(|&i| rows.seqs[i]).eq(0..end), "every sample exactly once");
    for (&seq, sample) in rows.seqs.iter().zip(rows.samples.as_slice().iter()) {
        assert_eq!(sample, (label(seq), &image(seq)[..]));
    }
}

/// A receiver in this process.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) trigger: Trigger,
    pub(crate) events: UnboundedReceiver<Event>,
    task: JoinHandle<anyhow::Result<Outcome>>,
}

/// Small chunks, short waits.
pub(crate) fn config(dir: &Path, streams: usize) -> Config {
    Config { samples_per_chunk: 10, streams, ..Config::new(dir) }
}

pub(crate) async fn start(config: Config) -> Running {
    start_at("127.0.0.1:0".parse().unwrap(), config).await
}

/// A receiver of so many streams, and its new directory.
pub(crate) async fn started(streams: usize) -> (TempDir, Running) {
    let dir = TempDir::new().unwrap();
    let receiver = start(config(dir.path(), streams)).await;
    (dir, receiver)
}

pub(crate) async fn start_at(address: SocketAddr, config: Config) -> Running {
    let listener = receiver::bind(address, &key()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (trigger, shutdown) = Shutdown::manual();
    let (report, events) = unbounded_channel();
    let report = move |event: &Event| drop(report.send(event.clone()));
    let task = tokio::spawn(receiver::run(listener, config, shutdown, report));
    Running { address, trigger, events, task }
}

impl Running {
    pub(crate) async fn ended(self) -> anyhow::Result<Outcome> {
        timeout(LIMIT, self.task).await.expect("the receiver ends in time").unwrap()
    }

    /// Waits until it ends with the directory complete, which then holds exactly samples 0..end.
    pub(crate) async fn completes(self, dir: &TempDir, end: u64) {
        let outcome = self.ended().await.unwrap();
        assert!(matches!(outcome, Outcome::Complete { samples, .. } if samples == end), "{outcome:?}");
        assert_complete(dir.path(), end);
    }

    /// Waits until it is ready for senders.
    pub(crate) async fn listening(&mut self) {
        let event = timeout(LIMIT, self.events.recv()).await.expect("the receiver listens in time");
        assert!(matches!(event, Some(Event::Listening { .. })), "{event:?}");
    }

    /// Waits until so many samples are durable.
    pub(crate) async fn stored(&mut self, at_least: u64) {
        self.hears(|event| matches!(event, Event::Stored { samples, .. } if *samples >= at_least)).await;
    }

    /// Waits until the directory is complete.
    pub(crate) async fn completed(&mut self) {
        self.hears(|event| matches!(event, Event::Complete { .. })).await;
    }

    async fn hears(&mut self, is_it: impl Fn(&Event) -> bool) {
        let heard = async { while !is_it(&self.events.recv().await.expect("the receiver ended")) {} };
        timeout(LIMIT, heard).await.expect("the receiver goes on in time");
    }
}

/// The real program, stopped when dropped.
pub(crate) struct Process {
    child: Child,
    pub(crate) lifeline: Option<ChildStdin>,
    events: mpsc::Receiver<Event>,
}

impl Process {
    pub(crate) fn start(dir: &Path, flags: &[&str]) -> Process {
        let program = env!("CARGO_BIN_EXE_receiver");
        let mut command = Command::new(if cfg!(target_os = "linux") { "env" } else { program });
        if cfg!(target_os = "linux") {
            command.args(["--default-signal=HUP", program]); // Tests that run under `nohup` would hand on that it is ignored.
        }
        Process::spawn(command, &key(), dir, flags)
    }

    /// Starts a command that becomes the receiver.
    pub(crate) fn spawn(mut command: Command, key: &Path, dir: &Path, flags: &[&str]) -> Process {
        command.args(["--json", "--listen", "127.0.0.1:0", "--key"]).arg(key).arg("--dir").arg(dir).args(flags);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (sender, events) = mpsc::channel();
        thread::spawn(move || {
            let parsed = lines.map_while(Result::ok).map(|line| serde_json::from_str(&line).unwrap());
            parsed.take_while(|event: &Event| sender.send(event.clone()).is_ok()).for_each(drop);
        });
        Process { lifeline: child.stdin.take(), child, events }
    }

    /// The next event; `None` when the program has ended.
    pub(crate) fn event(&self) -> Option<Event> {
        match self.events.recv_timeout(LIMIT) {
            Ok(event) => Some(event),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("the receiver says nothing for {LIMIT:?}"),
        }
    }

    pub(crate) fn listening(&self) -> SocketAddr {
        match self.event() {
            Some(Event::Listening { address, .. }) => address,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// The exit code, once the program has ended by itself.
    pub(crate) fn code(&mut self) -> Option<i32> {
        while self.event().is_some() {}
        self.child.wait().unwrap().code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks for a stream of samples 0..end.
pub(crate) fn open(stream: &str, end: u64) -> Open {
    Open { stream: stream.into(), dataset: "tiny".into(), dataset_digest: [7; 32], extent: Extent::range(0..end) }
}
