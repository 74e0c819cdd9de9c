//! The crew: the child processes. Each is heard on two pipes (events on stdout, logs on stderr) and stopped by closing a
//! third, its lifeline on stdin, which the system also closes if this process dies.
//!
//! A child that dies (it is killed, or panics) can be started again: none of them keeps in memory what it cannot find
//! again. One that ends with a reason (a full disk, a wrong flag) would only give it once more.

use std::{
    collections::VecDeque,
    env,
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, anyhow};
use cli::{
    event::Event,
    exit::{Code, failure},
    shell,
    shutdown::{Cause, Shutdown},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, ChildStdin, Command},
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until, timeout},
};

use crate::{
    commands::{Invocation, Program},
    console::Console,
    platform,
};

/// How long a child may take to end after its lifeline is closed; the receiver still seals and acknowledges.
pub const STOP_LIMIT: Duration = Duration::from_secs(10);
/// How long a child that was killed may take to end and be read to the end; after that it is the system's.
const KILL_LIMIT: Duration = Duration::from_secs(2);
/// How long a child's pipes are read after its end; a grandchild could hold them open for ever.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);
/// How often a child is started again without progress in between: after 0.1, 0.2, … 1.6 s.
const RESTARTS: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// Log lines repeated when a child fails.
const LAST_LINES: usize = 10;

/// The child processes of this run.
#[derive(Debug)]
pub struct Crew {
    programs: PathBuf,
    members: Vec<Member>,
    sender: mpsc::Sender<(usize, Report)>,
    inbox: Inbox,
    console: Console,
    shutdown: Shutdown,
    environment: Vec<(&'static str, String)>,
}

/// What a child did.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// It reported an event.
    Event {
        /// The child's number, counted from 0 in the order of starting.
        child: usize,
        /// The event.
        event: Event,
    },
    /// It ended.
    Ended {
        /// The child's number.
        child: usize,
        /// Which program it was.
        program: Program,
        /// How.
        status: ExitStatus,
    },
}

#[derive(Debug)]
struct Member {
    invocation: Invocation,
    path: PathBuf,
    lifeline: Option<ChildStdin>,
    /// Kills it when dropped.
    kill: Option<oneshot::Sender<()>>,
    last_lines: VecDeque<String>,
    running: bool,
    /// Starts after a death, since there was progress.
    restarts: u32,
    /// When it is to be started again.
    due: Option<Instant>,
}

#[derive(Debug)]
enum Report {
    Event(Event),
    Log(String),
    Ended(io::Result<ExitStatus>),
}

/// What the children report, each with its number.
#[derive(Debug)]
struct Inbox {
    reports: mpsc::Receiver<(usize, Report)>,
    /// The child that was started before its turn.
    unheard: Option<usize>,
    /// What that child has reported.
    later: VecDeque<(usize, Report)>,
}

impl Inbox {
    /// The next report of those whose turn it is.
    async fn next(&mut self) -> Option<(usize, Report)> {
        if self.unheard.is_none()
            && let Some(report) = self.later.pop_front()
        {
            return Some(report);
        }
        loop {
            let (child, report) = self.reports.recv().await?;
            if self.unheard != Some(child) {
                return Some((child, report));
            }
            self.later.push_back((child, report));
        }
    }
}

impl Crew {
    /// Nobody yet. `programs` is the directory with the children's binaries.
    pub fn new(programs: &Path, console: Console, shutdown: Shutdown) -> Crew {
        // Bounded: a child that reports faster than we show it has to wait.
        let (sender, reports) = mpsc::channel(256);
        Crew {
            programs: programs.into(),
            members: Vec::new(),
            sender,
            inbox: Inbox { reports, unheard: None, later: VecDeque::new() },
            console,
            shutdown,
            environment: Vec::new(),
        }
    }

