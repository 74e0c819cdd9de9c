//! The receiver: takes samples from senders over TCP and writes them durably into a chunk directory.
//!
//! Each connection is a task that speaks the protocol; one thread owns the store, and with it every stream's position.
//! All that connections want of the store goes through one queue, so positions need no lock and an `Ack` cannot be sent
//! before its samples are durable.
//!
//! ```text
//! connection tasks --Command--> desk thread (Store, digests) --Reply--> connection tasks
//! ```

#![forbid(unsafe_code)]

mod connection;
mod desk;
mod patience;

use std::{io::Write, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use cli::{
    event::Event,
    exit::{Code, OrExit, failure},
    shutdown::{Cause, Shutdown},
};
use proto::{ErrorCode, Message};
use store::Mode;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};

pub use patience::Patience;

use crate::desk::Desk;

const _: () = assert!(store::IMAGE_BYTES == proto::IMAGE_BYTES);

/// Connections at the same time: half of the 1,024 descriptors that a process usually may have, so that chunk files
/// always find one.
pub const MAX_CONNECTIONS: usize = 512;

/// What the receiver is to do.
#[derive(Clone, Debug)]
pub struct Config {
    /// The chunk directory.
    pub dir: PathBuf,
    /// What to do with what is in it.
    pub mode: Mode,
    /// Samples per chunk file.
    pub samples_per_chunk: usize,
    /// Streams that are expected; the receiver ends when all of them have ended.
    pub streams: usize,
    /// How long a sample may wait for its chunk to fill before the chunk is written short.
    pub linger: Duration,
    /// How long to wait for the sender of a stream that is durable to its end, if it was not told so and its connection
    /// is gone: it may come back and ask.
    pub grace: Duration,
    /// Connections at the same time.
    pub connections: usize,
    /// How long to wait for peers.
    pub patience: Patience,
    /// How long to wait for another receiver to leave the directory: one that was told to stop needs a moment.
    pub lock_limit: Duration,
}

impl Config {
    /// The defaults for a directory: continue it, 1,000 samples a chunk, one stream.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Config {
            dir: dir.into(),
            mode: Mode::Continue,
            samples_per_chunk: 1000,
            streams: 1,
            linger: Duration::from_secs(5),
            grace: Duration::from_secs(5),
            connections: MAX_CONNECTIONS,
            patience: Patience::default(),
            lock_limit: Duration::from_secs(10),
        }
    }
}

/// How the receiver ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// Every stream has ended and the directory is complete.
    Complete {
        /// Samples in the directory.
        samples: u64,
        /// Chunk files in the directory.
        chunks: u64,
        /// Seconds from the first sample of this process to the manifest.
        seconds: f64,
    },
    /// Told to stop: what was accepted is sealed and acknowledged.
    Stopped(Cause),
}

/// Binds the address. Only loopback is allowed: nothing authenticates a sender, and nothing encrypts its samples.
///
/// # Errors
/// With exit code 78 for an address that other machines can reach, 69 for a port that is in use.
pub async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    if !address.ip().is_loopback() {
        let text = "would be reachable from other machines, without authentication; listen on 127.0.0.1 or [::1]";
        return Err(failure(Code::Unsafe, anyhow::anyhow!("--listen {address} {text}")));
    }
    let hint = match address.port() {
        0 => "",
        _ => "; is another receiver running? --listen 127.0.0.1:0 takes a free port",
    };
    TcpListener::bind(address)
        .await
        .map_err(|error| anyhow::anyhow!("failed to listen on {address}: {error}{hint}"))
        .or_exit(Code::Unavailable)
}

/// Receives until every expected stream has ended, or until told to stop. `report` hears of every step.
///
/// # Errors
/// When the chunk directory is refused, damaged or cannot be written.
pub async fn run(
    listener: TcpListener,
    config: Config,
    mut shutdown: Shutdown,
    report: impl Fn(&Event) + Send + 'static,
) -> anyhow::Result<Outcome> {
    let address = listener.local_addr()?;
    let Config { connections: limit, patience, .. } = config;
    if let Some(cause) = shutdown.requested() {
        return Ok(Outcome::Stopped(cause)); // Before anything is removed for somebody who is gone.
    }
    let asked = shutdown.clone();
    let opening = tokio::task::spawn_blocking(move || desk::open(config, &asked, report));
    let (desk, thread) = opening.await??;
    desk.report(Event::Listening { address, samples: desk.recovered });
    let mut connections = JoinSet::new();
    let mut ended = thread.finished();
    let places = Arc::new(Semaphore::new(limit));
    let outcome = loop {
        tokio::select! {
            outcome = &mut ended => break outcome,
            cause = shutdown.wait() => {
                desk.stop(cause);
                break ended.await;
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => admit(stream, peer, &desk, &places, patience, &mut connections),
                Err(error) => {
                    tracing::warn!("failed to accept a connection: {error}");
                    // Out of descriptors, say: the connection stays queued, and trying at once would spin.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    };
    drop(listener);
    let goodbyes = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(patience.goodbye, goodbyes).await.is_err() {
        connections.shutdown().await;
    }
    outcome
}

fn admit(
    stream: TcpStream,
    peer: SocketAddr,
    desk: &Desk,
    places: &Arc<Semaphore>,
    patience: Patience,
    connections: &mut JoinSet<()>,
) {
    let Ok(place) = Arc::clone(places).try_acquire_owned() else {
        tracing::warn!(%peer, "refused: every place for a connection is taken");
        let busy = Message::error(ErrorCode::Busy, "the receiver serves as many connections as it can");
        // The buffer of a new socket has room for this; a peer that is gone already need not hear it.
        let _ = stream.into_std().and_then(|mut stream| stream.write_all(&busy.frame()));
        return;
    };
    let desk = desk.clone();
    connections.spawn(async move {
        let _place = place;
        if let Err(error) = connection::serve(stream, &desk, patience).await {
            tracing::warn!(%peer, "connection ended: {error}");
        }
    });
}
