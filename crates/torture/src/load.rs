//! Load: many senders at once, strangers that hold connections and say next to nothing, and connections that come and
//! go. The receiver is a process of its own, so that its memory and its descriptors can be read from outside.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use cli::{event::Event, shutdown::Shutdown};
use tokio::{io::AsyncWriteExt, net::TcpStream, sync::Semaphore, task::JoinSet, time};

use crate::{
    Finding,
    programs::{self, Receiver},
    samples,
};

/// How much load.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Senders at the same time.
    pub senders: u64,
    /// Samples of each.
    pub samples: u64,
    /// Connections beside them that send one byte a second.
    pub strangers: usize,
    /// Connections that are made and dropped, one after the other.
    pub cycles: u64,
    /// The least part of the throughput that is to be left beside strangers; 0 where too little is sent to measure it.
    pub throughput: f64,
}

/// No sender waits longer for progress.
const DEADLINE: Duration = Duration::from_secs(60);
/// By then a receiver has noticed that its connections are gone.
const SETTLED: Duration = Duration::from_secs(30);
/// What the receiver may hold in memory at its peak, in MiB, without and with strangers.
const MEMORY: (u64, u64) = (128, 160);

/// Applies the load: senders alone, senders beside strangers, and connections that come and go.
///
/// # Errors
/// When a program cannot be run at all. What went wrong otherwise is in the finding.
pub async fn run(config: Config) -> anyhow::Result<Finding> {
    programs::path("receiver")?; // It may have to be built, which is not part of the time.
    let start = Instant::now();
    let mut violations = Vec::new();
    let alone = stream(config, 0, &mut violations).await.context("senders alone")?;
    let beside = stream(config, config.strangers, &mut violations).await.context("senders beside strangers")?;
    let leaked = cycles(config.cycles).await.context("connections that come and go")?;
    let part = beside.rate / alone.rate;
    let mut hold = |good: bool, what: String| {
        if !good {
            violations.push(what);
        }
    };
    hold(alone.memory <= MEMORY.0, format!("the receiver held {} MiB", alone.memory));
    hold(beside.memory <= MEMORY.1, format!("beside strangers, the receiver held {} MiB", beside.memory));
    hold(part >= config.throughput, format!("beside strangers, {:.0} % of the throughput was left", 100.0 * part));
    hold(leaked == 0, format!("{leaked} descriptors leaked"));
    let Config { senders, samples, strangers, cycles, .. } = config;
    let figures = [
        ("samples sent", format!("{} by {senders} senders, twice", senders * samples)),
        ("samples/s, senders alone", format!("{:.0}", alone.rate)),
        ("samples/s beside strangers", format!("{:.0} ({:.0} %), with {strangers} of them", beside.rate, 100.0 * part)),
        ("peak memory of the receiver", format!("{} MiB; {} MiB beside strangers", alone.memory, beside.memory)),
        ("connections made and dropped", format!("{cycles}; {leaked} descriptors leaked")),
    ];
    Ok(Finding {
        title: "Load".into(),
        cases: 2 * senders + cycles,
        seed: 0,
        took: start.elapsed(),
        figures: figures.map(|(name, value)| (name.to_owned(), value)).into(),
        violations,
    })
}

/// What one pass showed.
struct Pass {
    /// Samples per second.
    rate: f64,
    /// Peak resident memory of the receiver in MiB.
    memory: u64,
}

