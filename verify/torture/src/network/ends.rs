//! The two ends of a faulty network: the real receiver and the real sender, in this process, with time limits so
//! short that silence is noticed in a fraction of a second.

use std::{
    collections::BTreeMap,
    fs, mem,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use process::shutdown::{Cause, Shutdown, Trigger};
use receiver::Outcome;
use tokio::task::JoinHandle;

use crate::{locked, samples};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) samples: u64,
    /// Senders that share them, all at the same time or each after the one before.
    pub(crate) senders: u64,
    pub(crate) in_turn: bool,
    pub(crate) samples_per_batch: u64,
    pub(crate) samples_per_chunk: u64,
    pub(crate) batch_delay: Duration,
    pub(crate) tls: bool,
    /// Silence after which a connection is given up.
    pub(crate) silence: Duration,
    /// How long a sender tries without progress.
    pub(crate) deadline: Duration,
}

impl Shape {
    pub(crate) const fn with_tls(self) -> Shape {
        Shape { tls: true, ..self }
    }

    /// Shapes of the same kind put the same bytes on the wire.
    pub(crate) fn kind(&self) -> (u64, bool) {
        (self.samples, self.tls)
    }
}

fn key(folder: &Path) -> PathBuf {
    folder.join("key")
}

pub(crate) fn chunks(folder: &Path) -> PathBuf {
    folder.join("chunks")
}

/// A receiver, which is told to stop when this is dropped.
#[derive(Debug)]
pub(crate) struct Receiving {
    pub(crate) address: SocketAddr,
    pub(crate) task: JoinHandle<anyhow::Result<Outcome>>,
    trigger: Trigger,
}

impl Receiving {
    pub(crate) async fn start(folder: &Path, shape: Shape) -> anyhow::Result<Receiving> {
        let listener = receiver::bind("127.0.0.1:0", &key(folder)).await?;
        let address = listener.local_addr()?;
        let (trigger, shutdown) = Shutdown::manual();
        let silence = shape.silence;
        let config = receiver::Config {
            samples_per_chunk: shape.samples_per_chunk as usize,
            streams: shape.senders as usize,
            // Longer than a few silent connections in a row.
            grace: Duration::from_secs(3),
            time_limits: receiver::TimeLimits {
                // More than the sender has, so that an `Open` that was given up on is heard when it comes late.
                opening: 2 * silence,
                idle: silence,
                write: silence,
                closing: Duration::from_millis(500),
            },
            ..receiver::Config::new(chunks(folder))
        };
        let task = tokio::spawn(receiver::run(listener, config, shutdown, |_| {}));
        Ok(Receiving { address, task, trigger })
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        self.trigger.stop(Cause::Terminate);
    }
}

/// Watches what senders are told: nothing may be acknowledged that is not in a chunk file.
#[derive(Debug)]
pub(crate) struct Witness {
    chunks: PathBuf,
    samples_per_chunk: u64,
    /// Samples that each stream's sender was told to be durable.
    told: Mutex<BTreeMap<String, u64>>,
    lies: Mutex<Vec<String>>,
}

impl Witness {
    pub(crate) fn new(folder: &Path, shape: Shape) -> Arc<Witness> {
        let (chunks, samples_per_chunk) = (chunks(folder), shape.samples_per_chunk);
        Arc::new(Witness { chunks, samples_per_chunk, told: Mutex::default(), lies: Mutex::default() })
    }

    /// What was acknowledged too early.
    pub(crate) fn lies(&self) -> Vec<String> {
        mem::take(&mut *locked(&self.lies))
    }

    /// Hears that so many samples of a stream are said to be durable.
    fn hear(&self, stream: &str, durable: u64) {
        let told: u64 = {
            let mut told = locked(&self.told);
            told.insert(stream.to_owned(), durable);
            told.values().sum()
        };
        let names = fs::read_dir(&self.chunks).into_iter().flatten().flatten().map(|entry| entry.file_name());
        let chunks = names.filter(|name| name.to_string_lossy().starts_with("chunk-")).count() as u64;
        if told > chunks * self.samples_per_chunk {
            locked(&self.lies).push(format!("{told} samples were acknowledged when there were {chunks} chunk files"));
        }
    }
}

/// Sends all samples.
pub(crate) async fn send(to: SocketAddr, folder: &Path, shape: Shape, witness: &Arc<Witness>) -> anyhow::Result<()> {
    let silence = shape.silence;
    let config = sender::Config {
        tls: shape.tls,
        samples_per_batch: shape.samples_per_batch,
        batch_delay: shape.batch_delay,
        deadline: shape.deadline,
        time_limits: sender::TimeLimits {
            connect: silence,
            open: silence,
            ping: silence / 8,
            idle: silence,
            write: silence,
            first_retry: Duration::from_millis(4),
            longest_retry: Duration::from_millis(50),
        },
        ..sender::Config::new(to, key(folder))
    };
    let mut sources = samples::sources(shape.senders, shape.samples / shape.senders);
    let later = if shape.in_turn { sources.split_off(1) } else { Vec::new() };
    for sources in [sources].into_iter().chain(later.into_iter().map(|source| vec![source])) {
        let witness = Arc::clone(witness);
        samples::send_all(sources, &config, move |stream, durable| witness.hear(stream, durable)).await?;
    }
    Ok(())
}
