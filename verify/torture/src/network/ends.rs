//! The two ends of a faulty network: the real receiver and the real sender, in this process, with time limits so
//! short that silence is noticed in a fraction of a second.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use process::shutdown::{Cause, Shutdown, Trigger};
use receiver::Outcome;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::{locked, samples};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) samples: u64,
    /// Senders that share them.
    pub(crate) senders: u64,
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
    /// Shapes of the same kind put the same bytes on the wire.
    pub(crate) fn kind(&self) -> (u64, bool) {
        (self.samples, self.tls)
    }
}

fn key(folder: &TempDir) -> PathBuf {
    folder.path().join("key")
}

pub(crate) fn chunks(folder: &TempDir) -> PathBuf {
    folder.path().join("chunks")
}

#[derive(Debug)]
pub(crate) struct Receiving {
    pub(crate) address: SocketAddr,
    pub(crate) task: JoinHandle<anyhow::Result<Outcome>>,
    trigger: Trigger,
}

impl Receiving {
    pub(crate) async fn start(folder: &TempDir, shape: Shape) -> anyhow::Result<Receiving> {
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

    /// A sender's failure, with the receiver's, if that had failed too.
    pub(crate) async fn explain(&mut self, error: anyhow::Error) -> anyhow::Error {
        if !self.task.is_finished() {
            return error;
        }
        match (&mut self.task).await {
            Ok(Ok(outcome)) => error.context(format!("the receiver ended with {outcome:?}")),
            Ok(Err(other)) => error.context(format!("the receiver failed: {other:#}")),
            Err(other) => error.context(format!("the receiver panicked: {other}")),
        }
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
    pub(crate) folder: TempDir,
    shape: Shape,
    /// Samples that each sender was told to be durable, and what was acknowledged too early.
    heard: Mutex<(Vec<u64>, Option<String>)>,
}

impl Witness {
    pub(crate) fn new(folder: TempDir, shape: Shape) -> Arc<Witness> {
        Arc::new(Witness { folder, shape, heard: Mutex::new((vec![0; shape.senders as usize], None)) })
    }

    pub(crate) fn lie(&self) -> Option<String> {
        locked(&self.heard).1.clone()
    }

    /// Hears that so many samples of a sender are said to be durable.
    fn hear(&self, sender: u64, durable: u64) {
        let told: u64 = {
            let (told, _) = &mut *locked(&self.heard);
            told[sender as usize] = durable;
            told.iter().sum()
        };
        let names = fs::read_dir(chunks(&self.folder)).into_iter().flatten().flatten().map(|entry| entry.file_name());
        let chunks = names.filter(|name| name.to_string_lossy().starts_with("chunk-")).count() as u64;
        if told > chunks * self.shape.samples_per_chunk {
            let text = format!("{told} samples were acknowledged when there were {chunks} chunk files");
            locked(&self.heard).1.get_or_insert(text);
        }
    }
}

pub(crate) async fn send(number: u64, to: SocketAddr, shape: Shape, witness: Arc<Witness>) -> anyhow::Result<()> {
    let share = shape.samples / shape.senders;
    let source = samples::source(&format!("s-{number}"), number * share, (number + 1) * share);
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
        ..sender::Config::new(to, key(&witness.folder))
    };
    samples::send(&source, &config, |durable| witness.hear(number, durable)).await
}
