//! A child is a program that is run to its end, within a limit, and whose stdout is kept.

use std::{
    io::{Read, Seek},
    process::{Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use torture::{last_lines, programs::Killed};

/// Runs a program and returns what it says on stdout. Its stdin is open until it ends, as a lifeline; what it says on
/// stderr is shown if it fails.
pub(crate) fn output(command: &mut Command, limit: Duration) -> anyhow::Result<String> {
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
        let mut bytes = Vec::new();
        words.rewind()?;
        words.read_to_end(&mut bytes)?;
        bail!("`{name}` failed ({status}): {}", last_lines(&String::from_utf8_lossy(&bytes)));
    }
    Ok(text)
}

const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Waits for the end of a process, and looks again and again meanwhile.
pub(crate) fn watch(child: &mut Killed, limit: Duration, mut look: impl FnMut()) -> anyhow::Result<ExitStatus> {
    let start = Instant::now();
    loop {
        look();
        if let Some(status) = child.0.try_wait().context("failed to wait for a program")? {
            return Ok(status);
        }
        ensure!(start.elapsed() < limit, "a program was not done within {limit:?}");
        thread::sleep(LOOK_EVERY);
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
