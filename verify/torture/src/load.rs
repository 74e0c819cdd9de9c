//! Load: many senders at once, strangers that hold connections and say next to nothing, and connections that come and
//! go. The receiver is a process of its own, so that its memory and its descriptors can be read from outside.

use std::{
    fs,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
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

const DEADLINE: Duration = Duration::from_secs(60);
/// By then a receiver has noticed that its connections are gone.
const SETTLED: Duration = Duration::from_secs(30);
/// What the receiver may hold in memory at its peak, in MiB, without and with strangers.
const MEMORY: (u64, u64) = (128, 160);

/// Applies the load: senders alone, senders beside strangers, and connections that come and go.
pub async fn run(config: Config) -> anyhow::Result<Finding> {
    let mut finding = Finding::default();
    let (rate_alone, alone) = stream(config, 0, &mut finding).await.context("senders alone")?;
    let (rate_beside, beside) =
        stream(config, config.strangers, &mut finding).await.context("senders beside strangers")?;
    let leaked = cycles(config.cycles).await.context("connections that come and go")?;
    let part = rate_beside / rate_alone;
    let left = format!("{:.0} %", 100.0 * part);
    finding.hold(alone <= MEMORY.0, || format!("the receiver held {} MiB", alone));
    finding.hold(beside <= MEMORY.1, || format!("beside strangers, the receiver held {} MiB", beside));
    finding.hold(part >= config.throughput, || format!("beside strangers, {left} of the throughput was left"));
    finding.hold(leaked == 0, || format!("{leaked} descriptors leaked"));
    let Config { senders, samples, strangers, cycles, .. } = config;
    finding.cases = 2 * senders + cycles;
    finding.figure("samples sent", format!("{} by {senders} senders, twice", senders * samples));
    finding.figure("samples/s, senders alone", format!("{:.0}", rate_alone));
    finding.figure("samples/s beside strangers", format!("{:.0} ({left}), with {strangers} of them", rate_beside));
    let memory = format!("{} MiB; {} MiB beside strangers", alone, beside);
    finding.figure("peak memory of the receiver", memory);
    finding.figure("connections made and dropped", format!("{cycles}; {leaked} descriptors leaked"));
    Ok(finding)
}

/// Returns samples per second, and the peak memory of the receiver in MiB.
async fn stream(config: Config, strangers: usize, finding: &mut Finding) -> anyhow::Result<(f64, u64)> {
    let Config { senders, samples, .. } = config;
    let dir = tempfile::tempdir()?;
    let chunks = dir.path().join("chunks");
    let (receiver, address) = Receiver::start(&chunks, &[format!("--streams={senders}")])?;
    let mut crowd = JoinSet::new();
    let arrivals = Arc::new(Semaphore::new(0));
    for _ in 0..strangers {
        crowd.spawn(stranger(address, Arc::clone(&arrivals)));
    }
    let sources = samples::sources(senders, samples);
    let all = arrivals.acquire_many(strangers as u32);
    let came = time::timeout(DEADLINE, all).await;
    let missing = || format!("of {strangers} strangers, {} connected", arrivals.available_permits());
    came.with_context(missing)??.forget();
    let start = Instant::now();
    let following = tokio::task::spawn_blocking(move || {
        let (id, mut peak) = (receiver.id(), None);
        receiver.follow(|| peak = programs::peak_memory(id).or(peak))?;
        peak.context("the receiver's memory was never seen")
    });
    let sending = sender::Config { deadline: DEADLINE, ..sender::Config::new(address, programs::key(&chunks)) };
    if let Err(error) = samples::send_all(sources, &sending, |_, _| {}).await {
        finding.violations.push(format!("{error:#}"));
    }
    let seconds = start.elapsed().as_secs_f64();
    let memory = following.await??.div_ceil(1 << 20);
    crowd.shutdown().await;
    finding.violations.extend(samples::check(&chunks, senders * samples).into_iter().take(10));
    Ok(((senders * samples) as f64 / seconds, memory))
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
    let start = Instant::now();
    loop {
        let more = descriptors(receiver.id())?.saturating_sub(before);
        if more == 0 || start.elapsed() > SETTLED {
            return Ok(more);
        }
        time::sleep(Duration::from_millis(20)).await;
    }
}

fn descriptors(process: u32) -> anyhow::Result<usize> {
    Ok(fs::read_dir(format!("/proc/{process}/fd"))?.count())
}
