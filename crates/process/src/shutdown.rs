//! When a program is told to stop: Ctrl-C, SIGTERM, a terminal that is closed, or by its lifeline.
//!
//! A lifeline is a pipe on stdin that a parent process holds open. It ends when the parent closes it or dies, however
//! it dies, so no child outlives its parent; and it works the same on every operating system. A byte on it is a Ctrl-C that
//! the parent passes on.

use std::{
    io::{self, BufRead},
    thread,
    time::Duration,
};

use tokio::{runtime::Builder, sync::watch, time::timeout};

use crate::exit::{Code, failure};

/// Why the program is told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Ctrl-C (SIGINT), or one that the parent process passes on.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// SIGHUP: the terminal was closed.
    HangUp,
    /// The parent process closed the lifeline, or is gone.
    Lifeline,
}

impl Cause {
    /// The exit code of a program that stopped for this cause.
    pub fn code(self) -> Code {
        match self {
            Cause::Interrupt => Code::Interrupted,
            Cause::HangUp => Code::HungUp,
            Cause::Terminate | Cause::Lifeline => Code::Terminated,
        }
    }

    /// How it reads in a message: `stopped by …`.
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::Interrupt => "Ctrl-C",
            Cause::Terminate => "SIGTERM",
            Cause::HangUp => "SIGHUP (the terminal was closed)",
            Cause::Lifeline => "the parent process",
        }
    }
}

/// The error of a process that was told to stop.
pub fn stopped(cause: Cause) -> anyhow::Error {
    failure(cause.code(), anyhow::anyhow!("stopped by {}", cause.as_str()))
}

/// A stop that may come. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<Option<Cause>>);

/// The side that stops, for tests and for programs that stop themselves.
#[derive(Clone, Debug)]
pub struct Trigger(watch::Sender<Option<Cause>>);

impl Trigger {
    /// Stops; the first cause counts.
    pub fn stop(&self, cause: Cause) {
        self.0.send_if_modified(|slot| {
            let is_first = slot.is_none();
            slot.get_or_insert(cause);
            is_first
        });
    }

    /// Takes a stop back that was answered with less than an end. The next one counts as the first.
    pub fn take_back(&self) {
        self.0.send_replace(None);
    }
}

impl Shutdown {
    /// A stop under the caller's control.
    pub fn manual() -> (Trigger, Shutdown) {
        let (sender, receiver) = watch::channel(None);
        (Trigger(sender), Shutdown(receiver))
    }

    /// The cause, if the program has been told to stop.
    pub fn requested(&self) -> Option<Cause> {
        *self.0.borrow()
    }

    /// Waits until the program is told to stop; forever, if nobody can tell it any more.
    pub async fn wait(&mut self) -> Cause {
        match self.0.wait_for(Option::is_some).await.map(|cause| *cause) {
            Ok(Some(cause)) => cause,
            _ => std::future::pending().await,
        }
    }

    /// Keeps this thread until the program is told to stop, no longer than `limit`, if there is one.
    ///
    /// # Errors
    /// When the system has no means to wait.
    pub fn block(&mut self, limit: Option<Duration>) -> io::Result<()> {
        let runtime = Builder::new_current_thread().enable_time().build()?;
        runtime.block_on(async {
            match limit {
                Some(limit) => drop(timeout(limit, self.wait()).await),
                None => drop(self.wait().await),
            }
        });
        Ok(())
    }
}

/// Listens for signals and, if `lifeline` is set, to stdin, on threads of its own.
///
/// # Errors
/// When the signal handlers or the threads cannot be set up.
pub fn listen(lifeline: bool) -> io::Result<(Trigger, Shutdown)> {
    let (trigger, shutdown) = Shutdown::manual();
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let on_signal = trigger.clone();
    // Registered before returning: a signal that comes right after start must not find the default handler.
    let mut signals = runtime.block_on(async { signals() })?;
    thread::Builder::new().name("signals".into()).spawn(move || {
        loop {
            let cause = runtime.block_on(signals.next());
            if on_signal.0.borrow().is_some() {
                // A second signal means it: leave at once.
                std::process::exit(cause.code() as i32);
            }
            on_signal.stop(cause);
        }
    })?;
    if lifeline {
        let on_word = trigger.clone();
        thread::Builder::new().name("lifeline".into()).spawn(move || {
            on_word.stop(told(io::stdin().lock()));
        })?;
    }
    Ok((trigger, shutdown))
}

/// Waits until a lifeline tells to stop.
fn told(lifeline: impl BufRead) -> Cause {
    match lifeline.bytes().next() {
        Some(Ok(_)) => Cause::Interrupt,
        None | Some(Err(_)) => Cause::Lifeline, // An error is as good as the end.
    }
}

#[cfg(unix)]
mod platform {
    use std::{fs, future, io::IsTerminal};

    use tokio::signal::unix::{Signal, SignalKind, signal};

