//! A receiver in this process or in one of its own, senders in this process, and a client that speaks the protocol by
//! hand. Real sockets, real files.

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

use cli::{
    event::Event,
    shutdown::{Shutdown, Trigger},
};
use proto::{
    Binding, Client, ClientEvent, Credentials, IMAGE_BYTES, Message, Server, ServerEvent,
    message::{End, Open, Welcome},
};
use receiver::{Config, Outcome};
use sender::Source;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    task::JoinHandle,
    time::timeout,
};
use transport::{Reader, Writer, key_file};

/// Every wait in these tests has this limit.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// Samples `first..end`, each with a label and pixels that follow from its seq.
pub(crate) fn source(stream: &str, first: u64, end: u64) -> Source {
    Source {
        stream: stream.into(),
        dataset: "tiny".into(),
        dataset_digest: [7; 32],
        first,
        labels: (first..end).map(label).collect(),
        images: (first..end).flat_map(image).collect(),
    }
}

pub(crate) fn label(seq: u64) -> u8 {
    (seq % 10) as u8
}

pub(crate) fn image(seq: u64) -> [u8; IMAGE_BYTES] {
    std::array::from_fn(|i| (seq as usize * 31 + i) as u8)
}

/// The key file of all receivers and senders here.
pub(crate) fn key() -> PathBuf {
    static MAKE: Once = Once::new();
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tributary.key");
    MAKE.call_once(|| drop(key_file::create(&path))); // There may be one of an earlier run.
    path
}

/// A new greeting of somebody who holds the key.
fn credentials() -> Credentials {
    transport::credentials(&key_file::read(&key()).unwrap(), Binding::Plain).unwrap()
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
        patience: sender::Patience::default(),
    }
}

/// Sends in this process, to the end.
pub(crate) async fn send(source: Source, config: sender::Config) -> anyhow::Result<sender::Outcome> {
    let (_trigger, shutdown) = Shutdown::manual();
    timeout(LIMIT, sender::run(&source, &config, shutdown, |_| {})).await.expect("the sender ends in time")
}

/// The directory is complete and holds exactly samples 0..end.
#[track_caller]
pub(crate) fn assert_complete(dir: &Path, end: u64) {
    let (manifest, samples) = store::read(dir).unwrap();
    assert_eq!(manifest.samples, end);
    let mut order: Vec<usize> = (0..samples.seqs.len()).collect();
    order.sort_by_key(|&i| samples.seqs[i]);
    assert!(order.iter().map(|&i| samples.seqs[i]).eq(0..end), "every sample exactly once");
    for (i, &seq) in samples.seqs.iter().enumerate() {
        assert_eq!(samples.labels[i], label(seq));
        assert_eq!(samples.images[i * IMAGE_BYTES..][..IMAGE_BYTES], image(seq));
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

    /// Waits until it is ready for senders.
    pub(crate) async fn listening(&mut self) {
        let event = timeout(LIMIT, self.events.recv()).await.expect("the receiver listens in time");
        assert!(matches!(event, Some(Event::Listening { .. })), "{event:?}");
    }

    /// Waits until so many samples are durable.
    pub(crate) async fn stored(&mut self, at_least: u64) {
        let reached = async {
            while let Some(event) = self.events.recv().await {
                if matches!(event, Event::Stored { samples, .. } if samples >= at_least) {
                    return;
                }
            }
            panic!("the receiver ended before {at_least} samples were durable");
        };
        timeout(LIMIT, reached).await.expect("samples become durable in time");
    }
}

/// The real program, stopped when dropped.
pub(crate) struct Process {
    child: Child,
    pub(crate) lifeline: Option<ChildStdin>,
    events: mpsc::Receiver<Event>,
}

impl Process {
    pub(crate) fn start(arguments: &[&str]) -> Process {
        Process::start_with(&key(), arguments)
    }

    pub(crate) fn start_with(key: &Path, arguments: &[&str]) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_receiver"));
        command.arg("--key").arg(key).args(arguments);
        Process::spawn(command)
    }

    /// Starts a command that becomes the receiver.
    pub(crate) fn spawn(mut command: Command) -> Process {
        command.arg("--json");
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

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
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

fn open(stream: &str, end: u64) -> Open {
    Open { stream: stream.into(), dataset: "tiny".into(), dataset_digest: [7; 32], first: 0, end }
}

/// A client that speaks the protocol by hand.
pub(crate) struct ByHand {
    pub(crate) reader: Reader,
    pub(crate) writer: Writer,
}

impl ByHand {
    pub(crate) async fn connect(address: SocketAddr) -> ByHand {
        let (reader, writer) = transport::split(TcpStream::connect(address).await.unwrap()).unwrap();
        ByHand { reader, writer }
    }

    /// Proves the key and opens a stream of samples 0..end.
    pub(crate) async fn open(address: SocketAddr, stream: &str, end: u64) -> (ByHand, Welcome) {
        let (mut client, open) = ByHand::prove(address, open(stream, end)).await;
        client.send(open).await;
        match client.receive().await {
            Some(Message::Welcome(welcome)) => (client, welcome),
            other => panic!("{other:?}"),
        }
    }

    /// The other side: a receiver by hand, which a sender has just asked for a stream.
    pub(crate) async fn accept(listener: &TcpListener) -> (ByHand, Server) {
        let (socket, _) = timeout(LIMIT, listener.accept()).await.expect("a sender comes in time").unwrap();
        let (reader, writer) = transport::split(socket).unwrap();
        let (mut receiver, mut server) = (ByHand { reader, writer }, Server::new(credentials()));
        loop {
            let message = receiver.receive().await.expect("the sender stays");
            match server.receive(message).unwrap() {
                ServerEvent::Greet([hello, challenge]) => {
                    receiver.send(hello).await;
                    receiver.send(challenge).await;
                }
                ServerEvent::Send(message) => receiver.send(message).await,
                ServerEvent::Open(_) => return (receiver, server),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Proves the key, has it proved, and returns the `Open` that comes next.
    pub(crate) async fn prove(address: SocketAddr, open: Open) -> (ByHand, Message) {
        let mut client = ByHand::connect(address).await;
        let (mut session, hello) = Client::new(open, credentials());
        client.send(hello).await;
        loop {
            match session.receive(client.receive().await.unwrap()).unwrap() {
                ClientEvent::Send(open @ Message::Open(_)) => return (client, open),
                ClientEvent::Send(message) => client.send(message).await,
                event => assert_eq!(event, ClientEvent::Alive),
            }
        }
    }

    pub(crate) async fn send(&mut self, message: Message) {
        self.writer.send(&message).await.unwrap();
    }

    pub(crate) async fn send_samples(&mut self, first: u64, end: u64) {
        let Source { labels, images, .. } = source("", first, end);
        self.writer.write(&proto::Batch::frame(first, &labels, &images)).await.unwrap();
    }

    pub(crate) async fn send_end(&mut self, end: u64, digest: [u8; 32]) {
        self.send(Message::End(End { count: end, digest })).await;
    }

    pub(crate) async fn receive(&mut self) -> Option<Message> {
        timeout(LIMIT, self.reader.read(proto::MAX_BODY)).await.expect("an answer in time").unwrap()
    }

    /// The text of the `Error` that comes next but for acks, after which the receiver hangs up.
    pub(crate) async fn refusal(&mut self) -> String {
        loop {
            match self.receive().await {
                Some(Message::Error(failure)) => return failure.text,
                Some(Message::Ack(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}
