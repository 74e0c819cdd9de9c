//! Fetching libtorch with pip, from wherever the user's pip is configured to fetch: as Python wheels, of which
//! [`wheel`](super::wheel) unpacks the few files that a program without Python and without a GPU needs.

use std::{
    env,
    fs::{self, File, TryLockError},
    io::ErrorKind,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow};
use cli::{
    exit::{Code, OrExit, failure},
    shutdown::Shutdown,
};
use tokio::{
    process::Command,
    time::{MissedTickBehavior, interval},
};

use super::{
    libtorch::{self, VERSION},
    tool::{self, Tool},
    wheel::{self, Wheel},
};
use crate::{console::Console, crew::stopped};

/// Another set-up may take this long; after that it is stuck.
const LOCK_LIMIT: Duration = Duration::from_secs(30 * 60);
/// pip gives up by itself after its own time limits; this is for a pip that does not.
const SILENCE_LIMIT: Duration = Duration::from_secs(10 * 60);
/// What a plain line of progress is printed after, where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);
const DOWNLOADING: &str = "downloading {msg}: {bytes}, {binary_bytes_per_sec}";
const ADVICE: &str = "or set LIBTORCH to a libtorch 2.13.0";

/// Wheel tags of the platforms with wheels, most recent first; pip matches each exactly. Only Linux on x86-64 has been
/// tried. The `manylinux` tags end with the machine's name.
fn platform_tags() -> Option<Vec<String>> {
    let manylinux = |machine: &str| {
        ["manylinux_2_28", "manylinux_2_25", "manylinux_2_17", "manylinux2014"].map(|tag| format!("{tag}_{machine}"))
    };
    match (env::consts::OS, env::consts::ARCH) {
        ("linux", machine @ ("x86_64" | "aarch64")) => Some(manylinux(machine).into()),
        ("macos", "aarch64") => {
            Some(["macosx_14_0_arm64", "macosx_12_0_arm64", "macosx_11_0_arm64"].map(Into::into).into())
        }
        _ => None,
    }
}

/// Fetches libtorch into `target`, inside `cache`. A set-up that is killed leaves nothing that looks whole, and a wheel
/// that was downloaded is kept until [`remove_wheels`].
///
/// # Errors
/// When a tool or the network is missing, or the disk is full; the message says what to do.
pub(super) async fn fetch(cache: &Path, target: &Path, console: &Console, shutdown: &Shutdown) -> anyhow::Result<()> {
    let tags = platform_tags().ok_or_else(|| {
        let here = format!("{} on {}", env::consts::OS, env::consts::ARCH);
        unavailable(format!(
            "libtorch cannot be fetched for {here}: install libtorch {VERSION}, and set LIBTORCH to it"
        ))
    })?;
    let compiler = tool::compiler().await?;
    let python = python().await?;
    fs::create_dir_all(cache).with_context(|| format!("failed to create the cache `{}`", cache.display()))?;
    let _lock = lock(cache, console, shutdown).await?;
    if libtorch::check(target).is_ok() {
        return Ok(()); // Another set-up fetched it meanwhile.
    }
    let wheels = wheels_in(cache);
    fs::create_dir_all(&wheels).with_context(|| format!("failed to create `{}`", wheels.display()))?;
    let pip = Pip { python, tags, wheels: wheels.clone(), console, shutdown };

    let torch = pip.wheel("torch", &format!("=={VERSION}")).await?;
    let partial = cache.join(format!("libtorch-{VERSION}.partial"));
    if partial.exists() {
        fs::remove_dir_all(&partial).with_context(|| format!("failed to remove `{}`", partial.display()))?;
    }
    console.note("unpacking libtorch");
    torch.unpack_libtorch(&partial, shutdown)?;
    if torch.needs_cuda()? {
        // The CUDA build's CPU library is linked to these two, though it calls them only to profile a GPU.
        pip.wheel("nvidia-cuda-cupti", "==13.0.*").await?.unpack_library("libcupti.so.13", &partial, shutdown)?;
        pip.wheel("nvidia-cuda-runtime", "==13.0.*").await?.unpack_library("libcudart.so.13", &partial, shutdown)?;
        replace_shell(&compiler, &partial.join("lib/libtorch.so")).await?;
    }
    wheel::seal(&partial, target).with_context(|| format!("failed to finish `{}`", target.display()))
}

