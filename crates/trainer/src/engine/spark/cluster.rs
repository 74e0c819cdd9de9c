//! A session on a Spark Connect server. Its client blocks and has limits of an hour, so every call is made on a thread of
//! its own and waited for with limits of ours.

use std::{
    net::{TcpStream, ToSocketAddrs},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, bail};
use cli::exit::{Code, OrExit, failure};
use spark_connect::{SparkError, SparkSession, row::Row};
use spark_connect_core::channel::ChannelBuilder;

/// How long a server may take to answer what costs it nothing.
const CALL_LIMIT: Duration = Duration::from_secs(60);

/// How often to look whether the run is to stop.
const POLL: Duration = Duration::from_millis(100);

/// The first version that can put a row into the partition that it names.
const OLDEST: (u32, u32) = (4, 1);

/// A session.
pub(super) struct Cluster {
    session: SparkSession,
    is_loopback: bool,
    /// Where news of the query that runs goes.
    news: Arc<Mutex<Option<mpsc::Sender<News>>>>,
}

/// What comes from a query.
pub(super) enum News {
    /// Tasks that are done, of all.
    Tasks(i64, i64),
    /// A row of the result.
    Row(Row),
    /// It is over.
    End(Result<(), SparkError>),
}

impl Cluster {
    /// Opens a session.
    ///
    /// # Errors
    /// When the address is none, nobody listens there, or the server is too old.
    pub(super) fn connect(remote: &str) -> anyhow::Result<Self> {
        let address = ChannelBuilder::parse(remote).map_err(spark_error).or_exit(Code::Usage)?;
        if address.get("token").is_some() {
            let error = anyhow!(
                "a token in --spark-remote can be seen by every user of this machine; put it into the environment \
                 variable SPARK_CONNECT_AUTHENTICATE_TOKEN"
            );
            return Err(failure(Code::Usage, error));
        }
        if !address.use_ssl() && !address.is_loopback() {
            tracing::warn!("what goes to `{}` is not encrypted; add /;use_ssl=true to --spark-remote", address.host());
        }
        reach(&address)?;
        let url = remote.to_owned();
        let open = move || SparkSession::builder().remote(&url).get_or_create();
        let session = call("open a session", open).or_exit(Code::Unavailable)?;
        let asked = session.clone();
        let version = call("say its version", move || asked.version()).or_exit(Code::Unavailable)?;
        if parse_version(&version).is_none_or(|version| version < OLDEST) {
            let (major, minor) = OLDEST;
            let error = anyhow!("the server at `{remote}` is Spark {version}; {major}.{minor} or newer is needed");
            return Err(failure(Code::Unavailable, error));
        }
        let news: Arc<Mutex<Option<mpsc::Sender<News>>>> = Arc::default();
        let listeners = Arc::clone(&news);
        session.register_progress_handler(move |progress| {
            let done = progress.stages.iter().map(|stage| stage.num_completed_tasks).sum();
            let all = progress.stages.iter().map(|stage| stage.num_tasks).sum();
            if let Some(listener) = &*listeners.lock().unwrap_or_else(PoisonError::into_inner) {
                let _ = listener.send(News::Tasks(done, all)); // The query may be over.
            }
        });
        tracing::info!("connected to Spark {version} at {}", address.endpoint());
        let cluster = Cluster { session, is_loopback: address.is_loopback(), news };
        if let Some(ui) = cluster.ui() {
            tracing::info!("Spark UI: {ui}");
        }
        Ok(cluster)
    }

    /// A name that no other session has.
    pub(super) fn id(&self) -> &str {
        self.session.session_id()
    }

