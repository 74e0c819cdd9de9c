//! pip, which fetches from wherever the user's Python is configured to fetch: libtorch, and what Spark needs.

use std::{
    ffi::OsStr,
    fs::{self, File},
    path::Path,
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context;
use process::{file::bytes_below, shutdown::stopped};
use tokio::{
    process::Command,
    time::{MissedTickBehavior, interval},
};

use crate::{
    cache::{create_dir, remove_dir, unavailable},
    caller::Caller,
    tool::{self, Tool},
};

/// pip gives up by itself after its own time limits; this is for a pip that does not.
const SILENCE_LIMIT: Duration = Duration::from_secs(10 * 60);
/// What a plain line of progress is printed after, where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);
const DOWNLOADING: &str = "fetching {msg}: {bytes}, {binary_bytes_per_sec}";

pub(crate) struct Pip<'a> {
    python: &'static str,
    /// What to do where it fails, as a clause.
    advice: &'static str,
    caller: &'a Caller,
}

impl<'a> Pip<'a> {
    pub(crate) async fn find(what: &str, advice: &'static str, caller: &'a Caller) -> anyhow::Result<Self> {
        Ok(Pip { python: python(what, advice).await?, advice, caller })
    }

    /// Installs a package into `target`, in one step; `cache` is on the same disk.
    pub(crate) async fn install(
        &self,
        package: &str,
        version: &str,
        cache: &Path,
        target: &Path,
    ) -> anyhow::Result<()> {
        let partial = target.with_extension("partial");
        remove_dir(&partial)?;
        let requirement = format!("{package}=={version}");
        let arguments = ["install", "--no-deps", "--target"].map(OsStr::new);
        let arguments = [&arguments[..], &[partial.as_os_str(), OsStr::new(&requirement)]].concat();
        self.run(package, &arguments, cache).await?;
        fs::rename(&partial, target).with_context(|| format!("failed to finish `{}`", target.display()))
    }

    /// Runs pip to fetch `package`; it keeps its log and its temporary files in `directory`.
    pub(crate) async fn run(&self, package: &str, arguments: &[&OsStr], directory: &Path) -> anyhow::Result<()> {
        // pip collects the bytes in its temporary directory; a folder of ours can be measured, and lies on the disk
        // that needs the room in any case.
        let partial = directory.join("partial");
        remove_dir(&partial)?;
        create_dir(&partial)?;
        let log_path = directory.with_file_name("pip.log");
        let log = File::create(&log_path).with_context(|| format!("failed to create `{}`", log_path.display()))?;

        self.caller.console.note(&format!("downloading {package} with pip"));
        let start = Instant::now();
        let mut command = Command::new(self.python);
        command.args(["-m", "pip"]).args(arguments);
        command.args(["--no-cache-dir", "--progress-bar", "off", "--disable-pip-version-check"]);
        command.env("TMPDIR", &partial);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let status = self.watch(Tool::start(command)?, package, &partial).await?;
        if !status.success() {
            let said = fs::read_to_string(&log_path).unwrap_or_default();
            return Err(unavailable(explain(package, &said, &log_path, self.advice)));
        }
        self.caller.console.note(&format!("downloaded {package} in {:.0} s", start.elapsed().as_secs_f64()));
        remove_dir(&partial)
    }

    /// Shows how much has come, until pip has ended.
    async fn watch(&self, mut tool: Tool, package: &str, partial: &Path) -> anyhow::Result<ExitStatus> {
        let Caller { console, mut shutdown } = self.caller.clone();
        let bar = console.bar(0, DOWNLOADING);
        bar.set_message(package.to_owned());
        let mut ticks = interval(Duration::from_millis(200));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut grown = Instant::now();
        let mut line = Instant::now();
        let status = loop {
            tokio::select! {
                cause = shutdown.wait() => return Err(stopped(cause)),
                status = tool.child.wait() => break status.context("failed to wait for pip")?,
                _ = ticks.tick() => {
                    let bytes = bytes_below(partial);
                    if bytes > bar.position() {
                        grown = Instant::now();
                    }
                    bar.set_position(bytes);
                    if !console.is_terminal() && line.elapsed() > LINE_EVERY {
                        line = Instant::now();
                        console.note(&format!("fetching {package}: {} MB so far", bytes / 1_000_000));
                    }
                    if grown.elapsed() > SILENCE_LIMIT {
                        let advice = self.advice;
                        return Err(unavailable(format!("the download of {package} stands still; try again, {advice}")));
                    }
                }
            }
        };
        bar.finish_and_clear();
        Ok(status)
    }
}

pub(crate) async fn python(what: &str, advice: &str) -> anyhow::Result<&'static str> {
    let mut found = None;
    for python in ["python3", "python"] {
        if tool::answers(Command::new(python).args(["-c", "import sys; sys.exit(sys.version_info < (3, 7))"])).await? {
            if tool::answers(Command::new(python).args(["-m", "pip", "--version"])).await? {
                return Ok(python);
            }
            found = Some(python);
        }
    }
    Err(unavailable(match found {
        Some(python) => format!(
            "`{python}` has no pip, which is needed once, to fetch {what}: install it (Debian and Ubuntu: `apt \
             install python3-pip`; elsewhere `{python} -m ensurepip`), {advice}"
        ),
        None => format!(
            "there is no Python 3, which is needed once, to fetch {what}: install it with pip (Debian and Ubuntu: \
             `apt install python3-pip`), {advice}"
        ),
    }))
}

/// What went wrong, in one line, from what pip said.
fn explain(package: &str, said: &str, log: &Path, advice: &str) -> String {
    let has = |signs: &[&str]| signs.iter().any(|sign| said.contains(sign));
    let otherwise = advice;
    let advice = if has(&["No space left", "Errno 28"]) {
        "the disk is full: make room (2 GB) and start again".into()
    } else if has(&["NewConnectionError", "NameResolution", "timed out", "ProxyError", "Max retries", "versions: none"])
    {
        format!("the network or pip's index cannot be reached: connect, or configure pip's index or proxy, {otherwise}")
    } else {
        format!("see `{}`, then start again, {otherwise}", log.display())
    };
    let last = said.lines().rfind(|line| line.starts_with("ERROR")).or(said.lines().next_back()).unwrap_or_default();
    format!("pip cannot download {package}; {advice} (pip's last words: {})", last.trim_start_matches("ERROR: ").trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(said: &str, expect: &str) {
        let text = explain("torch", said, Path::new("pip.log"), "or do without");
        assert!(text.contains(expect) && !text.contains('\n'), "{text}");
    }

    #[test]
    fn what_pip_says_becomes_one_line_of_advice() {
        let offline = "WARNING: Retrying after connection broken by 'NewConnectionError(...)'\n\
                       ERROR: Could not find a version that satisfies the requirement torch==2.13.0\n\
                       ERROR: No matching distribution found for torch==2.13.0\n";
        check(offline, "the network or pip's index cannot be reached");
        check("ERROR: No version of torch (from versions: none)\n", "the network or pip's index cannot be reached");
        check(offline, "(pip's last words: No matching distribution found for torch==2.13.0)");
        check("ERROR: Could not install: [Errno 28] No space left on device\n", "the disk is full");
        check("Traceback\nValueError: surprise\n", "see `pip.log`, then start again");
    }
}