/// Removes the downloaded wheels, which a finished set-up needs no more, also those that a killed one has left.
///
/// # Errors
/// When they cannot be removed.
pub(super) fn remove_wheels(cache: &Path) -> anyhow::Result<()> {
    let wheels = wheels_in(cache);
    match fs::remove_dir_all(&wheels) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to remove `{}`", wheels.display()))
        }
        _ => Ok(()),
    }
}

fn wheels_in(cache: &Path) -> PathBuf {
    cache.join(format!("libtorch-{VERSION}.wheels"))
}

/// Python 3 with pip.
async fn python() -> anyhow::Result<&'static str> {
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
            "`{python}` has no pip, which is needed once, to fetch libtorch: install it (Debian and Ubuntu: `apt \
             install python3-pip`; elsewhere `{python} -m ensurepip`), {ADVICE}"
        ),
        None => format!(
            "there is no Python 3, which is needed once, to fetch libtorch: install it with pip (Debian and Ubuntu: \
             `apt install python3-pip`), {ADVICE}"
        ),
    }))
}

/// Holds off a second set-up, which would download the same.
async fn lock(cache: &Path, console: &Console, shutdown: &Shutdown) -> anyhow::Result<File> {
    let path = cache.join("setup.lock");
    let file = File::create(&path).with_context(|| format!("failed to create `{}`", path.display()))?;
    let start = Instant::now();
    let mut ticks = interval(Duration::from_millis(200));
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("failed to lock `{}`", path.display()));
            }
            Err(TryLockError::WouldBlock) => {}
        }
        if !told {
            console.note("another set-up is fetching libtorch; waiting for it");
            told = true;
        }
        if start.elapsed() > LOCK_LIMIT {
            return Err(unavailable(format!("another set-up has held `{}` for too long", path.display())));
        }
        if let Some(cause) = shutdown.requested() {
            return Err(stopped(cause));
        }
        ticks.tick().await;
    }
}

struct Pip<'a> {
    python: &'static str,
    tags: Vec<String>,
    wheels: PathBuf,
    console: &'a Console,
    shutdown: &'a Shutdown,
}

impl Pip<'_> {
    /// The wheel of a package: left by an earlier set-up, or downloaded now.
    async fn wheel(&self, package: &str, version: &str) -> anyhow::Result<Wheel> {
        if let Some(wheel) = Wheel::find(&self.wheels, package)? {
            return Ok(wheel);
        }
        self.download(package, version).await?;
        Wheel::find(&self.wheels, package)?
            .ok_or_else(|| unavailable(format!("pip has left no wheel of {package} in `{}`", self.wheels.display())))
    }

    async fn download(&self, package: &str, version: &str) -> anyhow::Result<()> {
        // pip collects the bytes in its temporary directory; a folder of ours can be measured, and lies on the disk
        // that needs the room in any case.
        let partial = self.wheels.join("partial");
        if partial.exists() {
            fs::remove_dir_all(&partial).with_context(|| format!("failed to remove `{}`", partial.display()))?;
        }
        fs::create_dir(&partial).with_context(|| format!("failed to create `{}`", partial.display()))?;
        let log_path = self.wheels.with_file_name("pip.log");
        let log = File::create(&log_path).with_context(|| format!("failed to create `{}`", log_path.display()))?;

        self.console.note(&format!("downloading {package}{version} with pip"));
        let start = Instant::now();
        let mut command = Command::new(self.python);
        command.args(["-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--python-version", "3.12"]);
        command.args(["--no-cache-dir", "--progress-bar", "off", "--disable-pip-version-check"]);
        command.args(self.tags.iter().flat_map(|tag| ["--platform", tag]));
        command.arg("--dest").arg(&self.wheels).arg(format!("{package}{version}"));
        command.env("TMPDIR", &partial);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut tool = Tool::start(command)?;

        let bar = self.console.bar(0, DOWNLOADING);
        bar.set_message(package.to_owned());
        let mut shutdown = self.shutdown.clone();
        let mut ticks = interval(Duration::from_millis(200));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut grown = Instant::now();
        let mut line = Instant::now();
        let status = loop {
            tokio::select! {
                cause = shutdown.wait() => return Err(stopped(cause)),
                status = tool.child.wait() => break status.context("failed to wait for pip")?,
                _ = ticks.tick() => {
                    let bytes = size_of(&partial);
                    if bytes > bar.position() {
                        grown = Instant::now();
                    }
                    bar.set_position(bytes);
                    if !self.console.is_terminal() && line.elapsed() > LINE_EVERY {
                        line = Instant::now();
                        self.console.note(&format!("downloading {package}: {} MB so far", bytes / 1_000_000));
                    }
                    if grown.elapsed() > SILENCE_LIMIT {
                        return Err(unavailable(format!("the download of {package} stands still; try again, {ADVICE}")));
                    }
                }
            }
        };
        bar.finish_and_clear();
        if !status.success() {
            let said = fs::read_to_string(&log_path).unwrap_or_default();
            return Err(unavailable(explain(package, &said, &log_path)));
        }
        self.console.note(&format!("downloaded {package} in {:.0} s", start.elapsed().as_secs_f64()));
        fs::remove_dir_all(&partial).with_context(|| format!("failed to remove `{}`", partial.display()))
    }
}