    /// Gives the children that are started from here on these environment variables.
    pub fn set_environment(&mut self, variables: Vec<(&'static str, String)>) {
        self.environment = variables;
    }

    /// Waits for something beside the children.
    ///
    /// # Errors
    /// When this process is told to stop meanwhile.
    pub async fn wait_for<T>(&mut self, what: impl Future<Output = T>) -> anyhow::Result<T> {
        tokio::select! {
            cause = self.shutdown.wait() => Err(resumable(cause)),
            done = what => Ok(done),
        }
    }

    /// Starts a child and returns its number.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&mut self, invocation: Invocation) -> anyhow::Result<usize> {
        let path = self.programs.join(invocation.program.name()).with_extension(std::env::consts::EXE_EXTENSION);
        let child = self.members.len();
        self.members.push(Member {
            invocation,
            path,
            lifeline: None,
            kill: None,
            last_lines: VecDeque::new(),
            running: false,
            restarts: 0,
            due: None,
        });
        self.spawn(child)?;
        Ok(child)
    }

    /// Starts a child before its turn. What it reports is kept until [`Crew::heed`].
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_ahead(&mut self, invocation: Invocation) -> anyhow::Result<()> {
        self.inbox.unheard = Some(self.start(invocation)?);
        Ok(())
    }

    /// Whether a child was started before its turn. From here on it is listened to.
    pub fn heed(&mut self) -> bool {
        self.inbox.unheard.take().is_some()
    }

    /// How a child is to be started, should it be started again.
    pub fn instruct(&mut self, child: usize, invocation: Invocation) {
        self.members[child].invocation = invocation;
    }

    /// Starts a child again that died, after a while, under its old number.
    ///
    /// # Errors
    /// When it ended with a reason that another start would not mend, or died too often without progress.
    pub fn revive(&mut self, child: usize, status: ExitStatus) -> anyhow::Result<()> {
        let member = &self.members[child];
        let passing = member.invocation.passing.is_some_and(|code| status.code() == Some(code as i32));
        if !(died(status) || passing) || member.restarts == RESTARTS {
            return Err(self.failed(child, status));
        }
        let member = &mut self.members[child];
        let wait = FIRST_WAIT * (1 << member.restarts);
        member.due = Some(Instant::now() + wait);
        member.restarts += 1;
        let (name, restarts) = (&member.invocation.name, member.restarts);
        self.console.warn(&format!("{name} died ({status}); starting it again ({restarts} of {RESTARTS})"));
        Ok(())
    }

    /// Notes progress: deaths before it do not count any more.
    pub fn progressed(&mut self) {
        for member in &mut self.members {
            member.restarts = 0;
        }
    }

    fn spawn(&mut self, child: usize) -> anyhow::Result<()> {
        let member = &mut self.members[child];
        let mut command = Command::new(&member.path);
        command.args(&member.invocation.arguments).envs(self.environment.iter().cloned()).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if env::var_os("RUST_LOG").is_none() {
            command.env("RUST_LOG", "warn"); // What goes well is told by events.
        }
        platform::shield_from_terminal(&mut command);
        let mut process = command.spawn().with_context(|| format!("failed to start `{}`", member.path.display()))?;
        let (kill, killed) = oneshot::channel();
        (member.lifeline, member.kill) = (process.stdin.take(), Some(kill));
        (member.running, member.due) = (true, None);
        member.last_lines.clear();
        tokio::spawn(follow(process, killed, child, self.sender.clone()));
        Ok(())
    }

