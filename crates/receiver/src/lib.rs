//! The receiver: takes samples from senders over TCP and writes them durably into a chunk directory.
//!
//! A connection is pending until its peer has proved, in the handshake, that it holds the key. From there on it is a task
//! that speaks the protocol. One thread, the store actor, owns the store. All that connections want of it goes through one
//! queue. What to do about each request is decided by a state machine without I/O, `ingest`, which holds the promise: an
//! `Ack` is sent only when its samples are durable.
//!
//! ```text
//! listener -> pending -> handshake -> connection --Request--> store actor --Input--> ingest
//!                                     connection <--Reply---- store actor <--Effect- ingest
//! ```

#![forbid(unsafe_code)]

mod budget;
mod config;
mod connection;
mod error;
mod handshake;
mod ingest;
mod listener;
mod pending;
mod store_actor;
mod time_limits;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use event::Event;
use process::shutdown::Shutdown;
use tokio::{net::TcpStream, sync::Semaphore, task::JoinSet, time::Instant};

pub use config::{Config, MAX_CONNECTIONS, Outcome};
pub use listener::{Listener, bind};
pub use time_limits::TimeLimits;

use crate::{
    budget::Budget,
    error::Error,
    handshake::{Authenticated, Handshake},
    pending::{MAX_PENDING, PendingConnections, Slot},
    store_actor::StoreActor,
};

/// Receives until every expected stream has ended, or until told to stop. By Ctrl-C or SIGTERM, streams without an end are over
/// then, and the directory is complete. `report` hears of every step.
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
    if let Some(cause) = shutdown.requested() {
        return Ok(Outcome::Stopped(cause)); // Before anything is removed for somebody who is gone.
    }
    let Config { connections: max_connections, time_limits: limits, .. } = config;
    let asked = shutdown.clone();
    let starting = tokio::task::spawn_blocking(move || store_actor::start(config, address, &asked, report));
    let (actor, mut running) = starting.await??;
    let receiver = Arc::new(Receiver {
        pending: PendingConnections::default(),
        handshake: Handshake::new(key, transport::is_loopback(address.ip())),
        sessions: Semaphore::new(max_connections),
        budget: Budget::default(),
        actor,
        limits,
    });
    let (mut connections, mut is_stopping) = (JoinSet::new(), false);
    let outcome = loop {
        tokio::select! {
            outcome = running.ended() => break outcome,
            // Senders that are away may come back and ask.
            cause = shutdown.wait(), if !is_stopping => {
                receiver.actor.stop(cause);
                is_stopping = true;
            }
            // An evicted connection holds a descriptor until its task has ended.
            accepted = socket.accept(), if connections.len() < max_connections + MAX_PENDING => match accepted {
                Ok((stream, peer)) => {
                    let slot = receiver.pending.enter(peer.ip());
                    connections.spawn(Arc::clone(&receiver).serve(stream, peer, slot));
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
    receiver.pending.clear();
    let closing = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.closing, closing).await.is_err() {
        connections.shutdown().await;
    }
    outcome
}

/// What all connections share.
struct Receiver {
    pending: PendingConnections,
    handshake: Handshake,
    /// One permit for each sender that is served.
    sessions: Semaphore,
    budget: Budget,
    actor: StoreActor,
    limits: TimeLimits,
}

impl Receiver {
    /// Serves one connection, from the first byte to the last.
    async fn serve(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, mut slot: Slot) {
        let due = Instant::now() + self.limits.opening;
        let authenticated = tokio::select! {
            authenticated = self.handshake.perform(stream, due) => authenticated,
            () = slot.evicted() => Err(Error::Evicted),
        };
        drop(slot);
        match authenticated {
            Ok(Some(connection)) => self.serve_sender(connection, peer, due).await,
            Ok(None) => {}
            Err(error) => self.handshake.log_refusal(peer, &error),
        }
    }

    async fn serve_sender(&self, connection: Authenticated, peer: SocketAddr, due: Instant) {
        let Ok(_permit) = self.sessions.try_acquire() else {
            tracing::warn!(%peer, "turned away: as many senders are connected as this receiver serves");
            return connection::turn_away(connection).await;
        };
        if let Err(error) = connection::serve(connection, due, &self.actor, &self.budget, self.limits).await {
            tracing::warn!(%peer, "connection ended: {error}");
        }
    }
}
