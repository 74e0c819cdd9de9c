//! A child is a program that is run to its end, within a limit, and whose stdout is kept.

use std::{
    pin::pin,
    process::{Command, Stdio},
    sync::LazyLock,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use tokio::runtime::{Builder, Runtime};
use torture::last_lines;

/// What waits for children. It is made once, so that no measurement has a part in it.
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_all().build().expect("there is room for a runtime"));

const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Runs a program and returns what it says on stdout. Its stdin is open until it ends, as a lifeline; what it says on
/// stderr is shown if it fails. A program that takes longer than `limit` is killed.
pub(crate) fn output(command: Command, limit: Duration) -> anyhow::Result<String> {
    watched(command, limit, |_| {})
}

/// Runs a program, as [`output`], and looks at its process again and again meanwhile.
pub(crate) fn watched(command: Command, limit: Duration, mut look: impl FnMut(u32)) -> anyhow::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut command = tokio::process::Command::from(command);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let output = RUNTIME.block_on(async {
        let start = Instant::now();
        let mut child = command.spawn().with_context(|| format!("failed to start `{name}`"))?;
        let (id, _lifeline) = (child.id().unwrap_or_default(), child.stdin.take());
        let mut output = pin!(child.wait_with_output());
        loop {
            if let Ok(output) = tokio::time::timeout(LOOK_EVERY, &mut output).await {
                return output.with_context(|| format!("failed to wait for `{name}`"));
            }
            look(id);
            ensure!(start.elapsed() < limit, "`{name}` was not done within {limit:?}");
        }
    })?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let last_words = || last_lines(&text(&output.stderr));
    ensure!(output.status.success(), "`{name}` failed ({}): {}", output.status, last_words());
    Ok(text(&output.stdout))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn command(program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments);
        command
    }

    #[test]
    fn what_a_program_says_is_kept_and_its_failure_is_ours() {
        assert_eq!(output(command("echo", &["42"]), LONG).unwrap(), "42\n");
        let error = output(command("sh", &["-c", "echo no data >&2; exit 3"]), LONG).unwrap_err();
        assert_eq!(error.to_string(), "`sh` failed (exit status: 3): no data");
    }

    #[test]
    fn a_program_that_takes_too_long_is_killed() {
        let start = Instant::now();
        output(command("sleep", &["60"]), Duration::from_millis(10)).unwrap_err();
        assert!(start.elapsed() < LONG);
    }
}
