//! A bench is a fresh folder with a small dataset, in which the real orchestrator runs. It knows its children by the
//! folder's name in their command lines or environments.

#![allow(dead_code, reason = "each test file needs another part of it")]

pub(crate) mod watch;

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use dataset::Split;
use sample::PIXELS;

/// No run on a bench takes this long, also not on a busy machine that has to build the siblings first.
const LIMIT: Duration = Duration::from_secs(300);
/// By then a child has noticed that its lifeline is cut, also on a busy machine.
const CHILDREN_LIMIT: Duration = Duration::from_secs(60);

pub(crate) struct Bench(tempfile::TempDir);

pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

pub(crate) struct Running {
    child: Child,
    stdout: Lines,
    stderr: Lines,
}

/// The lines of a pipe, read by a thread of its own so that the process never waits for us.
struct Lines {
    lines: mpsc::Receiver<String>,
    text: String,
}

impl Bench {
    /// 2000 images to train on and 200 to test: each has a bright square whose place is its label.
    pub(crate) fn new() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        for (split, count) in [(Split::Train, 2000), (Split::Test, 200)] {
            let labels: Vec<u8> = (0..count).map(|index| (index * 7 % 10) as u8).collect();
            let images: Vec<u8> = labels.iter().enumerate().flat_map(|(index, label)| image(index, *label)).collect();
            dataset::write_idx(&dir.path().join("squares"), split, &images, &labels).unwrap();
        }
        Bench(dir)
    }

    /// A bench on which the other programs are built: what that prints is another matter.
    pub(crate) fn built() -> Bench {
        let bench = Bench::new();
        bench.run_with(&["setup"]).assert_code(0);
        bench
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs on the bench's data, to the end.
    pub(crate) fn run(&self, flags: &[&str]) -> Finished {
        self.start(flags).finish()
    }

    /// Runs with nothing but these flags, to the end.
    pub(crate) fn run_with(&self, flags: &[&str]) -> Finished {
        self.start_with(flags).finish()
    }

    /// Starts a run with nothing but these flags.
    pub(crate) fn start_with(&self, flags: &[&str]) -> Running {
        let mut command = self.command();
        command.args(flags);
        Running::of(command)
    }

    /// Starts a run on the bench's data.
    pub(crate) fn start(&self, flags: &[&str]) -> Running {
        Running::of(self.command_on_data(flags))
    }

    pub(crate) fn command_on_data(&self, flags: &[&str]) -> Command {
        let mut command = self.command();
        command.arg("--data").arg(self.path("squares")).arg("--dir").arg(self.path("chunks"));
        if !flags.contains(&"--endless") {
            command.arg("--samples=2000");
        }
        command.arg("--partitions=2").args(flags);
        command
    }

    pub(crate) fn command(&self) -> Command {
        let program = env!("CARGO_BIN_EXE_orchestrator");
        let mut command = Command::new(if cfg!(target_os = "linux") { "env" } else { program });
        if cfg!(target_os = "linux") {
            command.args(["--default-signal=HUP", program]); // Tests that run under `nohup` would hand on that it is ignored.
        }
        command.current_dir(self.0.path()).env_remove("RUST_LOG").env_remove("MNIST_DIR");
        command
    }

    pub(crate) fn chunks(&self) -> usize {
        let entries = fs::read_dir(self.path("chunks")).into_iter().flatten().flatten();
        entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(".parquet")).count()
    }

    pub(crate) fn checkpoints(&self) -> usize {
        fs::read_dir(self.path("runs/latest/checkpoints")).unwrap().count()
    }

    pub(crate) fn summary(&self) -> serde_json::Value {
        serde_json::from_slice(&fs::read(self.path("runs/latest/summary.json")).unwrap()).unwrap()
    }

    pub(crate) fn signal_child(&self, what: &str, signal: &str) {
        let children = self.children(what);
        assert_eq!(children.len(), 1, "processes of `{what}`");
        kill(children[0], signal);
    }

    /// Kills a child and waits until its parent has noticed.
    pub(crate) fn kill_and_wait(&self, what: &str) {
        let children = self.children(what);
        self.signal_child(what, "KILL");
        wait_until("end of the child", CHILDREN_LIMIT, || !self.children(what).iter().any(|id| children.contains(id)));
    }

    /// A lifeline needs a moment to be felt where nobody waits for the children any more.
    pub(crate) fn assert_no_child(&self) {
        wait_until("end of the children", CHILDREN_LIMIT, || self.children("").is_empty());
    }

    /// Processes of ours, dead ones not counted, whose command line holds `what`.
    pub(crate) fn children(&self, what: &str) -> Vec<u32> {
        let ours = self.0.path().to_str().unwrap();
        let process = |entry: fs::DirEntry| {
            let id: u32 = entry.file_name().to_str()?.parse().ok()?;
            let read =
                |name| Some(String::from_utf8_lossy(&fs::read(entry.path().join(name)).ok()?).replace('\0', " "));
            let line = read("cmdline")?;
            let is_ours = line.contains(ours) || read("environ")?.contains(ours);
            (is_ours && !line.contains("/orchestrator ") && line.contains(what)).then_some(id)
        };
        fs::read_dir("/proc").unwrap().flatten().filter_map(process).collect()
    }
}