/// What went wrong, in one line, from what pip said.
fn explain(package: &str, said: &str, log: &Path) -> String {
    let has = |signs: &[&str]| signs.iter().any(|sign| said.contains(sign));
    let advice = if has(&["No space left", "Errno 28"]) {
        "the disk is full: make room (2 GB) and start again".into()
    } else if has(&["NewConnectionError", "NameResolution", "timed out", "ProxyError", "Max retries", "versions: none"])
    {
        format!("the network or pip's index cannot be reached: connect, or configure pip's index or proxy, {ADVICE}")
    } else {
        format!("see `{}`, then start again, {ADVICE}", log.display())
    };
    let last = said.lines().rfind(|line| line.starts_with("ERROR")).or(said.lines().next_back()).unwrap_or_default();
    format!("pip cannot download {package}; {advice} (pip's last words: {})", last.trim_start_matches("ERROR: ").trim())
}

/// Bytes of all files under `path`, as far as it can be read just now.
fn size_of(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size_of(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

/// `libtorch.so` is a shell that only names other libraries, here that of CUDA, which we leave out. An empty one in its
/// place satisfies the linker.
async fn replace_shell(compiler: &std::ffi::OsStr, path: &Path) -> anyhow::Result<()> {
    let mut command = Command::new(compiler);
    command.args(["-shared", "-Wl,-soname,libtorch.so", "-x", "c++", "/dev/null", "-o"]).arg(path);
    if tool::answers(&mut command).await? {
        return Ok(());
    }
    Err(anyhow!("`{}` failed to make `{}`", compiler.to_string_lossy(), path.display())).or_exit(Code::Unavailable)
}

fn unavailable(message: String) -> anyhow::Error {
    failure(Code::Unavailable, anyhow!(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(said: &str, expect: &str) {
        let text = explain("torch", said, Path::new("pip.log"));
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

    #[test]
    fn wheels_that_a_killed_set_up_has_left_are_removed() {
        let cache = tempfile::tempdir().unwrap();
        remove_wheels(cache.path()).unwrap();
        fs::create_dir(wheels_in(cache.path())).unwrap();
        fs::write(wheels_in(cache.path()).join("torch-2.13.0-x.whl"), "").unwrap();
        remove_wheels(cache.path()).unwrap();
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_second_set_up_waits_for_the_first_and_can_be_stopped() {
        let cache = tempfile::tempdir().unwrap();
        let (trigger, shutdown) = Shutdown::manual();
        let console = Console::new();
        let first = lock(cache.path(), &console, &shutdown).await.unwrap();
        trigger.stop(cli::shutdown::Cause::Interrupt);
        let error = lock(cache.path(), &console, &shutdown).await.unwrap_err();
        assert_eq!(cli::exit::code_of(&error), Code::Interrupted);
        drop(first);
        let (_trigger, shutdown) = Shutdown::manual();
        lock(cache.path(), &console, &shutdown).await.unwrap();
    }
}
