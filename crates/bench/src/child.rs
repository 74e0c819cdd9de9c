//! A child is a program that is run to its end, within a limit, and whose stdout is kept.

use std::{
    fs::File,
    io::{self, Read, Seek},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};

/// How much of a failed program's last words is shown.
const LAST_LINES: usize = 20;

/// Runs a program and returns what it says on stdout. Its stdin is open until it ends, as a lifeline; what it says on
/// stderr is shown if it fails.
///
/// # Errors
/// When it cannot be started, fails, or is not done within `limit`.
pub fn output(command: &mut Command, limit: Duration) -> anyhow::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut words = tempfile::tempfile()?; // A file and not a pipe: nobody has to empty it.
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(words.try_clone()?);
    let mut child = Killed(command.spawn().with_context(|| format!("failed to start `{name}`"))?);
    let mut stdout = child.0.stdout.take().context("the child has no stdout")?;
    let (sender, all) = mpsc::channel();
    thread::spawn(move || {
        let mut text = String::new();
        let read = stdout.read_to_string(&mut text).map(|_| text);
        sender.send(read) // Nobody listens any more where the limit is over.
    });
    let Ok(text) = all.recv_timeout(limit) else { bail!("`{name}` was not done within {limit:?}") };
    let text = text.with_context(|| format!("failed to read what `{name}` says"))?;
    // The end of stdout is the end of a program that does not close it early.
    let status = child.0.wait().with_context(|| format!("failed to wait for `{name}`"))?;
    if !status.success() {
        bail!("`{name}` failed ({status}): {}", last_lines(&mut words)?);
    }
    Ok(text)
}

fn last_lines(words: &mut File) -> io::Result<String> {
    let mut bytes = Vec::new();
    words.rewind()?;
    words.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(LAST_LINES)..].join("\n"))
}

/// A process that is killed when dropped, unless it has ended.
pub(crate) struct Killed(pub(crate) Child);

/// How often a process is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(2);

impl Killed {
    /// Waits for the end.
    pub(crate) fn end(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        self.watch(limit, || {})
    }

    /// Waits for the end, and looks again and again meanwhile.
    pub(crate) fn watch(&mut self, limit: Duration, mut look: impl FnMut()) -> anyhow::Result<ExitStatus> {
        let start = Instant::now();
        loop {
            look();
            if let Some(status) = self.0.try_wait().context("failed to wait for a program")? {
                return Ok(status);
            }
            ensure!(start.elapsed() < limit, "a program was not done within {limit:?}");
            thread::sleep(LOOK_EVERY);
        }
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        // It has ended already, or nobody needs it any more.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn what_a_program_says_is_kept_and_its_failure_is_ours() {
        assert_eq!(output(Command::new("echo").arg("42"), LONG).unwrap(), "42\n");
        let error = output(Command::new("sh").args(["-c", "echo no data >&2; exit 3"]), LONG).unwrap_err();
        assert_eq!(error.to_string(), "`sh` failed (exit status: 3): no data");
    }

    #[test]
    fn a_program_that_takes_too_long_is_killed() {
        let start = Instant::now();
        output(Command::new("sleep").arg("60"), Duration::from_millis(10)).unwrap_err();
        assert!(start.elapsed() < LONG);
    }
}
