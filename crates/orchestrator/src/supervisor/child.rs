//! One child process. It is heard on two pipes (events on stdout, logs on stderr) and stopped by closing a third, its
//! lifeline on stdin, which the system also closes if this process dies. A byte on that is a Ctrl-C.

use std::{
    collections::VecDeque,
    env,
    ffi::OsStr,
    io,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::Context;
use setup::siblings::Program;
use terminal::shell;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader},
    process::{self, ChildStdin, Command},
    sync::{mpsc, oneshot},
    time::{Instant, timeout},
};

use super::restart::Restarts;
use crate::{
    child_event::{self, ChildEvent, What},
    invocation::Invocation,
};

/// How long a child's pipes are read after its end; a grandchild could hold them open for ever.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);
/// Log lines repeated when a child fails.
const LAST_LINES: usize = 10;

/// Where children report; an error when one cannot be waited for.
pub(super) type Sender = mpsc::Sender<io::Result<ChildEvent>>;

#[derive(Debug)]
pub(super) struct Child {
    pub(super) tag: child_event::Child,
    pub(super) invocation: Invocation,
    path: PathBuf,
    lifeline: Option<ChildStdin>,
    /// Kills it when dropped.
    kill: Option<oneshot::Sender<()>>,
    last_lines: VecDeque<String>,
    /// How it ended; `None` while it runs.
    pub(super) exit: Option<ExitStatus>,
    pub(super) restarts: Restarts,
    /// When it is to be started again.
    pub(super) due: Option<Instant>,
}

impl Child {
    /// A child with the binary at `path` that is still to be started.
    pub(super) fn new(number: usize, path: PathBuf, invocation: Invocation) -> Child {
        let tag = child_event::Child { number, name: invocation.name.as_str().into(), program: invocation.program };
        Child {
            tag,
            invocation,
            path,
            lifeline: None,
            kill: None,
            last_lines: VecDeque::new(),
            exit: None,
            restarts: Restarts::default(),
            due: None,
        }
    }

    /// Starts its process, with these environment variables beside ours. Returns what to tell of it.
    pub(super) fn spawn(&mut self, environment: &[(&str, String)], sender: &Sender) -> anyhow::Result<ChildEvent> {
        let mut command = Command::new(&self.path);
        command.args(&self.invocation.arguments).envs(environment.iter().cloned()).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if env::var_os("RUST_LOG").is_none() {
            command.env("RUST_LOG", "warn"); // What goes well is told by events.
        }
        ::process::group::begin(command.as_std_mut());
        let mut process = command.spawn().with_context(|| format!("failed to start `{}`", self.path.display()))?;
        let pid = process.id().unwrap_or_default(); // It is always there until the process is waited for.
        let (kill, killed) = oneshot::channel();
        (self.lifeline, self.kill) = (process.stdin.take(), Some(kill));
        (self.exit, self.due) = (None, None);
        self.last_lines.clear();
        let started = self.tell(What::Started { pid });
        tokio::spawn(follow(process, killed, self.tag.clone(), sender.clone()));
        Ok(started)
    }

    /// What happens to it now.
    pub(super) fn tell(&self, what: What) -> ChildEvent {
        ChildEvent { child: self.tag.clone(), at: std::time::Instant::now(), what }
    }

    /// Whether it is of this program, and runs.
    pub(super) fn runs(&self, program: Program) -> bool {
        self.exit.is_none() && self.tag.program == program
    }

    /// Tells it to end, and starts it no more.
    pub(super) fn stop(&mut self) {
        self.due = None;
        self.lifeline = None;
    }

    /// Passes a Ctrl-C on to it, unless it is dead.
    pub(super) async fn interrupt(&mut self) {
        let Some(lifeline) = &mut self.lifeline else { return };
        // One byte always finds room in the pipe, and a broken pipe is that of a dead child.
        if lifeline.write_all(b"\n").await.is_ok() {
            drop(lifeline.flush().await);
        }
    }

    pub(super) fn kill(&mut self) {
        self.kill = None;
    }

    pub(super) fn logged(&mut self, line: &str) {
        if self.last_lines.len() == LAST_LINES {
            self.last_lines.pop_front();
        }
        self.last_lines.push_back(line.to_owned());
    }

    /// What is to be known of a child that failed, line by line; and in one line.
    pub(super) fn failure(&self, status: ExitStatus) -> (Vec<String>, String) {
        let name = &self.tag.name;
        let words = [self.path.as_os_str()].into_iter().chain(self.invocation.arguments.iter().map(OsStr::new));
        let mut lines = vec![format!("{name} failed ({status}). It was started as")];
        lines.push(format!("    {}", shell::command_line(words)));
        if !self.last_lines.is_empty() {
            lines.push("and its last lines were".into());
        }
        lines.extend(self.last_lines.iter().map(|line| format!("    {line}")));
        let last = self.last_lines.back().map_or("it said nothing", String::as_str);
        let last = last.trim_start_matches(&format!("{}: ", self.tag.program.name()));
        (lines, format!("{name} failed ({status}): {last}"))
    }
}

/// Sender all that a child does, its end last.
async fn follow(mut child: process::Child, killed: oneshot::Receiver<()>, tag: child_event::Child, sender: Sender) {
    let tagged = move |what| ChildEvent { child: tag.clone(), at: std::time::Instant::now(), what };
    let (events, logs) = (child.stdout.take(), child.stderr.take());
    // Other programs' events, and those of a newer version, are passed over.
    let event = |line: &str| serde_json::from_str(line).ok().map(What::Event);
    let events = events.map(|pipe| tokio::spawn(pass_on(pipe, event, tagged.clone(), sender.clone())));
    let log = |line: &str| Some(What::Log(line.to_owned()));
    let logs = logs.map(|pipe| tokio::spawn(pass_on(pipe, log, tagged.clone(), sender.clone())));
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
    drop(sender.send(status.map(|status| tagged(What::Ended(status)))).await); // Nobody listens after the run.
}

async fn pass_on(
    pipe: impl AsyncRead + Unpin,
    parse: impl Fn(&str) -> Option<What>,
    tagged: impl Fn(What) -> ChildEvent,
    sender: Sender,
) {
    let mut pipe = BufReader::new(pipe);
    let mut line = Vec::new();
    while matches!(pipe.read_until(b'\n', &mut line).await, Ok(n) if n > 0) {
        if let Some(what) = parse(String::from_utf8_lossy(&line).trim_end())
            && sender.send(Ok(tagged(what))).await.is_err()
        {
            return;
        }
        line.clear();
    }
}
