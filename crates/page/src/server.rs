//! The server: a socket, a thread of its own, and connections on it.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, anyhow};
use process::exit::{Code, OrExit, failure};
use tokio::{
    net::{TcpListener, TcpSocket},
    runtime::Builder,
    sync::{Semaphore, watch},
    task::{JoinSet, yield_now},
    time::{sleep, timeout},
};

use crate::{
    Limits, Options,
    connection::{self, Site, WORKERS},
    guard::Guard,
    places::Places,
    run::{Run, Runs},
    token::Token,
};

/// Connections that wait to be accepted.
const BACKLOG: u32 = 512;
/// What the system keeps for a reader who does not read: enough for a second of events, so that he is soon noticed.
const SEND_BUFFER: u32 = 64 << 10;
/// After this the next connection is tried, where there were no descriptors left for one.
const BREATH: Duration = Duration::from_millis(50);

/// A server of pages, on a thread of its own. It ends when it is dropped.
pub struct Server {
    address: String,
    warning: Option<String>,
    runs: Runs,
    stopping: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// Without the address, which has the token.
impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("runs", &self.runs).finish_non_exhaustive()
    }
}

impl Server {
    /// Listens, and serves these runs from here on.
    ///
    /// # Errors
    /// When the port is in use, the address would be unsafe, or the token cannot be read or made.
    pub fn start(options: &Options, runs: Vec<Run>) -> anyhow::Result<Server> {
        Server::start_within(options, runs, Limits::default())
    }

    /// As [`Server::start`], with other limits.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start_within(options: &Options, runs: Vec<Run>, limits: Limits) -> anyhow::Result<Server> {
        let Options { listen, token_file } = options;
        let is_open = !listen.ip().to_canonical().is_loopback();
        if is_open && token_file.is_none() {
            let advice = "other machines reach it, and a token in a file must be asked for there: add --page-token FILE, or \
                          listen on 127.0.0.1";
            return Err(failure(Code::Unsafe, anyhow!("the page is not served on {listen} in this way: {advice}")));
        }
        let limits = limits.within(descriptors());
        let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(WORKERS).build();
        let runtime = runtime.context("failed to start the page").or_exit(Code::Io)?;
        let bound = {
            let _runtime = runtime.enter();
            bind(*listen)
        };
        let bound = bound.map_err(|error| failure(Code::Unavailable, anyhow!(unavailable(*listen, &error))));
        // Only now, so that no file is made for a page that cannot be served.
        let token = || token_file.as_deref().map_or_else(Token::draw, Token::of_file);
        let (listener, token) = match bound.and_then(|listener| Ok((listener, token()?))) {
            Ok(started) => started,
            Err(error) => {
                runtime.shutdown_background(); // The caller may have a runtime, in which none may be waited for.
                return Err(error);
            }
        };
        let bound = listener.local_addr().context("failed to start the page").or_exit(Code::Io)?;
        let address = format!("http://{}/?token={}", reachable(bound), token.text());
        let (stopping, asked) = watch::channel(false);
        let workers = Arc::new(Semaphore::new(WORKERS));
        let runs = Runs::from(runs);
        let site = Site { guard: Guard::new(token, bound), runs: runs.clone(), limits, workers, stopping: asked };
        let serving = thread::Builder::new().name("page".into()).spawn(move || {
            runtime.block_on(serve(listener, Arc::new(site)));
            runtime.shutdown_timeout(limits.stop);
        });
        let thread = Some(serving.context("failed to start the page").or_exit(Code::Io)?);
        let warning = is_open.then(|| {
            format!(
                "the page on {bound} is not encrypted: who can listen in on the network sees it, and its token; on a network that \
                 is not yours, serve it on 127.0.0.1:{port} and reach it by `ssh -L {port}:127.0.0.1:{port}`",
                port = bound.port()
            )
        });
        Ok(Server { address, warning, runs, stopping, thread })
    }

    /// Shows one more run, after those so far.
    pub fn add(&self, run: Run) {
        self.runs.add(run);
    }

    /// What opens the page, token included.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What is to be said of an address that other machines reach.
    pub fn warning(&self) -> Option<String> {
        self.warning.clone()
    }

    /// Stops to serve, within a limit: watchers get what was told before.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stopping.send_replace(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // If it panicked, it has said so.
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// How many descriptors this process may have; as many as the system lets it have from here on.
#[cfg(unix)]
fn descriptors() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok();
    let limit = if raised { maximum } else { current };
    limit.map_or(usize::MAX, |limit| limit.try_into().unwrap_or(usize::MAX))
}

#[cfg(not(unix))]
fn descriptors() -> usize {
    usize::MAX
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if cfg!(unix) {
        socket.set_reuseaddr(true)?; // Elsewhere it means that two may have the port.
    }
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn unavailable(address: SocketAddr, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "the page cannot be served on {address}: the port is in use; end what uses it, or name another port (0 picks a \
             free one)"
        ),
        _ => format!(
            "the page cannot be served on {address}: {error}; name an address of this machine and a port above 1023"
        ),
    }
}

/// An address that the page can be opened at. All of a machine's addresses are none; then it is the one that it would be known
/// by to others. Nothing is sent: a datagram socket has a peer in name only.
fn reachable(bound: SocketAddr) -> SocketAddr {
    if !bound.ip().is_unspecified() {
        return bound;
    }
    let (any, elsewhere): (IpAddr, IpAddr) = match bound {
        SocketAddr::V4(_) => ([0, 0, 0, 0].into(), [192, 0, 2, 1].into()),
        SocketAddr::V6(_) => ([0; 16].into(), [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into()),
    };
    let own = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect((elsewhere, 9))?;
        socket.local_addr()
    });
    let loopback: IpAddr = if bound.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() };
    SocketAddr::new(own.map_or(loopback, |own| own.ip()), bound.port())
}

async fn serve(listener: TcpListener, site: Arc<Site>) {
    let Limits { members, strangers, stop, .. } = site.limits;
    let places = Places::new(members, strangers);
    let mut stopping = site.stopping.clone();
    let mut connections = JoinSet::new();
    let mut stops = std::pin::pin!(async {
        let _ = stopping.wait_for(|is_stopping| *is_stopping).await;
    });
    loop {
        tokio::select! {
            () = &mut stops => break,
            // Those that have to leave hold a descriptor until their task has ended.
            accepted = listener.accept(), if connections.len() < members + 2 * strangers => match accepted {
                Ok((stream, _)) => {
                    let (place, must_leave) = places.enter();
                    connections.spawn(connection::serve(Arc::clone(&site), stream, place, must_leave));
                    // It may have said already what makes it a member, and is heard before others come.
                    yield_now().await;
                }
                Err(_) => sleep(BREATH).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    let rest = async { while connections.join_next().await.is_some() {} };
    if timeout(stop, rest).await.is_err() {
        connections.shutdown().await;
    }
}
