//! Waiting for Spark ends in one of four ways: what is waited for comes, the run is told to stop, the server is gone, or
//! patience is over.

use std::{
    io,
    net::{TcpStream, ToSocketAddrs},
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow};
use process::exit::{Code, OrExit};
use spark_connect_core::channel::ChannelBuilder;

/// Is asked now and then whether to go on; says by an error that not.
pub(super) type GoOn<'a> = &'a dyn Fn() -> anyhow::Result<()>;

/// How often to ask it.
const POLL: Duration = Duration::from_millis(100);
/// How often to look whether a silent server is still there.
const LOOK: Duration = Duration::from_secs(3);

pub(super) struct Wait<'a> {
    address: &'a ChannelBuilder,
    patience: Duration,
    /// What Spark is to do, for errors.
    what: &'a str,
    go_on: GoOn<'a>,
    /// When it last did something of it.
    progress: Instant,
    /// When the server was last known to be there.
    alive: Instant,
}

impl<'a> Wait<'a> {
    pub(super) fn new(address: &'a ChannelBuilder, patience: Duration, what: &'a str, go_on: GoOn<'a>) -> Self {
        Wait { address, patience, what, go_on, progress: Instant::now(), alive: Instant::now() }
    }

    /// The next message.
    ///
    /// # Errors
    /// That of `go_on`, and when the server is gone or patience is over.
    pub(super) fn next<T>(&mut self, messages: &Receiver<T>) -> anyhow::Result<T> {
        loop {
            (self.go_on)()?;
            if self.progress.elapsed() > self.patience {
                let patience = humantime::format_duration(self.patience);
                let what = self.what;
                fail!(
                    Code::Unavailable,
                    "Spark did not {what} within {patience}; are its executors alive, and free? Give them longer with \
                     --spark-patience"
                );
            }
            match messages.recv_timeout(POLL) {
                Ok(message) => {
                    self.alive = Instant::now();
                    return Ok(message);
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(anyhow!("the client of Spark broke down when asked to {}", self.what));
                }
                Err(RecvTimeoutError::Timeout) => self.look()?,
            }
        }
    }

    pub(super) fn has_progressed(&mut self) {
        self.progress = Instant::now();
    }

    /// The client tries for minutes to reach a server that is not there.
    fn look(&mut self) -> anyhow::Result<()> {
        if self.alive.elapsed() > LOOK {
            let gone = || format!("the Spark server at {} is gone", self.address.endpoint());
            reach(self.address).with_context(gone).or_exit(Code::Unavailable)?;
            self.alive = Instant::now();
        }
        Ok(())
    }
}

pub(super) fn reach(address: &ChannelBuilder) -> io::Result<()> {
    const LIMIT: Duration = Duration::from_secs(5);
    let mut last = io::ErrorKind::AddrNotAvailable.into();
    for address in address.endpoint().to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, LIMIT) {
            Ok(_) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, sync::mpsc};

    use super::*;

    /// Waits for a server that listens, or not, and that says nothing, unless there is news when `go_on` is asked.
    fn wait(
        listens: bool,
        patience: Duration,
        go_on: impl Fn(&mpsc::Sender<()>) -> anyhow::Result<()>,
    ) -> anyhow::Error {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = ChannelBuilder::parse(&format!("sc://{}", listener.local_addr().unwrap())).unwrap();
        let _listener = listens.then_some(listener);
        let (sender, messages) = mpsc::channel();
        let go_on = || go_on(&sender);
        let mut wait = Wait::new(&address, patience, "answer", &go_on);
        let started = Instant::now();
        loop {
            if let Err(error) = wait.next(&messages) {
                return error;
            }
            assert!(started.elapsed() < Duration::from_secs(10));
        }
    }

    #[test]
    fn a_silent_server_is_waited_for_until_patience_is_over_or_the_run_is_to_stop() {
        let error = wait(true, Duration::from_millis(250), |_| Ok(()));
        assert_eq!(process::exit::code_of(&error), Code::Unavailable);
        assert!(error.to_string().starts_with("Spark did not answer within 250ms"), "{error}");
        assert_eq!(wait(true, Duration::MAX, |_| Err(anyhow!("enough"))).to_string(), "enough");
    }

    #[test]
    fn news_without_progress_do_not_lengthen_patience() {
        let news = |sender: &mpsc::Sender<()>| Ok(sender.send(())?);
        let error = wait(true, Duration::from_millis(50), news);
        assert!(error.to_string().starts_with("Spark did not answer within 50ms"), "{error}");
    }

    #[test]
    fn a_server_that_is_gone_is_not_waited_for() {
        let error = wait(false, Duration::from_secs(600), |_| Ok(()));
        assert_eq!(process::exit::code_of(&error), Code::Unavailable);
        assert!(error.to_string().contains(" is gone"), "{error}");
    }
}