async fn stream(config: Config, strangers: usize, violations: &mut Vec<String>) -> anyhow::Result<Pass> {
    let Config { senders, samples, .. } = config;
    let dir = tempfile::tempdir()?;
    let chunks = dir.path().join("chunks");
    let (receiver, address) = Receiver::start(&chunks, &[format!("--streams={senders}")])?;
    let mut crowd = JoinSet::new();
    let arrivals = Arc::new(Semaphore::new(0));
    for _ in 0..strangers {
        crowd.spawn(stranger(address, Arc::clone(&arrivals)));
    }
    let sources = (0..senders).map(|i| samples::source(&format!("s-{i}"), i * samples, (i + 1) * samples));
    let sources: Vec<_> = sources.collect();
    let all = arrivals.acquire_many(strangers as u32);
    let came = time::timeout(DEADLINE, all).await;
    let missing = || format!("of {strangers} strangers, {} connected", arrivals.available_permits());
    came.with_context(missing)??.forget();
    let start = Instant::now();
    let mut sending = JoinSet::new();
    for source in sources {
        sending.spawn(send(source, address, programs::key(&chunks)));
    }
    let memory = tokio::task::spawn_blocking(move || watch(receiver));
    while let Some(sent) = sending.join_next().await {
        if let Err(error) = sent? {
            violations.push(format!("a sender failed: {error:#}"));
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let memory = memory.await??;
    crowd.shutdown().await;
    ensure!(memory > 0, "the receiver's memory was never seen");
    violations.extend(samples::check(&chunks, senders * samples).into_iter().take(10));
    Ok(Pass { rate: (senders * samples) as f64 / seconds, memory })
}

async fn send(source: sender::Source, address: SocketAddr, key: PathBuf) -> anyhow::Result<()> {
    let config = sender::Config {
        connect: address.to_string(),
        key,
        tls: false,
        samples_per_batch: 500,
        batch_delay: Duration::ZERO,
        deadline: DEADLINE,
        patience: sender::Patience::default(),
    };
    let (_trigger, shutdown) = Shutdown::manual();
    let outcome = sender::run(&source, &config, shutdown, |_| {}).await?;
    ensure!(outcome == sender::Outcome::Complete, "it ended with {outcome:?}");
    Ok(())
}

/// Connects, again and again, and sends one byte a second of a greeting that never ends.
async fn stranger(address: SocketAddr, arrivals: Arc<Semaphore>) {
    let mut has_come = false;
    loop {
        if let Ok(mut connection) = TcpStream::connect(address).await {
            if !std::mem::replace(&mut has_come, true) {
                arrivals.add_permits(1);
            }
            while connection.write_all(&[0]).await.is_ok() {
                time::sleep(Duration::from_secs(1)).await;
            }
        }
        time::sleep(Duration::from_millis(100)).await;
    }
}

/// Follows the receiver to its end; returns its peak memory in MiB.
fn watch(receiver: Receiver) -> anyhow::Result<u64> {
    let mut peak = 0;
    while let Some(event) = receiver.event()? {
        if matches!(event, Event::Stored { .. }) {
            peak = memory(receiver.id())?.unwrap_or(peak);
        }
    }
    let code = receiver.code()?;
    ensure!(code == Some(0), "the receiver ended with {code:?}");
    Ok(peak)
}

/// Peak resident memory of a process in MiB, rounded up; `None` when it is about to be gone.
fn memory(process: u32) -> anyhow::Result<Option<u64>> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let Some(line) = line else { return Ok(None) };
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().context("VmHWM is not a number")?;
    Ok(Some(kib.div_ceil(1024)))
}

/// Makes and drops connections; returns how many descriptors the receiver has more than before.
async fn cycles(count: u64) -> anyhow::Result<usize> {
    let dir = tempfile::tempdir()?;
    let (receiver, address) = Receiver::start(&dir.path().join("chunks"), &[])?;
    let before = descriptors(receiver.id())?;
    for i in 0..count {
        let mut connection = TcpStream::connect(address).await?;
        if i % 2 == 0 {
            connection.write_all(b"\0\0\0").await?;
        }
    }
    Ok(settled(receiver.id(), before).await?.saturating_sub(before))
}

/// The descriptors of a process once they are at most `enough`, or after a while.
async fn settled(process: u32, enough: usize) -> anyhow::Result<usize> {
    let start = Instant::now();
    loop {
        let count = descriptors(process)?;
        if count <= enough || start.elapsed() > SETTLED {
            return Ok(count);
        }
        time::sleep(Duration::from_millis(20)).await;
    }
}

fn descriptors(process: u32) -> anyhow::Result<usize> {
    Ok(fs::read_dir(format!("/proc/{process}/fd"))?.count())
}
