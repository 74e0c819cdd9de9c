//! The real programs, built in the same profile as this one.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{OnceLock, mpsc},
    thread,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use event::Event;
use tempfile::TempDir;

/// Nothing that a program reports takes longer than this, also on a busy machine.
const EVENT_LIMIT: Duration = Duration::from_secs(60);

/// The path of a program's binary; the first call builds all of them.
pub fn path(name: &str) -> anyhow::Result<PathBuf> {
    static DIRECTORY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let directory = DIRECTORY.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    match directory {
        Ok(directory) => Ok(directory.join(name).with_extension(std::env::consts::EXE_EXTENSION)),
        Err(error) => bail!("{error}"),
    }
}

fn build() -> anyhow::Result<PathBuf> {
    // This program lies in the target directory of its profile, or, when it is a test, in `deps` there.
    let own = std::env::current_exe().context("failed to find this program's own path")?;
    let directory =
        own.ancestors().skip(1).find(|dir| !dir.ends_with("deps")).context("this program has no directory")?;
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    command.args(["build", "--quiet", "--workspace", "--bins", "--manifest-path"]);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml"));
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    // What `cargo run` sets for this program, ring's build script looks at: it, and all that is built on it, would be
    // built again whenever cargo is called from here after a call by hand, and the other way round.
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_set_by_cargo(&name.to_string_lossy())) {
        command.env_remove(name);
    }
    ensure!(command.status().context("failed to run cargo")?.success(), "failed to build the programs");
    Ok(directory.to_owned())
}

fn is_set_by_cargo(variable: &str) -> bool {
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"].iter().any(|prefix| variable.starts_with(prefix))
        || ["CARGO", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "OUT_DIR"].contains(&variable)
}

/// Puts the programs into a directory of their own, as an installation has them: there, nothing is looked for or built.
pub fn install() -> anyhow::Result<TempDir> {
    let directory = tempfile::tempdir()?;
    for name in ["orchestrator", "receiver", "sender", "trainer"] {
        let (built, installed) = (path(name)?, directory.path().join(name));
        fs::hard_link(&built, &installed)
            .or_else(|_| fs::copy(&built, &installed).map(drop))
            .with_context(|| format!("failed to install `{}`", built.display()))?;
    }
    Ok(directory)
}

/// The key file of the receiver of this chunk directory: it lies beside it.
pub fn key(dir: &Path) -> PathBuf {
    dir.with_file_name("tributary.key")
}

/// A process that is killed when dropped, unless it has ended.
#[derive(Debug)]
pub struct Killed(pub Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It has ended already, or nobody needs it any more.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A receiver process, killed when dropped.
#[derive(Debug)]
pub struct Receiver {
    child: Killed,
    events: mpsc::Receiver<Event>,
}

impl Receiver {
    /// Starts one on a free port and waits until it listens.
    pub fn start(dir: &Path, arguments: &[String]) -> anyhow::Result<(Receiver, SocketAddr)> {
        let mut command = Command::new(path("receiver")?);
        command.args(["--listen=127.0.0.1:0", "--json", "--key"]).arg(key(dir));
        command.arg("--dir").arg(dir).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = Killed(command.spawn().context("failed to start the receiver")?);
        let stdout = child.0.stdout.take().context("the receiver has no stdout")?;
        let (sender, events) = mpsc::channel();
        thread::spawn(move || {
            let lines = BufReader::new(stdout).lines().map_while(Result::ok);
            // An event of another kind is none of ours.
            let parsed = lines.filter_map(|line| serde_json::from_str(&line).ok());
            parsed.map_while(|event| sender.send(event).ok()).for_each(drop);
        });
        let receiver = Receiver { child, events };
        match receiver.event()? {
            Some(Event::Listening { address, .. }) => Ok((receiver, address)),
            other => bail!("the receiver began with {other:?}"),
        }
    }

    /// The next event, or `None` when the receiver has ended.
    fn event(&self) -> anyhow::Result<Option<Event>> {
        match self.events.recv_timeout(EVENT_LIMIT) {
            Ok(event) => Ok(Some(event)),
            Err(mpsc::RecvTimeoutError::Disconnected) => Ok(None),
            Err(mpsc::RecvTimeoutError::Timeout) => bail!("the receiver says nothing for {EVENT_LIMIT:?}"),
        }
    }

    /// Its process number.
    pub fn id(&self) -> u32 {
        self.child.0.id()
    }

    /// Follows it to its end, which must be a good one, and calls `on_chunk` for each chunk. Returns the seconds from the
    /// first sample to a complete directory.
    pub fn follow(mut self, mut on_chunk: impl FnMut()) -> anyhow::Result<f64> {
        let mut complete = None;
        while let Some(event) = self.event()? {
            match event {
                Event::Stored { .. } => on_chunk(),
                Event::Complete { seconds, .. } => complete = Some(seconds),
                _ => {}
            }
        }
        let status = self.child.0.wait().context("failed to wait for the receiver")?;
        ensure!(status.success(), "the receiver failed: {status}");
        complete.context("the receiver did not say that the directory is complete")
    }
}

/// Peak resident memory of a process, in bytes; `None` when it is gone.
pub fn peak_memory(id: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?; // The kernel's kB are 1024 bytes.
    Some(kib * 1024)
}