    /// Waits for the next news; logs are printed on the way.
    ///
    /// # Errors
    /// When this process is told to stop, when nothing at all was heard for `limit` while `doing` something, or when a
    /// child cannot be started again.
    pub async fn next(&mut self, limit: Duration, doing: &str) -> anyhow::Result<News> {
        loop {
            let due = self.due();
            let report = tokio::select! {
                biased;
                cause = self.shutdown.wait() => {
                    return Err(resumable(cause));
                }
                child = due => {
                    self.spawn(child)?;
                    continue;
                }
                report = timeout(limit, self.inbox.next()) => report,
            };
            let Ok(Some((child, report))) = report else {
                return Err(gave_up(limit, doing));
            };
            match report {
                Report::Event(event) => {
                    self.console.event(&self.members[child].invocation.name, &event);
                    return Ok(News::Event { child, event });
                }
                Report::Log(line) => self.log(child, line),
                Report::Ended(status) => {
                    let member = &mut self.members[child];
                    member.running = false;
                    return Ok(News::Ended { child, program: member.invocation.program, status: status? });
                }
            }
        }
    }

    /// Waits until a child is to be started again; for ever, if none is.
    fn due(&self) -> impl Future<Output = usize> + use<> {
        let due = |(child, member): (usize, &Member)| Some((member.due?, child));
        let next = self.members.iter().enumerate().filter_map(due).min();
        async move {
            let Some((at, child)) = next else { return std::future::pending().await };
            sleep_until(at).await;
            child
        }
    }

