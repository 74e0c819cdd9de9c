//! The proxy: a TCP server that connects every connection on to the receiver and treats each as it is told, so that
//! sender and receiver, which are the real ones, live through a faulty network.

use std::{
    future::pending,
    net::SocketAddr,
    ops::ControlFlow,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::Context;
use sample::random::Stream;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpSocket, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::oneshot,
    task::{JoinHandle, JoinSet},
    time,
};

use super::fault::{Break, Fault, Faulty, Memory, Step};
use crate::locked;

const PIECE: usize = 16 * 1024;
/// What the system may hold for the proxy, little, so that a proxy that does not read is soon felt.
const RECEIVE_BUFFER: u32 = 16 * 1024;
/// After a cut: for the last bytes to arrive before the sockets are closed.
const CUT_LIMIT: Duration = Duration::from_millis(200);
/// For the other connection of a crossed pair.
const PAIR_LIMIT: Duration = Duration::from_millis(500);

/// What is done with a new connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Meeting {
    #[default]
    Connect,
    Close,   // It is closed.
    Reset,   // It is reset.
    Swallow, // All its bytes are swallowed.
    Ignore,  // It is kept, and never read.
    /// Its bytes reach the receiver, and the answers go to the next connection, and the other way round.
    Cross,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Treatment {
    pub(crate) meeting: Meeting,
    /// From sender to receiver, and from receiver to sender.
    pub(crate) faults: [Fault; 2],
}

#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    pub(crate) log: Arc<Log>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
pub(crate) struct Log {
    connections: AtomicU64,
    strikes: AtomicU64,
    sessions: Mutex<Vec<Session>>,
    memories: [Memory; 2],
    /// The answers of a connection that is to be crossed, and where it waits for others.
    uncrossed: Mutex<Option<Uncrossed>>,
}

type Uncrossed = (OwnedReadHalf, oneshot::Sender<OwnedReadHalf>);

/// The bytes of one connection, as the proxy got them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Session {
    /// From sender to receiver, and from receiver to sender.
    pub(crate) bytes: [Vec<u8>; 2],
    pub(crate) is_over: bool,
}

impl Proxy {
    /// Starts a proxy before `receiver`; `treat` says what happens to each connection, counted from 0.
    pub(crate) async fn start(
        receiver: SocketAddr,
        seed: u64,
        treat: impl Fn(u64) -> Treatment + Send + 'static,
    ) -> anyhow::Result<Proxy> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        socket.bind(([127, 0, 0, 1], 0).into()).context("failed to find a port for the proxy")?;
        let listener = socket.listen(1024)?;
        let address = listener.local_addr()?;
        let log = Arc::<Log>::default();
        let task = tokio::spawn(serve(listener, receiver, seed, treat, log.clone()));
        Ok(Proxy { address, log, task })
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort(); // And with it all connections, which are in a set that it owns.
    }
}

impl Log {
    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Relaxed)
    }

    pub(crate) fn strikes(&self) -> u64 {
        self.strikes.load(Relaxed)
    }

    /// What came by on one of the connections that were connected on.
    pub(crate) fn session(&self, number: usize) -> Option<Session> {
        locked(&self.sessions).get(number).cloned()
    }

    fn new_session(&self) -> usize {
        let mut sessions = locked(&self.sessions);
        sessions.push(Session::default());
        sessions.len() - 1
    }

    pub(crate) fn strike(&self) {
        self.strikes.fetch_add(1, Relaxed);
    }
}

async fn serve(
    listener: TcpListener,
    receiver: SocketAddr,
    seed: u64,
    treat: impl Fn(u64) -> Treatment,
    log: Arc<Log>,
) {
    let mut connections = JoinSet::new();
    while let Ok((sender, _)) = listener.accept().await {
        let number = log.connections.fetch_add(1, Relaxed);
        connections.spawn(connection(sender, receiver, treat(number), [seed, number], log.clone()));
    }
}

async fn connection(mut sender: TcpStream, receiver: SocketAddr, treatment: Treatment, key: [u64; 2], log: Arc<Log>) {
    let Treatment { meeting, faults } = treatment;
    if meeting != Meeting::Connect {
        log.strike();
    }
    match meeting {
        Meeting::Connect | Meeting::Cross => {}
        Meeting::Close => return,
        Meeting::Reset => return drop(sender.set_zero_linger()), // So that its close is an RST.
        Meeting::Swallow => {
            swallow(&mut sender).await;
            return pending().await;
        }
        Meeting::Ignore => return pending().await,
    }
    let Ok(receiver) = TcpStream::connect(receiver).await else { return };
    for socket in [&sender, &receiver] {
        let _ = socket.set_nodelay(true); // It fails only for a socket that is gone.
    }
    let ((from_sender, to_sender), (mut from_receiver, to_receiver)) = (sender.into_split(), receiver.into_split());
    if meeting == Meeting::Cross {
        from_receiver = cross(from_receiver, &log).await;
    }
    let session = log.new_session();
    let flow = |side: usize, fault, from, to| {
        let random = Stream::keyed("tributary faulty network", &[key[0], key[1], side as u64]);
        let faulty = Faulty::new(fault, random, log.memories[side].clone());
        Flow { from, to, faulty, log: log.clone(), session, side }
    };
    let [up, down] = faults;
    relay(flow(0, up, from_sender, to_receiver), flow(1, down, from_receiver, to_sender)).await;
}

