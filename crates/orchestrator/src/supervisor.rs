//! The supervisor starts the child processes, hears them, starts those again that die, and stops them. What happens to a
//! child that ended is decided in [`restart`]; [`child`] is one process.

mod child;
mod restart;

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitStatus,
    time::Duration,
};

use anyhow::{Context, anyhow};
use process::{
    exit::{Code, failure},
    shutdown::{Cause, Shutdown},
};
use setup::siblings::{self, Program};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};

use self::{
    child::{Child, Sender},
    restart::{RESTARTS, Restarts},
};
use crate::{
    child_event::{ChildEvent, What},
    invocation::Invocation,
    observers::Observers,
};

/// How long a child may take to end after its lifeline is closed; the receiver still seals and acknowledges.
pub(crate) const STOP_LIMIT: Duration = Duration::from_secs(10);
/// How long a child that was killed may take to end and be read to the end; after that it is the system's.
const KILL_LIMIT: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(crate) struct Supervisor {
    programs: PathBuf,
    children: Vec<Child>,
    sender: Sender,
    events: mpsc::Receiver<io::Result<ChildEvent>>,
    /// They hear each event before anybody acts on it.
    pub(crate) observers: Observers,
    shutdown: Shutdown,
    /// Environment variables of the children that are started from here on.
    pub(crate) environment: Vec<(&'static str, String)>,
}

impl Supervisor {
    /// No child yet. `programs` is the directory with their binaries.
    pub(crate) fn new(programs: &Path, observers: Observers, shutdown: Shutdown) -> Supervisor {
        // Bounded: a child that reports faster than we show it has to wait.
        let (sender, events) = mpsc::channel(256);
        let (programs, children, environment) = (programs.into(), Vec::new(), Vec::new());
        Supervisor { programs, children, sender, events, observers, shutdown, environment }
    }

    /// Starts a child and returns its number.
    pub(crate) fn start(&mut self, invocation: Invocation) -> anyhow::Result<usize> {
        let (number, path) = (self.children.len(), siblings::path(&self.programs, invocation.program));
        let mut child = Child::new(number, path, invocation);
        self.observers.hear(&child.spawn(&self.environment, &self.sender)?);
        self.children.push(child);
        Ok(number)
    }

    /// How a child is to be started, should it be started again.
    pub(crate) fn set_invocation(&mut self, number: usize, invocation: Invocation) {
        self.children[number].invocation = invocation;
    }

    /// Passes a Ctrl-C on to a child. A receiver takes it for the end of streams that have none; a stop is none.
    pub(crate) async fn interrupt(&mut self, number: usize) {
        self.children[number].interrupt().await;
    }

    /// Starts a child again that ended, after a while, under its old number.
    /// Fails when it ended with a reason that another start would not mend, or died too often without progress.
    pub(crate) fn restart(&mut self, number: usize, status: ExitStatus) -> anyhow::Result<()> {
        let child = &mut self.children[number];
        let console = &self.observers.console;
        let Some(wait) = child.restarts.next(status.code(), child.invocation.passing) else {
            let (lines, line) = child.failure(status);
            lines.iter().for_each(|line| console.warn(line));
            return Err(failure(Code::from(status), anyhow!(line)));
        };
        child.due = Some(Instant::now() + wait);
        let (name, Restarts(count)) = (&child.tag.name, child.restarts);
        console.warn(&format!("{name} died ({status}); starting it again ({count} of {RESTARTS})"));
        let restarting = child.tell(What::Restarting { count, of: RESTARTS });
        self.observers.hear(&restarting);
        Ok(())
    }

    /// Notes progress of these programs: their deaths before it do not count any more.
    pub(crate) fn progressed(&mut self, programs: &[Program]) {
        let progressed = self.children.iter_mut().filter(|child| programs.contains(&child.tag.program));
        progressed.for_each(|child| child.restarts = Restarts::default());
    }

    /// How a child ended; `None` if it runs, or is to be started again.
    pub(crate) fn exit(&self, number: usize) -> Option<ExitStatus> {
        let child = &self.children[number];
        child.exit.filter(|_| child.due.is_none())
    }

    /// Waits for something beside the children.
    pub(crate) async fn wait_for<T>(&mut self, what: impl Future<Output = T>) -> anyhow::Result<T> {
        tokio::select! {
            cause = self.shutdown.wait() => Err(resumable(cause)),
            done = what => Ok(done),
        }
    }

    /// Waits for the next event.
    /// Fails when this process is told to stop, when nothing at all was heard for `limit` while `doing` something, or when a
    /// child cannot be started again.
    pub(crate) async fn next(&mut self, limit: Duration, doing: &str) -> anyhow::Result<ChildEvent> {
        let mut shutdown = self.shutdown.clone();
        loop {
            let due = self.due();
            tokio::select! {
                biased;
                cause = shutdown.wait() => return Err(resumable(cause)),
                number = due => {
                    let started = self.children[number].spawn(&self.environment, &self.sender)?;
                    self.observers.hear(&started);
                }
                event = timeout(limit, self.event()) => {
                    return event.unwrap_or_else(|_| Err(gave_up(limit, doing)));
                }
            }
        }
    }

    /// Waits until a child is to be started again; for ever, if none is.
    fn due(&self) -> impl Future<Output = usize> + use<> {
        let next = self.children.iter().filter_map(|child| Some((child.due?, child.tag.number))).min();
        async move {
            let Some((at, number)) = next else { return std::future::pending().await };
            sleep_until(at).await;
            number
        }
    }

    /// The next event, which the observers have heard.
    async fn event(&mut self) -> anyhow::Result<ChildEvent> {
        let event = self.events.recv().await.context("no child can report")?.context("failed to wait for a child")?;
        let child = &mut self.children[event.child.number];
        match &event.what {
            What::Log(line) => child.logged(line),
            What::Ended(status) => child.exit = Some(*status),
            What::Event(_) | What::Started { .. } | What::Restarting { .. } => {}
        }
        self.observers.hear(&event);
        Ok(event)
    }

    /// Lets the children of these programs end by themselves, whatever with, and stops those that take longer than `limit`.
    pub(crate) async fn finish(&mut self, programs: &[Program], limit: Duration) {
        let all = async {
            for &program in programs {
                self.end_of(program).await;
            }
        };
        drop(timeout(limit, all).await);
        self.stop_all(programs, STOP_LIMIT).await;
    }

    /// Stops whoever still runs, in order: senders, so that the receiver can seal what it has; trainer; receiver. A
    /// child that takes longer than `limit` is killed. None is started again.
    pub(crate) async fn stop(&mut self, limit: Duration) {
        self.stop_all(&[Program::Sender, Program::Trainer, Program::Receiver], limit).await;
    }

    async fn stop_all(&mut self, programs: &[Program], limit: Duration) {
        for &program in programs {
            self.children.iter_mut().filter(|child| child.tag.program == program).for_each(Child::stop);
            if timeout(limit, self.end_of(program)).await.is_err() {
                for child in self.children.iter_mut().filter(|child| child.runs(program)) {
                    let (name, seconds) = (&child.tag.name, limit.as_secs());
                    self.observers.console.warn(&format!("{name} did not stop within {seconds} s; killing it"));
                    child.kill();
                }
                drop(timeout(KILL_LIMIT, self.end_of(program)).await);
            }
        }
    }

    async fn end_of(&mut self, program: Program) {
        while self.children.iter().any(|child| child.runs(program)) {
            drop(self.event().await); // The observers have heard it.
        }
    }
}

pub(crate) fn resumable(cause: Cause) -> anyhow::Error {
    failure(cause.code(), anyhow!("stopped by {}; --resume goes on with this run", cause.as_str()))
}

pub(crate) fn gave_up(limit: Duration, doing: &str) -> anyhow::Error {
    failure(Code::Unavailable, anyhow!("gave up {doing}: no sign of life for {} s", limit.as_secs()))
}

#[cfg(all(test, unix))]
mod tests {
    use std::{
        fs,
        os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    };

    use super::*;

    /// A supervisor of programs of which each is this shell script.
    fn supervisor(programs: &Path, script: &str) -> Supervisor {
        for program in Program::ALL {
            let path = programs.join(program.name());
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let (_trigger, shutdown) = Shutdown::manual();
        Supervisor::new(programs, Observers::new(terminal::Console::new()), shutdown)
    }

    fn start(supervisor: &mut Supervisor, program: Program) -> usize {
        let name = program.name().into();
        supervisor.start(Invocation { name, program, arguments: Vec::new(), passing: None }).unwrap()
    }

    #[tokio::test]
    async fn a_child_that_does_not_stop_is_dead_when_the_supervisor_has_stopped_it() {
        let programs = tempfile::tempdir().unwrap();
        let mut supervisor = supervisor(programs.path(), "echo $$ >&2\nexec sleep 60 2>&-");
        start(&mut supervisor, Program::Receiver);
        let What::Log(process) = supervisor.event().await.unwrap().what else { panic!("no log") };
        supervisor.stop(Duration::ZERO).await;
        let alive = std::process::Command::new("sh").args(["-c", &format!("kill -0 {process}")]).status().unwrap();
        assert!(!alive.success());
    }

    #[tokio::test]
    async fn a_ctrl_c_that_is_passed_on_is_a_byte_on_the_lifeline_and_a_stop_is_its_end() {
        let programs = tempfile::tempdir().unwrap();
        let mut supervisor = supervisor(programs.path(), "if read line; then exit 1; else exit 2; fi");
        for (is_interrupt, code) in [(true, 1), (false, 2)] {
            let child = start(&mut supervisor, Program::Receiver);
            if is_interrupt {
                supervisor.interrupt(child).await;
            }
            supervisor.stop(STOP_LIMIT).await;
            assert_eq!(supervisor.exit(child).unwrap().code(), Some(code));
            supervisor.interrupt(child).await; // It is dead, and nothing happens.
        }
    }

    #[tokio::test]
    async fn a_trainer_that_dies_at_every_start_is_given_up_whatever_the_others_do() {
        let programs = tempfile::tempdir().unwrap();
        let mut supervisor = supervisor(programs.path(), "exit 101");
        let [receiver, trainer] = [Program::Receiver, Program::Trainer].map(|program| start(&mut supervisor, program));
        let panicked = ExitStatus::from_raw(101 << 8);
        for _ in 0..RESTARTS {
            supervisor.restart(receiver, panicked).unwrap();
            supervisor.restart(trainer, panicked).unwrap();
            supervisor.progressed(&[Program::Receiver, Program::Sender]);
        }
        supervisor.restart(receiver, panicked).unwrap();
        supervisor.restart(trainer, panicked).unwrap_err();
        supervisor.progressed(&[Program::Trainer]);
        supervisor.restart(trainer, panicked).unwrap();
    }
}
