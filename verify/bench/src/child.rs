//! A child is a program that is run to its end, within a limit, and whose stdout is kept.

use std::{
    fs::File,
    io::{Read, Seek},
    process::{Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use torture::{last_lines, programs::Killed};

/// Runs a program and returns what it says on stdout. Its stdin is open until it ends, as a lifeline; what it says on
/// stderr is shown if it fails.
pub(crate) fn output(command: &mut Command, limit: Duration) -> anyhow::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let (out, err) = (tempfile::tempfile()?, tempfile::tempfile()?); // Files and not pipes: nobody has to empty them.
    command.stdin(Stdio::piped()).stdout(out.try_clone()?).stderr(err.try_clone()?);
    let mut child = Killed(command.spawn().with_context(|| format!("failed to start `{name}`"))?);
    let status = watch(&mut child, limit, || {}).with_context(|| format!("`{name}`"))?;
    let read = |mut file: File| {
        let mut bytes = Vec::new();
        file.rewind()?;
        file.read_to_end(&mut bytes)?;
        anyhow::Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    if !status.success() {
        bail!("`{name}` failed ({status}): {}", last_lines(&read(err)?));
    }
    read(out)
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
