//! What real programs let slip of the key while they say everything that they can say: nothing.

#![cfg(target_os = "linux")]

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use dataset::Split;
use torture::{look_for, programs};

const LIMIT: Duration = Duration::from_secs(60);

/// A program at its most talkative, with its output in a file.
fn start(program: &str, arguments: &[&str], dir: &Path) -> Child {
    let output = |name: &str| File::create(dir.join(format!("{name}.log"))).unwrap();
    let mut command = Command::new(programs::path(program).unwrap());
    command.args(arguments).current_dir(dir).env("RUST_LOG", "trace").env("RUST_BACKTRACE", "full");
    let (name, stdin) = (arguments[arguments.len() - 1].trim_matches('-'), Stdio::null());
    let (out, err) = (output(&format!("{program}-{name}-out")), output(&format!("{program}-{name}-err")));
    command.stdin(stdin).stdout(out).stderr(err).spawn().unwrap()
}

/// What everybody on the machine can read of a process, while it runs.
fn seen_from_outside(child: &Child, dir: &Path) {
    let read = |what| fs::read(format!("/proc/{}/{what}", child.id())).unwrap();
    wait_until("command line", || !read("cmdline").is_empty()); // A new process has none for a moment.
    for what in ["cmdline", "environ"] {
        fs::write(dir.join(format!("{}-{what}", child.id())), read(what)).unwrap();
    }
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    look_for(&format!("there is no {what}"), LIMIT, || Ok(condition().then_some(()))).unwrap();
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The ways in which 32 bytes could be written down.
fn spellings(text: &str) -> Vec<Vec<u8>> {
    let hex = text.trim().strip_prefix("tributary-key-1 ").unwrap();
    let bytes: Vec<u8> = (0..32).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect();
    let list = format!("{bytes:?}");
    // A third is enough to give the rest away.
    vec![hex[..20].into(), hex[..20].to_uppercase().into(), bytes[..10].to_vec(), list[..40].into()]
}

#[test]
fn the_key_is_nowhere_but_in_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let (labels, images) = (vec![3; 200], vec![7; 200 * sample::PIXELS]);
    for split in [Split::Train, Split::Test] {
        dataset::write_idx(&dir.path().join("digits"), split, &images, &labels).unwrap();
    }
    let keys = [dir.path().join("data/tributary.key"), dir.path().join("other.key")];
    let made = start("receiver", &["keygen", "--key=other.key"], dir.path()).wait().unwrap();
    assert!(made.success());

    let mut receiver =
        start("receiver", &["--listen=127.0.0.1:0", "--streams=2", "--samples-per-chunk=100", "--json"], dir.path());
    let events = dir.path().join("receiver-json-out.log");
    let listening = || fs::read_to_string(&events).unwrap().lines().next().map(str::to_owned);
    wait_until("listening receiver", || listening().is_some_and(|line| line.ends_with('}')));
    seen_from_outside(&receiver, dir.path());
    let event: serde_json::Value = serde_json::from_str(&listening().unwrap()).unwrap();
    let connect = format!("--connect={}", event["address"].as_str().unwrap());

    let common = [connect.as_str(), "--data=digits", "--samples=100", "--samples-per-batch=10"];
    let send = |more: &[&str], code| {
        let mut sender = start("sender", &[&common[..], more].concat(), dir.path());
        seen_from_outside(&sender, dir.path());
        seen_from_outside(&sender, dir.path());
        assert_eq!(sender.wait().unwrap().code(), Some(code), "{more:?}");
    };
    send(&["--key=other.key", "--stream=wrong"], 77);
    send(&["--key=other.key", "--stream=wrong", "--tls"], 77);
    send(&["--stream=a", "--json"], 0);
    send(&["--offset=100", "--stream=b", "--tls"], 0);
    assert_eq!(receiver.wait().unwrap().code(), Some(0));

    let secrets: Vec<_> = keys.iter().flat_map(|key| spellings(&fs::read_to_string(key).unwrap())).collect();
    let files = files(dir.path());
    assert!(files.len() > 15, "{files:?}");
    for file in files.iter().filter(|file| !keys.contains(file)) {
        let text = fs::read(file).unwrap();
        for secret in &secrets {
            assert!(!text.windows(secret.len()).any(|window| window == secret), "`{}` tells", file.display());
        }
    }
}
