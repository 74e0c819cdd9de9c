//! The engine `spark` on a real Spark, which the environment variable `SPARK_HOME` names. MNIST is read from `MNIST_DIR`.

#![cfg(all(feature = "spark", target_os = "linux"))]

mod cluster;
mod same_bits;
#[path = "../support/mod.rs"]
mod support;
mod trouble;

use std::{
    env, fs,
    fs::File,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use cluster::{Cluster, wait_until};
use dataset::Split;
use sample::SampleSlice;
use support::{Place, id};

/// The trainer, as an installation on every machine of the cluster.
const TRAINER: &str = env!("CARGO_BIN_EXE_trainer");

/// A place with this many samples of real MNIST from two senders, in chunks of 500.
fn mnist(samples: usize) -> Place {
    let dir = env::var_os("MNIST_DIR").expect("MNIST_DIR is not set; it is to name the folder with MNIST's files");
    let mnist = dataset::load(Path::new(&dir), Split::Train).unwrap();
    let dataset = id("part-of-mnist", hex::encode(mnist.digest()));
    let place = Place::new();
    place.receive_of(dataset, &mnist.samples, 500, &[("b", 0, samples / 3), ("a", samples / 3, samples)]);
    // A part of the test set will do. It is named by its folder.
    let test = dataset::load(Path::new(&dir), Split::Test).unwrap();
    let SampleSlice { images, labels } = test.samples.slice(0..500);
    dataset::write_idx(&place.path("part-of-mnist"), Split::Test, images, labels).unwrap();
    place
}

/// A run on the cluster, with `worker` as the shell command that starts the trainer there.
fn on_spark(place: &Place, cluster: &Cluster, worker: &str, run_dir: &str, flags: &[&str]) -> Command {
    place.train(run_dir, &[&engine(cluster, worker), flags].concat())
}

fn ends(place: &Place, cluster: &Cluster, worker: &str, run_dir: &str, flags: &[&str]) -> Ended {
    Running::start(place, on_spark(place, cluster, worker, run_dir, flags)).end()
}

fn engine<'a>(cluster: &'a Cluster, worker: &'a str) -> [&'a str; 6] {
    ["--engine", "spark", "--spark-remote", &cluster.remote, "--worker-command", worker]
}

/// A worker command: a script that has the trainer in `$trainer`, its own folder in `$here`, and the arguments.
fn script(place: &Place, name: &str, text: &str) -> String {
    let path = place.path(name);
    let here = path.parent().unwrap().display();
    fs::write(&path, format!("#!/bin/bash\ntrainer='{TRAINER}' here='{here}'\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A run until this many of its workers are about to train: each says so in the folder `started`, and begins when there is
/// a file `go`.
#[track_caller]
fn held(place: &Place, cluster: &Cluster, run_dir: &str, flags: &[&str], count: usize) -> Running {
    fs::create_dir(place.path("started")).unwrap();
    let text = r#"
        if [[ "$*" == *"--task train"* ]]; then
            touch "$here/started/$$"
            until [ -e "$here/go" ]; do sleep 0.05; done
        fi
        exec "$trainer" "$@""#;
    let worker = script(place, "held-worker", text);
    let mut running = Running::start(place, on_spark(place, cluster, &worker, run_dir, flags));
    wait_until("workers", || {
        let has_ended = running.child.try_wait().unwrap().is_some();
        assert!(!has_ended, "{}", fs::read_to_string(&running.log).unwrap());
        fs::read_dir(place.path("started")).unwrap().count() >= count
    });
    running
}

/// What a trainer has said and how it ended.
struct Ended {
    code: Option<i32>,
    text: String,
    took: Duration,
}

/// A trainer that runs; it is killed with the test.
struct Running {
    child: Child,
    log: PathBuf,
    started: Instant,
}

impl Running {
    fn start(place: &Place, mut command: Command) -> Running {
        let log = place.path("log");
        let file = File::create(&log).unwrap();
        command.stdout(Stdio::null()).stderr(file).env_remove("RUST_BACKTRACE");
        command.env_remove("TMPDIR"); // Weights are shipped as files.
        Running { child: command.spawn().unwrap(), log, started: Instant::now() }
    }

    fn interrupt(&self) {
        support::succeed(Command::new("kill").args(["-INT", &self.child.id().to_string()]));
    }

    #[track_caller]
    fn end(mut self) -> Ended {
        wait_until("the trainer to end", || self.child.try_wait().unwrap().is_some());
        let code = self.child.wait().unwrap().code();
        Ended { code, text: fs::read_to_string(&self.log).unwrap(), took: self.started.elapsed() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill(); // It may have ended.
        let _ = self.child.wait();
    }
}

impl Ended {
    #[track_caller]
    fn well(self) {
        assert_eq!(self.code, Some(0), "{}", self.text);
    }

    /// With this exit code and an error that holds all of `expect`, no longer than a user reads, in time.
    #[track_caller]
    fn badly(self, code: i32, expect: &[&str]) {
        assert_eq!(self.code, Some(code), "{}", self.text);
        let error = self.text.split_once("trainer: ").unwrap_or_else(|| panic!("{}", self.text)).1;
        assert!(expect.iter().all(|expect| error.contains(expect)), "{error}");
        assert!(error.len() < 1200 && error.lines().count() < 8, "{error}");
        let is_for_developers = |line: &str| line.contains("\tat ") || line.contains("org.apache.spark.");
        assert!(!error.lines().any(is_for_developers), "{error}");
    }
}