/// Exchanges a receiver's answers for those of the next connection that is to be crossed, if one comes in time.
async fn cross(answers: OwnedReadHalf, log: &Log) -> OwnedReadHalf {
    let other = locked(&log.uncrossed).take();
    if let Some((others, give)) = other {
        let _ = give.send(answers); // It waits for them, or its connection has been given up.
        return others;
    }
    let (give, mut take) = oneshot::channel();
    *locked(&log.uncrossed) = Some((answers, give));
    if let Ok(Ok(others)) = time::timeout(PAIR_LIMIT, &mut take).await {
        return others;
    }
    let own = locked(&log.uncrossed).take();
    match own {
        Some((answers, _)) => answers,
        None => take.await.expect("whoever takes answers gives its own"),
    }
}

/// Passes bytes on in both directions, until one breaks the connection or both are over.
async fn relay(mut up: Flow, mut down: Flow) {
    let broken = {
        let (mut up, mut down) = (pin!(up.run()), pin!(down.run()));
        tokio::select! {
            broken = &mut up => if broken.is_some() { broken } else { down.await },
            broken = &mut down => if broken.is_some() { broken } else { up.await },
        }
    };
    locked(&up.log.sessions)[up.session].is_over = true;
    match broken {
        Some(Break::Reset) => {
            for half in [up.to, down.to] {
                let _ = half.as_ref().set_zero_linger(); // It fails only for a socket that is gone.
                half.forget(); // Dropped, it would say FIN before the RST.
            }
        }
        Some(_) => {
            // Closing a socket with unread bytes would reset it, and what was passed on would be lost.
            let both = async { tokio::join!(up.drain(), down.drain()) };
            let _ = time::timeout(CUT_LIMIT, both).await;
        }
        None => {}
    }
}

struct Flow {
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    faulty: Faulty,
    log: Arc<Log>,
    session: usize,
    side: usize,
}

impl Flow {
    /// Passes bytes on until they end. What it returns is to be done to the whole connection.
    async fn run(&mut self) -> Option<Break> {
        let mut buffer = vec![0; PIECE];
        let mut had_struck = false;
        let mut steps = self.faulty.feed(&[]);
        loop {
            if self.faulty.has_struck && !std::mem::replace(&mut had_struck, true) {
                self.log.strike();
            }
            for step in steps {
                if let ControlFlow::Break(how) = self.take(step).await {
                    return Some(how);
                }
            }
            let count = self.from.read(&mut buffer).await.unwrap_or(0);
            locked(&self.log.sessions)[self.session].bytes[self.side].extend_from_slice(&buffer[..count]);
            if count == 0 {
                for step in self.faulty.finish() {
                    let _ = self.take(step).await;
                }
                let _ = self.to.shutdown().await;
                return None;
            }
            steps = self.faulty.feed(&buffer[..count]);
        }
    }

    /// Takes one step. That somebody is gone is no concern here: the other direction notices.
    async fn take(&mut self, step: Step) -> ControlFlow<Break> {
        match step {
            Step::Wait(time) if time.is_zero() => tokio::task::yield_now().await,
            Step::Wait(time) => time::sleep(time).await,
            Step::Write(bytes) => drop(self.to.write_all(&bytes).await),
            Step::Break(Break::HalfClose) => drop(self.to.shutdown().await),
            Step::Break(Break::Silence) => {
                swallow(&mut self.from).await;
                pending::<()>().await;
            }
            Step::Break(Break::Deafness) => pending::<()>().await,
            Step::Break(how) => return ControlFlow::Break(how),
        }
        ControlFlow::Continue(())
    }

    /// Says FIN, and reads until the other side does.
    async fn drain(&mut self) {
        let _ = self.to.shutdown().await;
        swallow(&mut self.from).await;
    }
}

async fn swallow(from: &mut (impl AsyncRead + Unpin)) {
    let mut buffer = vec![0; PIECE];
    while matches!(from.read(&mut buffer).await, Ok(1..)) {}
}