    use super::{Cause, io};

    pub(super) struct Signals {
        interrupt: Signal,
        terminate: Signal,
        /// `None` if it is to be ignored.
        hang_up: Option<Signal>,
    }

    pub(super) fn signals() -> io::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: if outlives_terminal() { None } else { Some(signal(SignalKind::hangup())?) },
        })
    }

    /// Whether whoever started this program, such as `nohup`, wants it to go on when the terminal is closed: SIGHUP is
    /// ignored then, and a handler would end that.
    fn outlives_terminal() -> bool {
        match fs::read_to_string("/proc/self/status") {
            Ok(status) => ignores(&status, SignalKind::hangup()),
            // Where the system does not tell, `nohup` is known by where it sends the output.
            Err(_) => !io::stdout().is_terminal() && !io::stderr().is_terminal(),
        }
    }

    /// Whether a process with this status, as Linux gives it, ignores the signal.
    pub(super) fn ignores(status: &str, signal: SignalKind) -> bool {
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
        mask >> (signal.as_raw_value() - 1) & 1 == 1
    }

    impl Signals {
        pub(super) async fn next(&mut self) -> Cause {
            tokio::select! {
                _ = self.interrupt.recv() => Cause::Interrupt,
                _ = self.terminate.recv() => Cause::Terminate,
                () = received(self.hang_up.as_mut()) => Cause::HangUp,
            }
        }
    }

    async fn received(signal: Option<&mut Signal>) {
        match signal {
            Some(signal) => drop(signal.recv().await),
            None => future::pending().await,
        }
    }
}

#[cfg(windows)]
mod platform {
    use tokio::signal::windows::{CtrlBreak, CtrlC, ctrl_break, ctrl_c};

    use super::{Cause, io};

    pub(super) struct Signals {
        ctrl_c: CtrlC,
        ctrl_break: CtrlBreak,
    }

    pub(super) fn signals() -> io::Result<Signals> {
        Ok(Signals { ctrl_c: ctrl_c()?, ctrl_break: ctrl_break()? })
    }

    impl Signals {
        pub(super) async fn next(&mut self) -> Cause {
            tokio::select! {
                _ = self.ctrl_c.recv() => Cause::Interrupt,
                _ = self.ctrl_break.recv() => Cause::Terminate,
            }
        }
    }
}

use platform::signals;

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[tokio::test]
    async fn the_first_cause_counts_and_is_seen_by_every_clone() {
        let (trigger, mut shutdown) = Shutdown::manual();
        let mut clone = shutdown.clone();
        assert_eq!(shutdown.requested(), None);
        trigger.stop(Cause::Terminate);
        trigger.stop(Cause::Interrupt);
        assert_eq!(shutdown.wait().await, Cause::Terminate);
        assert_eq!(clone.wait().await, Cause::Terminate);
    }

    #[tokio::test]
    async fn after_a_stop_that_was_taken_back_the_next_one_counts() {
        let (trigger, mut shutdown) = Shutdown::manual();
        trigger.stop(Cause::Interrupt);
        assert_eq!(shutdown.wait().await, Cause::Interrupt);
        trigger.take_back();
        assert_eq!(shutdown.requested(), None);
        trigger.stop(Cause::Terminate);
        assert_eq!(shutdown.wait().await, Cause::Terminate);
    }

    #[test]
    fn a_thread_is_kept_until_a_stop_or_the_limit() {
        let (trigger, mut shutdown) = Shutdown::manual();
        shutdown.block(Some(Duration::ZERO)).unwrap();
        trigger.stop(Cause::Interrupt);
        for limit in [None, Some(Duration::MAX)] {
            shutdown.block(limit).unwrap();
        }
    }

    #[test]
    fn a_byte_on_a_lifeline_is_a_ctrl_c_and_its_end_is_the_end_of_the_parent() {
        for (bytes, cause) in [("\n", Cause::Interrupt), ("", Cause::Lifeline)] {
            assert_eq!(told(bytes.as_bytes()), cause);
        }
        assert_eq!(told(io::BufReader::new(Broken)), Cause::Lifeline);
    }

    struct Broken;

    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("broken"))
        }
    }

    #[cfg(unix)]
    #[test]
    fn an_ignored_signal_is_known_by_its_bit() {
        use tokio::signal::unix::SignalKind;
        for (mask, hang_up, interrupt) in
            [("0000000000000001", true, false), ("0000000000001006", false, true), ("", false, false)]
        {
            let status = format!("Name:\tx\nSigBlk:\tffffffffffffffff\nSigIgn:\t{mask}\nSigCgt:\tffffffffffffffff\n");
            let ignored =
                [SignalKind::hangup(), SignalKind::interrupt()].map(|signal| platform::ignores(&status, signal));
            assert_eq!(ignored, [hang_up, interrupt], "{mask}");
        }
    }
}
