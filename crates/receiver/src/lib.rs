//! The receiver: takes samples from senders over TCP and writes them durably into a chunk directory.
//!
//! A connection first proves at the door that it holds the key; strangers wait in the lobby meanwhile. From there on it is
//! a task that speaks the protocol. One thread owns the store, and with it every stream's position.
//! All that connections want of the store goes through one queue, so positions need no lock and an `Ack` cannot be sent
//! before its samples are durable.
//!
//! ```text
//! connection tasks --Command--> desk thread (Store, digests) --Reply--> connection tasks
//! ```

#![forbid(unsafe_code)]

mod connection;
mod desk;
mod door;
mod lobby;
mod patience;

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use cli::{
    event::Event,
    exit::{Code, failure},
    shutdown::{Cause, Shutdown},
};
use proto::Key;
use store::Mode;
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet, time::Instant};

pub use patience::Patience;

use crate::{
    desk::Desk,
    door::{Door, Guest},
};

const _: () = assert!(store::IMAGE_BYTES == proto::IMAGE_BYTES);

/// Senders at the same time: half of the 1,024 descriptors that a process usually may have, so that strangers and chunk
/// files find some too.
pub const MAX_CONNECTIONS: usize = 512;

/// What the receiver is to do.
#[derive(Clone, Debug)]
pub struct Config {
    /// The chunk directory.
    pub dir: PathBuf,
    /// What to do with what is in it.
    pub mode: Mode,
    /// The run that the samples are for, if there is one.
    pub run: Option<String>,
    /// Samples per chunk file.
    pub samples_per_chunk: usize,
    /// Streams that are expected; the receiver ends when all of them have ended.
    pub streams: usize,
    /// How long a sample may wait for its chunk to fill before the chunk is written short.
    pub linger: Duration,
    /// How long to wait for the sender of a stream that is durable to its end, if it has not said that it knows and its
    /// connection is gone: it may come back and ask.
    pub grace: Duration,
    /// Senders connected at the same time.
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
            run: None,
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

/// Where senders connect, and the key that they must hold.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    key: Key,
}

impl Listener {
    /// The address; its port is the real one, also when port 0 was asked for.
    ///
    /// # Errors
    /// When the system does not know it.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// Binds the address, `host:port`, for senders that hold the key in this file. On loopback the file is made if there is
/// none. A host name is loopback if all its addresses are.
///
/// # Errors
/// With exit code 78 for an address that other machines can reach without a key that was made on purpose, and for a key
/// that others can read; 65 for a file that holds no key; 69 for a port that is in use and for a name that is not known.
pub async fn bind(address: impl ToString, key: &Path) -> anyhow::Result<Listener> {
    let address = address.to_string();
    let failed = |error: io::Error| {
        let hint = match error.kind() {
            io::ErrorKind::AddrInUse => "; is another receiver running? --listen 127.0.0.1:0 takes a free port",
            _ => "",
        };
        failure(Code::Unavailable, anyhow::anyhow!("failed to listen on {address}: {error}{hint}"))
    };
    let addresses = transport::resolve(&address).await.map_err(failed)?;
    let private = addresses.iter().all(|address| transport::is_loopback(address.ip()));
    let key = door::key(&address, private, key)?;
    let socket = TcpListener::bind(&addresses[..]).await.map_err(failed)?;
    Ok(Listener { socket, key })
}

/// Receives until every expected stream has ended, or until told to stop. `report` hears of every step.
///
/// # Errors
/// When the chunk directory is refused, damaged or cannot be written.
pub async fn run(
    listener: Listener,
    config: Config,
    mut shutdown: Shutdown,
    report: impl Fn(&Event) + Send + 'static,
) -> anyhow::Result<Outcome> {
    let Listener { socket, key } = listener;
    let address = socket.local_addr()?;
    let door = Arc::new(Door::new(key, transport::is_loopback(address.ip())));
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
            // Whoever was sent away holds a descriptor until its task has ended.
            accepted = socket.accept(), if connections.len() < limit + lobby::PLACES => match accepted {
                Ok((stream, peer)) => {
                    let (place, due) = (door.lobby.enter(peer.ip()), Instant::now() + patience.opening);
                    let (door, desk, places) = (Arc::clone(&door), desk.clone(), Arc::clone(&places));
                    connections.spawn(async move {
                        match door.admit(stream, place, due).await {
                            Ok(Some(guest)) => serve(guest, peer, due, &desk, &places, patience).await,
                            Ok(None) => {}
                            Err(error) => door.note(peer, &error),
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!("failed to accept a connection: {error}");
                    // Out of descriptors, say: the connection stays queued, and trying at once would spin.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    };
    drop(socket);
    door.lobby.clear();
    let goodbyes = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(patience.goodbye, goodbyes).await.is_err() {
        connections.shutdown().await;
    }
    outcome
}

async fn serve(guest: Guest, peer: SocketAddr, due: Instant, desk: &Desk, places: &Semaphore, patience: Patience) {
    let Ok(_place) = places.try_acquire() else {
        tracing::warn!(%peer, "turned away: every place for a sender is taken");
        return connection::turn_away(guest).await;
    };
    if let Err(error) = connection::serve(guest, due, desk, patience).await {
        tracing::warn!(%peer, "connection ended: {error}");
    }
}