impl Running {
    pub(crate) fn of(mut command: Command) -> Running {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (stdout, stderr) = (Lines::of(child.stdout.take().unwrap()), Lines::of(child.stderr.take().unwrap()));
        Running { child, stdout, stderr }
    }

    #[track_caller]
    pub(crate) fn wait_for_child(&mut self, bench: &Bench, what: &str) {
        self.wait_until(what, || !bench.children(what).is_empty());
    }

    #[track_caller]
    pub(crate) fn wait_for_chunks(&mut self, bench: &Bench, count: usize) {
        self.wait_until("chunks", || bench.chunks() >= count);
    }

    #[track_caller]
    fn wait_until(&mut self, what: &str, condition: impl Fn() -> bool) {
        let mut ended = false;
        wait_until(what, LIMIT, || {
            ended = matches!(self.child.try_wait(), Ok(Some(_)));
            ended || condition()
        });
        assert!(!ended, "the run ended:\n{}", self.stderr.rest());
    }

    pub(crate) fn read_stdout_until(&mut self, text: &str) {
        self.stdout.read_until(text);
    }

    pub(crate) fn read_stderr_until(&mut self, text: &str) {
        self.stderr.read_until(text);
    }

    /// The next line on stdout with this text.
    pub(crate) fn stdout_line(&mut self, text: &str) -> String {
        self.stdout.read_until(text)
    }

    /// The next line on stderr with this text.
    pub(crate) fn stderr_line(&mut self, text: &str) -> String {
        self.stderr.read_until(text)
    }

    pub(crate) fn signal(&self, signal: &str) {
        kill(self.child.id(), signal);
    }

    pub(crate) fn finish(mut self) -> Finished {
        // Its pipes end when it ends, and no child of its own holds them.
        let (stdout, stderr) = (self.stdout.rest(), self.stderr.rest());
        Finished { code: self.child.wait().unwrap().code(), stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After a failed test; otherwise it is dead and reaped already, and this does nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Finished {
    #[track_caller]
    pub(crate) fn assert_code(&self, code: i32) {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
    }
}

impl Lines {
    fn of(pipe: impl Read + Send + 'static) -> Lines {
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            BufReader::new(pipe).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Lines { lines, text: String::new() }
    }

    #[track_caller]
    fn read_until(&mut self, text: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(LIMIT).unwrap_or_else(|_| panic!("no `{text}` in:\n{}", self.text));
            let found = line.contains(text);
            self.text += &format!("{line}\n");
            if found {
                return line;
            }
        }
    }

    #[track_caller]
    fn rest(&mut self) -> String {
        loop {
            match self.lines.recv_timeout(LIMIT) {
                Ok(line) => self.text += &format!("{line}\n"),
                Err(mpsc::RecvTimeoutError::Disconnected) => return std::mem::take(&mut self.text),
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("the run hangs:\n{}", self.text),
            }
        }
    }
}

fn image(index: usize, label: u8) -> Vec<u8> {
    let mut image = vec![0; PIXELS];
    let (row, column) = (label as usize / 5 * 12 + 4, label as usize % 5 * 5 + 1);
    for (y, x) in (0..5).flat_map(|y| (0..4).map(move |x| (y, x))) {
        image[(row + y) * sample::COLS + column + x] = 200 + (index % 50) as u8;
    }
    image
}

fn kill(process: u32, signal: &str) {
    assert!(Command::new("kill").args(["-s", signal, &process.to_string()]).status().unwrap().success());
}

/// Other processes' files and ends cannot be waited for, so this looks again and again, up to a limit.
#[track_caller]
fn wait_until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < limit, "no {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// The addresses on which a process listens, as Linux tells them: in hex, each four bytes in the order of the machine.
pub(crate) fn listening(process: u32) -> Vec<String> {
    let descriptors = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
    let open: Vec<String> =
        descriptors.filter_map(|entry| fs::read_link(entry.path()).ok()?.to_str().map(String::from)).collect();
    let read = |table| fs::read_to_string(format!("/proc/{process}/net/{table}")).unwrap_or_default();
    let address = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_listening = fields[3] == "0A" && open.contains(&format!("socket:[{}]", fields[9]));
        is_listening.then(|| fields[1].split(':').next().unwrap_or_default().to_owned())
    };
    ["tcp", "tcp6"]
        .iter()
        .flat_map(|table| read(table).lines().skip(1).filter_map(address).collect::<Vec<_>>())
        .collect()
}
