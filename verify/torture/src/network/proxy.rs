//! The proxy: a TCP server that connects every connection on to the receiver and does to it what the case says, so that
//! sender and receiver, which are the real ones, live through a faulty network.

use std::{io, mem, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use anyhow::Context;
use sample::random::Stream;
use tokio::{
    net::{
        TcpListener, TcpSocket, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinSet,
    time::timeout,
};

use super::{
    fault::{Fault, Flow},
    kind::{Case, Lengths},
    log::Log,
};

/// What the system may hold for the proxy, little, so that a proxy that does not read is soon felt.
const RECEIVE_BUFFER: u32 = 16 * 1024;
/// After a cut: for the last bytes to arrive before the sockets are closed.
const CUT_LIMIT: Duration = Duration::from_millis(200);
/// For the other connection of a crossed pair.
const PAIR_LIMIT: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) log: Arc<Log>,
    listener: TcpListener,
    receiver: SocketAddr,
    case: Case,
    lengths: Lengths,
}

impl Proxy {
    pub(crate) fn bind(receiver: SocketAddr, case: Case, lengths: Lengths) -> anyhow::Result<Proxy> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        socket.bind(([127, 0, 0, 1], 0).into()).context("failed to find a port for the proxy")?;
        Ok(Proxy { log: Arc::default(), listener: socket.listen(1024)?, receiver, case, lengths })
    }

    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until it is dropped, and with it all connections.
    pub(crate) async fn serve(self) {
        let mut connections = JoinSet::new();
        while let Ok(mut connection) = self.accept().await {
            let is_crossed = connection.up.hit.is_some_and(|hit| hit.fault == Fault::Crossing);
            if is_crossed && let Ok(Ok(mut next)) = timeout(PAIR_LIMIT, self.accept()).await {
                mem::swap(&mut connection.down.from, &mut next.down.from);
                connections.spawn(next.relay());
            }
            connections.spawn(connection.relay());
        }
    }

    /// The next connection, once it is connected on.
    async fn accept(&self) -> io::Result<Connection> {
        loop {
            let (sender, _) = self.listener.accept().await?;
            let session = self.log.begin();
            let Ok(receiver) = TcpStream::connect(self.receiver).await else { continue };
            for socket in [&sender, &receiver] {
                let _ = socket.set_nodelay(true); // It fails only for a socket that is gone.
            }
            let hits = self.case.treatment(session as u64, self.lengths);
            let flow = |side: usize, from, to| {
                let random = Stream::keyed("tributary faulty network", &[self.case.seed, session as u64, side as u64]);
                Flow { from, to, hit: hits[side], random, log: self.log.clone(), session, side }
            };
            let ((from_sender, to_sender), (from_receiver, to_receiver)) = (sender.into_split(), receiver.into_split());
            return Ok(Connection { up: flow(0, from_sender, to_receiver), down: flow(1, from_receiver, to_sender) });
        }
    }
}

type SocketFlow = Flow<OwnedReadHalf, OwnedWriteHalf>;

struct Connection {
    up: SocketFlow,
    down: SocketFlow,
}

impl Connection {
    /// Passes bytes on in both directions, until one breaks the connection or both are over.
    async fn relay(self) {
        let Connection { mut up, mut down } = self;
        let broken = {
            let (mut up, mut down) = (pin!(up.run()), pin!(down.run()));
            tokio::select! {
                broken = &mut up => if broken.is_some() { broken } else { down.await },
                broken = &mut down => if broken.is_some() { broken } else { up.await },
            }
        };
        up.log.note(up.session, |session| session.is_over = true);
        match broken {
            Some(Fault::Reset) => {
                for half in [up.to, down.to] {
                    let _ = half.as_ref().set_zero_linger(); // It fails only for a socket that is gone.
                    half.forget(); // Dropped, it would say FIN before the RST.
                }
            }
            Some(_) => {
                // Closing a socket with unread bytes would reset it, and what was passed on would be lost.
                let both = async { tokio::join!(up.drain(), down.drain()) };
                let _ = timeout(CUT_LIMIT, both).await;
            }
            None => {}
        }
    }
}
