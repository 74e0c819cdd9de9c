//! Outside programs that the set-up runs: the compiler, Python's pip, cargo. Each is watched, so that it ends with us.

use std::{
    env,
    ffi::OsString,
    io,
    process::{ExitStatus, Output, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use process::shutdown::{Shutdown, stopped};
use tokio::{
    io::{AsyncReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

use crate::cache::unavailable;

/// How long a program may take to say its version.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// The C++ compiler that torch-sys will be compiled with: `$CXX`, else `c++`.
pub(crate) async fn compiler() -> anyhow::Result<OsString> {
    let compiler = env::var_os("CXX").filter(|name| !name.is_empty()).unwrap_or_else(|| "c++".into());
    if answers(Command::new(&compiler).arg("--version")).await? {
        return Ok(compiler);
    }
    Err(unavailable(format!(
        "no C++ compiler: `{}` does not run; install one (Debian and Ubuntu: `apt install g++`, macOS: \
         `xcode-select --install`) or set CXX",
        compiler.to_string_lossy()
    )))
}

/// Whether `command` can be started and ends with success, its output unseen.
pub(crate) async fn answers(command: &mut Command) -> anyhow::Result<bool> {
    Ok(output(command).await?.is_some_and(|output| output.status.success()))
}

/// What `command` says; `None` if there is no such program.
pub(crate) async fn output(command: &mut Command) -> anyhow::Result<Option<Output>> {
    command.stdin(Stdio::null()).kill_on_drop(true);
    match timeout(ANSWER_LIMIT, command.output()).await {
        Ok(Ok(output)) => Ok(Some(output)),
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Ok(Err(error)) => Err(error).with_context(|| format!("failed to start {:?}", command.as_std().get_program())),
        Err(_) => bail!("{:?} did not answer within a minute", command.as_std().get_program()),
    }
}

/// An outside program, in a process group of its own: when this is dropped before it has ended, so does all that it has
/// started.
#[derive(Debug)]
pub struct Tool {
    /// The process.
    pub child: Child,
}

impl Tool {
    /// Starts it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(mut command: Command) -> anyhow::Result<Tool> {
        process::group::begin(command.as_std_mut());
        let child = command.kill_on_drop(true).spawn();
        let name = command.as_std().get_program().to_string_lossy();
        Ok(Tool { child: child.with_context(|| format!("failed to start `{name}`"))? })
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        // There is none once it was waited for: its number may be another's by then.
        if let Some(leader) = self.child.id() {
            process::group::kill(leader);
        }
    }
}

/// Runs `command`, hands over each line of its stderr, and kills it if told to stop or if it is silent for `limit`.
/// A line may end with a carriage return, as those of progress bars do.
pub(crate) async fn run(
    mut command: Command,
    limit: Duration,
    shutdown: &Shutdown,
    mut on_line: impl FnMut(&str),
) -> anyhow::Result<ExitStatus> {
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stderr(Stdio::piped());
    let mut tool = Tool::start(command)?;
    let mut stderr = BufReader::new(tool.child.stderr.take().context("no pipe to stderr")?);
    let mut shutdown = shutdown.clone();
    let mut line = Vec::new();
    loop {
        let byte = tokio::select! {
            biased;
            cause = shutdown.wait() => return Err(stopped(cause)),
            byte = timeout(limit, stderr.read_u8()) => byte,
        };
        match byte {
            Ok(Ok(b'\n' | b'\r')) => {
                on_line(&String::from_utf8_lossy(&line));
                line.clear();
            }
            Ok(Ok(byte)) => line.push(byte),
            Ok(Err(_)) => break, // The end of stderr.
            Err(_) => bail!("`{program}` said nothing for {} minutes", limit.as_secs() / 60),
        }
    }
    tokio::select! {
        cause = shutdown.wait() => Err(stopped(cause)),
        status = tool.child.wait() => status.with_context(|| format!("failed to wait for `{program}`")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use process::{exit::Code, shutdown::Cause};

    use super::*;

    #[tokio::test]
    async fn lines_of_progress_bars_are_seen_as_they_come() {
        let mut command_on_stderr = Command::new("sh");
        command_on_stderr.args(["-c", "printf '1/2\\r2/2\\nend\\n' >&2; exit 3"]);
        let (_trigger, shutdown) = Shutdown::manual();
        let mut lines = Vec::new();
        let status = run(command_on_stderr, Duration::from_secs(60), &shutdown, |line| lines.push(line.to_owned()));
        assert_eq!(status.await.unwrap().code(), Some(3));
        assert_eq!(lines, ["1/2", "2/2", "end"]);
    }

    #[tokio::test]
    #[cfg(unix)]
    async fn a_tool_ends_with_all_that_it_has_started_when_we_are_told_to_stop() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut sleeper = Command::new("sh");
        sleeper.args(["-c", "sleep 60 & echo started >&2; wait"]).stdout(writer);
        let (trigger, shutdown) = Shutdown::manual();
        let result = run(sleeper, Duration::from_secs(60), &shutdown, |_| trigger.stop(Cause::Terminate));
        let error = result.await.unwrap_err();
        assert_eq!(process::exit::code_of(&error), Code::Terminated);
        // The pipe ends with the last process that can write to it.
        let end = tokio::task::spawn_blocking(move || reader.read_to_end(&mut Vec::new()));
        timeout(Duration::from_secs(30), end).await.expect("the tool's child lives on").unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_does_not_answer() {
        assert!(!answers(&mut Command::new("no-such-program-anywhere")).await.unwrap());
        assert!(answers(Command::new("rustc").arg("--version")).await.unwrap());
    }
}
