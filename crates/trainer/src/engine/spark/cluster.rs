//! A session on a Spark Connect server. Its client blocks and has limits of an hour, so every call is made on a thread of
//! its own and waited for with limits of ours.

use std::{
    path::PathBuf,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use anyhow::Context;
use process::exit::{Code, OrExit};
use spark_connect::{SparkError, SparkSession};
use spark_connect_core::{SparkConnectClient, block_on, channel::ChannelBuilder};

use super::{
    fault,
    query::{self, OnNews},
    ui,
    wait::{GoOn, Wait, reach},
};

/// How long taking leave of a server may take, step by step.
const LEAVE_LIMIT: Duration = Duration::from_secs(5);
/// The first version that can put a row into the partition that it names.
const OLDEST: (u32, u32) = (4, 1);

pub(super) struct Cluster {
    session: SparkSession,
    /// For queries, on a connection of their own.
    client: Arc<SparkConnectClient>,
    address: ChannelBuilder,
    patience: Duration,
}

impl Cluster {
    /// Opens a session. What is asked of it later may take `patience` without a sign of progress.
    pub(super) fn connect(remote: &str, patience: Duration, go_on: GoOn<'_>) -> anyhow::Result<Self> {
        let address = parse(remote).or_exit(Code::Usage)?;
        if !address.use_ssl() && !address.is_loopback() {
            tracing::warn!("what goes to `{}` is not encrypted; add /;use_ssl=true to --spark-remote", address.host());
        }
        let endpoint = address.endpoint();
        let missing = || format!("there is no Spark Connect server at {endpoint}; docs/spark.md says how to start one");
        reach(&address).with_context(missing).or_exit(Code::Unavailable)?;
        // Neither of them talks to the server yet.
        let session = SparkSession::builder().remote(remote).get_or_create();
        let client = block_on(SparkConnectClient::connect(&address));
        let cluster = Cluster {
            session: session.map_err(fault::report).or_exit(Code::Usage)?,
            client: Arc::new(client.map_err(fault::report).or_exit(Code::Usage)?),
            address,
            patience,
        };
        let version = cluster.call("say its version", go_on, SparkSession::version)?;
        if parse_version(&version).is_none_or(|version| version < OLDEST) {
            let (major, minor) = OLDEST;
            fail!(Code::Unavailable, "the server at {endpoint} is Spark {version}; {major}.{minor} or newer is needed");
        }
        tracing::info!("connected to Spark {version} at {endpoint}");
        Ok(cluster)
    }

    pub(super) fn id(&self) -> &str {
        self.session.session_id()
    }

    /// Has the server do what costs it little.
    pub(super) fn call<T: Send + 'static>(
        &self,
        what: &str,
        go_on: GoOn<'_>,
        f: impl FnOnce(&SparkSession) -> Result<T, SparkError> + Send + 'static,
    ) -> anyhow::Result<T> {
        let answers = self.ask(f);
        let answer = Wait::new(&self.address, self.patience, what, go_on).next(&answers)?;
        answer.map_err(fault::report).with_context(|| format!("Spark failed to {what}"))
    }

    /// Has a thread do it; returns where the answer will come.
    fn ask<T: Send + 'static>(
        &self,
        f: impl FnOnce(&SparkSession) -> Result<T, SparkError> + Send + 'static,
    ) -> mpsc::Receiver<Result<T, SparkError>> {
        let session = self.session.clone();
        let (sender, answers) = mpsc::channel();
        thread::spawn(move || {
            let _ = sender.send(f(&session)); // Nobody may be waiting any more.
        });
        answers
    }

    /// Calls the server for the last time, unless it is gone; whether it does what it is asked is its business.
    pub(super) fn leave<T: Send + 'static>(
        &self,
        f: impl FnOnce(&SparkSession) -> Result<T, SparkError> + Send + 'static,
    ) {
        if reach(&self.address).is_ok() {
            let _ = self.ask(f).recv_timeout(LEAVE_LIMIT);
        }
    }

    pub(super) fn ship(&self, files: Vec<PathBuf>, go_on: GoOn<'_>) -> anyhow::Result<()> {
        self.call("take the files that are shipped", go_on, move |session| {
            let paths: Vec<_> = files.iter().map(|path| path.to_string_lossy()).collect();
            session.add_artifacts(&paths.iter().map(|path| &**path).collect::<Vec<_>>())
        })
    }

    /// Runs a query to its end, and hands on what comes from it.
    pub(super) fn query(&self, sql: String, go_on: GoOn<'_>, on_news: OnNews<'_>) -> anyhow::Result<()> {
        let messages = query::start(Arc::clone(&self.client), self.id(), sql);
        let wait = Wait::new(&self.address, self.patience, "finish another task", go_on);
        let outcome = query::follow(&messages, wait, on_news);
        if outcome.is_err() {
            self.leave(SparkSession::interrupt_all);
        }
        outcome
    }

    /// Whether its only executor is in a server on this machine.
    pub(super) fn is_here(&self, go_on: GoOn<'_>) -> bool {
        let is_local = |master: String| master.starts_with("local");
        self.address.is_loopback() && self.setting("spark.master", go_on).is_some_and(is_local)
    }

    /// A setting of the server, if it has it.
    pub(super) fn setting(&self, key: &'static str, go_on: GoOn<'_>) -> Option<String> {
        // The plain `get` has the server log a stack trace for what it does not have.
        let get = move |session: &SparkSession| session.conf().get_with_default(key, None);
        self.call("say its settings", go_on, get).ok().flatten()
    }

    /// The address of Spark's own pages, where the server knows it or they can be found.
    pub(super) fn ui(&self, go_on: GoOn<'_>) -> Option<String> {
        let address = self.setting("spark.driver.appUIAddress", go_on).filter(|address| !address.is_empty());
        let find = || {
            let host = self.setting("spark.driver.host", go_on)?;
            let first = self.setting("spark.ui.port", go_on).unwrap_or("4040".into()).parse().ok()?;
            ui::find(&host, first, &self.setting("spark.app.id", go_on)?)
        };
        address.or_else(find)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.leave(SparkSession::stop);
    }
}

fn parse(remote: &str) -> anyhow::Result<ChannelBuilder> {
    // Not after parsing: its errors repeat what they do not understand.
    flags::check_spark_remote(remote).map_err(anyhow::Error::msg)?;
    let address = ChannelBuilder::parse(remote).map_err(fault::report);
    address.with_context(|| format!("--spark-remote `{}` is no address of a Spark server", remote.escape_debug()))
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        assert!(parse_version("4.0.1").unwrap() < OLDEST);
        assert!(parse_version("4.10.0-SNAPSHOT").unwrap() > OLDEST);
        assert_eq!(parse_version("four"), None);
    }

    #[test]
    fn a_token_in_an_address_is_refused_and_not_repeated() {
        for remote in ["sc://host/;token=secret", "sc://host/;token=sec=ret", "host/;token=secret"] {
            let error = parse(remote).err().unwrap();
            let text = format!("{error:#}");
            assert!(text.contains("SPARK_CONNECT_AUTHENTICATE_TOKEN") && !text.contains("sec"), "{text}");
        }
        let error = parse("sc://host/;use_ssl=true;user_id=alice").err().unwrap();
        assert_eq!(error.to_string(), "--spark-remote with a user_id is not supported");
    }
}