    /// Calls the client.
    pub(super) fn call<T: Send + 'static>(
        &self,
        what: &str,
        f: impl FnOnce(&SparkSession) -> Result<T, SparkError> + Send + 'static,
    ) -> anyhow::Result<T> {
        let session = self.session.clone();
        call(what, move || f(&session))
    }

    /// Ships files to the executors.
    ///
    /// # Errors
    /// That of `go_on`, which is asked now and then, and when the server does not take the files in time.
    pub(super) fn ship(
        &self,
        files: Vec<PathBuf>,
        patience: Duration,
        go_on: &dyn Fn() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let session = self.session.clone();
        let (sender, answer) = mpsc::channel();
        thread::spawn(move || {
            let paths: Vec<_> = files.iter().map(|path| path.to_string_lossy()).collect();
            let paths: Vec<&str> = paths.iter().map(|path| &**path).collect();
            let _ = sender.send(session.add_artifacts(&paths)); // Nobody may be waiting any more.
        });
        let until = Instant::now() + patience;
        loop {
            match answer.recv_timeout(POLL) {
                Ok(shipped) => {
                    return shipped.map_err(spark_error).context("failed to ship files").or_exit(Code::Unavailable);
                }
                Err(mpsc::RecvTimeoutError::Timeout) if Instant::now() < until => go_on()?,
                Err(_) => bail!("Spark did not take files within {}", humantime::format_duration(patience)),
            }
        }
    }

    /// Runs a query to its end, and hands on what comes from it.
    ///
    /// # Errors
    /// That of `on_news`, that of `go_on`, which is asked now and then, and when no row and no task has come for
    /// `patience`. The query is cancelled then.
    pub(super) fn query(
        &self,
        sql: String,
        patience: Duration,
        go_on: &dyn Fn() -> anyhow::Result<()>,
        on_news: &mut dyn FnMut(News) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let (sender, news) = mpsc::channel();
        *self.listener() = Some(sender.clone());
        let session = self.session.clone();
        thread::spawn(move || {
            let run = || {
                for row in session.sql(&sql)?.to_local_iterator(true)? {
                    let _ = sender.send(News::Row(row?)); // Nobody may be waiting any more.
                }
                Ok(())
            };
            let end = run();
            let _ = sender.send(News::End(end));
        });
        let outcome = follow(&news, patience, go_on, on_news);
        *self.listener() = None;
        if outcome.is_err() {
            let _ = self.call("cancel a query", SparkSession::interrupt_all); // The first error is the one to tell.
        }
        outcome
    }

    fn listener(&self) -> std::sync::MutexGuard<'_, Option<mpsc::Sender<News>>> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether its only executor is in a server on this machine.
    pub(super) fn is_here(&self) -> bool {
        self.is_loopback && self.setting("spark.master").is_some_and(|master| master.starts_with("local"))
    }

    fn setting(&self, key: &'static str) -> Option<String> {
        self.call("say its settings", move |session| session.conf().get(key)).ok().flatten()
    }

    /// The address of Spark's own pages, where the server knows it.
    fn ui(&self) -> Option<String> {
        if let Some(address) = self.setting("spark.driver.appUIAddress").filter(|address| !address.is_empty()) {
            return Some(address);
        }
        let port = self.setting("spark.ui.port").filter(|port| port != "0")?;
        Some(format!("http://{}:{port}", self.setting("spark.driver.host")?))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.call("close the session", SparkSession::stop); // The server closes it by itself, later.
    }
}

fn follow(
    news: &mpsc::Receiver<News>,
    patience: Duration,
    go_on: &dyn Fn() -> anyhow::Result<()>,
    on_news: &mut dyn FnMut(News) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (mut last, mut done_before) = (Instant::now(), -1);
    loop {
        match news.recv_timeout(POLL) {
            Ok(News::End(end)) => return end.map_err(spark_error).context("Spark gave up").or_exit(Code::Unavailable),
            Ok(News::Tasks(done, all)) => {
                if done != done_before {
                    (done_before, last) = (done, Instant::now());
                }
                on_news(News::Tasks(done, all))?;
            }
            Ok(row) => {
                last = Instant::now();
                on_news(row)?;
            }
            Err(_) => go_on()?,
        }
        if last.elapsed() > patience {
            let error = anyhow!(
                "Spark has finished no task for {}; are its executors alive, and free? Give them longer with \
                 --spark-patience",
                humantime::format_duration(patience)
            );
            return Err(failure(Code::Unavailable, error));
        }
    }
}

/// Calls the client on a thread of its own.
fn call<T: Send + 'static>(
    what: &str,
    f: impl FnOnce() -> Result<T, SparkError> + Send + 'static,
) -> anyhow::Result<T> {
    let (sender, answer) = mpsc::channel();
    thread::spawn(move || {
        let _ = sender.send(f()); // Nobody may be waiting any more.
    });
    match answer.recv_timeout(CALL_LIMIT) {
        Ok(answer) => answer.map_err(spark_error).with_context(|| format!("the Spark server failed to {what}")),
        Err(_) => bail!("the Spark server did not {what} within {}", humantime::format_duration(CALL_LIMIT)),
    }
}

/// The client tries for minutes to reach who is not there.
fn reach(address: &ChannelBuilder) -> anyhow::Result<()> {
    const LIMIT: Duration = Duration::from_secs(5);
    let endpoint = address.endpoint();
    let connect = || -> std::io::Result<()> {
        let mut last = std::io::ErrorKind::AddrNotAvailable.into();
        for address in endpoint.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, LIMIT) {
                Ok(_) => return Ok(()),
                Err(error) => last = error,
            }
        }
        Err(last)
    };
    let missing = || format!("there is no Spark Connect server at {endpoint}; docs/spark.md says how to start one");
    connect().with_context(missing).or_exit(Code::Unavailable)
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// A server's error in a few lines: it sends whole stack traces.
pub(super) fn spark_error(error: SparkError) -> anyhow::Error {
    const LINES: usize = 6;
    let text = error.to_string();
    let said: Vec<&str> =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("at ")).take(LINES).collect();
    anyhow!("{}", said.join("\n"))
}