    /// Lets the children of these programs end by themselves, whatever with, and stops those that take longer than `limit`.
    pub async fn dismiss(&mut self, programs: &[Program], limit: Duration) {
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
    pub async fn stop(&mut self, limit: Duration) {
        self.heed();
        self.stop_all(&[Program::Sender, Program::Trainer, Program::Receiver], limit).await;
    }

    async fn stop_all(&mut self, programs: &[Program], limit: Duration) {
        for &program in programs {
            for member in self.members.iter_mut().filter(|member| member.invocation.program == program) {
                (member.due, member.lifeline) = (None, None);
            }
            if timeout(limit, self.end_of(program)).await.is_err() {
                self.kill(program, limit);
                drop(timeout(KILL_LIMIT, self.end_of(program)).await);
            }
        }
    }

    async fn end_of(&mut self, program: Program) {
        while self.runs(program) {
            match self.inbox.next().await {
                Some((child, Report::Log(line))) => self.log(child, line),
                Some((child, Report::Ended(_))) => self.members[child].running = false,
                Some((child, Report::Event(event))) => {
                    self.console.event(&self.members[child].invocation.name, &event);
                }
                None => {}
            }
        }
    }

    fn runs(&self, program: Program) -> bool {
        self.members.iter().any(|member| member.running && member.invocation.program == program)
    }

    fn kill(&mut self, program: Program, limit: Duration) {
        for member in self.members.iter_mut().filter(|member| member.running && member.invocation.program == program) {
            let name = &member.invocation.name;
            self.console.warn(&format!("{name} did not stop within {} s; killing it", limit.as_secs()));
            member.kill = None;
        }
    }

    fn log(&mut self, child: usize, line: String) {
        let member = &mut self.members[child];
        self.console.log(child, &member.invocation.name, &line);
        if member.last_lines.len() == LAST_LINES {
            member.last_lines.pop_front();
        }
        member.last_lines.push_back(line);
    }

    /// Shows a failed child, and makes the error that this process ends with.
    fn failed(&self, child: usize, status: ExitStatus) -> anyhow::Error {
        let member = &self.members[child];
        let name = &member.invocation.name;
        self.console.warn(&format!("{name} failed ({status}). It was started as"));
        let arguments = member.invocation.arguments.iter().map(OsStr::new);
        let words = [member.path.as_os_str()].into_iter().chain(arguments);
        self.console.warn(&format!("    {}", shell::command_line(words)));
        if !member.last_lines.is_empty() {
            self.console.warn("and its last lines were");
        }
        for line in &member.last_lines {
            self.console.warn(&format!("    {line}"));
        }
        let last = member.last_lines.back().map(String::as_str).unwrap_or("it said nothing");
        let last = last.trim_start_matches(&format!("{}: ", member.invocation.program.name()));
        failure(code_of(status), anyhow!("{name} failed ({status}): {last}"))
    }
}

/// The error of a run that was told to stop.
fn resumable(cause: Cause) -> anyhow::Error {
    failure(cause.code(), anyhow!("stopped by {}; --resume goes on with this run", cause.as_str()))
}

/// The error of a process that was told to stop.
pub(crate) fn stopped(cause: Cause) -> anyhow::Error {
    failure(cause.code(), anyhow!("stopped by {}", cause.as_str()))
}

/// The error of a wait that took too long.
pub(crate) fn gave_up(limit: Duration, doing: &str) -> anyhow::Error {
    failure(Code::Unavailable, anyhow!("gave up {doing}: no sign of life for {} s", limit.as_secs()))
}

/// Passes on everything a child reports, then its end.
async fn follow(mut child: Child, killed: oneshot::Receiver<()>, index: usize, sender: mpsc::Sender<(usize, Report)>) {
    let events = child.stdout.take().map(|stdout| {
        // Other programs' events, and those of a newer version, are none of our business.
        tokio::spawn(pass_on(stdout, index, sender.clone(), |line| serde_json::from_str(line).ok().map(Report::Event)))
    });
    let logs = child
        .stderr
        .take()
        .map(|stderr| tokio::spawn(pass_on(stderr, index, sender.clone(), |line| Some(Report::Log(line.into())))));
    let status = tokio::select! {
        status = child.wait() => status,
        _ = killed => match child.start_kill() {
            Ok(()) => child.wait().await,
            Err(error) => Err(error),
        },
    };
    let drained = async {
        for reader in [events, logs].into_iter().flatten() {
            drop(reader.await);
        }
    };
    drop(timeout(DRAIN_LIMIT, drained).await);
    drop(sender.send((index, Report::Ended(status))).await); // Nobody listens after the run.
}

async fn pass_on(
    pipe: impl AsyncRead + Unpin,
    index: usize,
    sender: mpsc::Sender<(usize, Report)>,
    report: impl Fn(&str) -> Option<Report>,
) {
    let mut pipe = BufReader::new(pipe);
    let mut line = Vec::new();
    while matches!(pipe.read_until(b'\n', &mut line).await, Ok(n) if n > 0) {
        if let Some(report) = report(String::from_utf8_lossy(&line).trim_end())
            && sender.send((index, report)).await.is_err()
        {
            return;
        }
        line.clear();
    }
}

/// Whether a child ended without a reason of its own: by a signal, or by a mistake of ours such as a panic.
fn died(status: ExitStatus) -> bool {
    /// What Rust's runtime exits with after a panic in `main`.
    const PANIC: i32 = 101;
    status.code().is_none_or(|code| code == PANIC || code == Code::Software as i32)
}

/// The exit code to end with when a child ended with `status`.
fn code_of(status: ExitStatus) -> Code {
    status.code().and_then(|number| u8::try_from(number).ok()).map_or(Code::Software, Code::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    #[cfg(unix)]
    async fn a_child_that_does_not_stop_is_dead_when_the_crew_is_stopped() {
        use std::{fs, os::unix::fs::PermissionsExt};

        let programs = tempfile::tempdir().unwrap();
        let path = programs.path().join("receiver");
        fs::write(&path, "#!/bin/sh\necho $$ >&2\nexec sleep 60 2>&-\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let (_trigger, shutdown) = Shutdown::manual();
        let mut crew = Crew::new(programs.path(), Console::new(), shutdown);
        let (name, program) = ("receiver".into(), Program::Receiver);
        crew.start(Invocation { name, program, arguments: Vec::new(), passing: None }).unwrap();
        let Some((0, Report::Log(process))) = crew.inbox.next().await else { panic!("no log") };
        crew.stop(Duration::ZERO).await;
        let alive = std::process::Command::new("sh").args(["-c", &format!("kill -0 {process}")]).status().unwrap();
        assert!(!alive.success());
    }
}
