//! Runs that are watched on their page: real processes, real sockets.

#![cfg(unix)]

mod support;

use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use support::{Bench, Running, watch::Page};

/// The page whose address a program prints behind these words.
fn page_at(words: &str, line: &str) -> Page {
    Page::open(line.split_once(words).unwrap().1.trim_end())
}

fn page_of(run: &mut Running) -> Page {
    page_at("watch this run: ", &run.stderr_line("watch this run: "))
}

fn names(events: &[Value], child: &str) -> Vec<String> {
    let of_child = events.iter().filter(|event| event["child"] == child);
    of_child.map(|event| event["event"].as_str().unwrap().to_owned()).collect()
}

/// The files of a bench, and what is in them.
fn files(folder: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        match fs::read(entry.path()) {
            Ok(bytes) => drop(found.insert(entry.path(), bytes)),
            Err(_) => files(&entry.path(), found),
        }
    }
}

#[test]
fn a_run_has_the_same_model_watched_or_not_and_tells_its_watchers_all_of_it() {
    let bench = Bench::built();
    let flags = ["--batch-delay=0ms", "--rounds=2"];
    let mut run = bench.start(&[&flags[..], &["--json", "--page", "--page-token=token", "--page-linger=1ms"]].concat());
    let page = page_of(&mut run);
    let mut watcher = page.watch();
    let events = watcher.until("finished");
    assert_eq!(watcher.next(), None, "it ends with the run");
    let run = run.finish();
    run.assert_code(0);
    assert_eq!(run.stderr.matches("http://").count(), 1, "{}", run.stderr);
    let told = |line: &str| serde_json::from_str::<Value>(line).unwrap()["child"].is_string();
    assert!(run.stdout.lines().all(told), "{}", run.stdout);

    let is = |event: &Value, fields: Value| fields.as_object().unwrap().iter().all(|(key, value)| event[key] == *value);
    let plan = serde_json::json!({"event": "plan", "senders": 1, "samples": 2000, "partitions": 2, "rounds": 2, "live": false});
    assert!(is(&events[0], plan), "{}", events[0]);
    assert_eq!(names(&events, "sender"), ["started", "data", "ended"]);
    assert_eq!(names(&events, "receiver")[..2], ["started", "listening"]);
    for event in ["receiving", "stored", "complete"] {
        assert!(names(&events, "receiver").iter().any(|name| name == event), "no {event}");
    }
    assert_eq!(names(&events, "trainer").iter().filter(|name| *name == "round").count(), 2);
    let Some(last) = events.last() else { panic!() };
    assert!(last["ok"] == true && last["text"].as_str().unwrap().starts_with("test accuracy "), "{last}");
    let config = fs::read_to_string(bench.path("runs/latest/config.toml")).unwrap();
    assert!(!config.contains("page"), "{config}");

    let other = Bench::new();
    let quiet = other.run(&[&flags[..], &["--quiet", "--page"]].concat());
    quiet.assert_code(0);
    assert!(quiet.stderr.starts_with("watch this run: http://127.0.0.1:"), "{}", quiet.stderr);
    assert_eq!(quiet.stderr.lines().count(), 1, "without a terminal, nobody could end it: {}", quiet.stderr);
    assert_eq!(other.summary()["model_sha256"], bench.summary()["model_sha256"]);
    let third = Bench::new();
    third.run(&flags).assert_code(0);
    assert_eq!(third.summary()["model_sha256"], bench.summary()["model_sha256"]);

    // The same again, from what its folder keeps.
    let mut again = Running::of(trainer(&bench, &["page", "runs/latest", "--page-token=token"]));
    let page = page_at("the page is at ", &again.stdout_line("the page is at "));
    let told = page.watch().until("finished");
    assert_eq!(told.last().unwrap()["ok"], true);
    let rounds = |events: &[Value]| -> Vec<Value> {
        let rounds = events.iter().filter(|event| event["event"] == "round");
        rounds
            .map(|round| Value::from_iter(["round", "test_accuracy", "model_sha256"].map(|key| round[key].clone())))
            .collect()
    };
    assert_eq!(rounds(&told), rounds(&events));
    assert!(page.get("/runs/0/report").contains("200 OK"));
    again.signal("INT");
    again.finish().assert_code(0);
    for (arguments, code, expect) in [
        (&["page", "nowhere"][..], 74, "trainer: there is no run folder `nowhere`; name one such as runs/latest\n"),
        (&["page", "runs/latest", "--page=0.0.0.0:0"], 78, "--page-token"),
        (&["page"], 64, "<RUN>"),
    ] {
        let run = Running::of(trainer(&bench, arguments)).finish();
        run.assert_code(code);
        assert!(run.stderr.contains(expect), "{}", run.stderr);
    }
}

/// The trainer that the orchestrator starts.
fn trainer(bench: &Bench, arguments: &[&str]) -> Command {
    let mut command = Command::new(Path::new(env!("CARGO_BIN_EXE_orchestrator")).with_file_name("trainer"));
    command.current_dir(bench.path("")).args(arguments).env_remove("MNIST_DIR");
    command
}

#[test]
fn a_page_that_cannot_be_served_ends_with_one_line_before_anything_is_made() {
    let bench = Bench::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let [in_use, unsafe_] = [format!("--page={address}"), "--page=0.0.0.0:0".into()];
    let mut before = BTreeMap::new();
    files(&bench.path(""), &mut before);
    for (flag, code, expect) in [(&in_use, 69, address.as_str()), (&unsafe_, 78, "--page-token")] {
        for folder in [&[][..], &["--run-dir=run"]] {
            let run = bench.run(&[&[flag.as_str()], folder].concat());
            run.assert_code(code);
            assert!(run.stderr.starts_with("orchestrator: ") && run.stderr.contains(expect), "{}", run.stderr);
            assert_eq!((run.stderr.lines().count(), run.stdout.as_str()), (1, ""), "{}", run.stderr);
        }
    }
    let mut after = BTreeMap::new();
    files(&bench.path(""), &mut after);
    assert_eq!(after, before);

    bench.run(&["--batch-delay=0ms", "--rounds=1", "--run-dir=run"]).assert_code(0);
    let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
    files(&bench.path(""), &mut before);
    bench.run_with(&["--resume=run", "--rounds=2", &in_use]).assert_code(69);
    files(&bench.path(""), &mut after);
    assert_eq!(after, before);
    drop(taken);
    let run = bench.run_with(&["--resume=run", "--rounds=2", "--page=0.0.0.0:0", "--page-token=token"]);
    run.assert_code(0);
    assert!(run.stderr.contains("not encrypted"), "{}", run.stderr);
}

#[test]
fn a_sender_that_is_killed_is_seen_to_come_back_and_a_run_that_is_stopped_to_end() {
    let bench = Bench::built();
    let flags = ["--senders=2", "--samples-per-batch=10", "--batch-delay=50ms", "--page", "--page-linger=1h"];
    let mut run = bench.start(&flags);
    let mut watcher = page_of(&mut run).watch();
    watcher.until("stored");
    bench.kill_and_wait("sender-1");
    let events = watcher.until("restarting");
    let ended = events.iter().find(|event| event["event"] == "ended").unwrap();
    assert!(ended["child"] == "sender-1" && ended["ok"] == false, "{ended}");
    assert_eq!(ended["status"], "signal: 9 (SIGKILL)");
    let restarting = events.last().unwrap();
    assert!(restarting["child"] == "sender-1" && restarting["count"] == 1 && restarting["of"] == 5, "{restarting}");
    let started = watcher.until("started").pop().unwrap();
    assert_eq!(started["child"], "sender-1");
    run.wait_for_child(&bench, "sender-1");
    assert_eq!(bench.children("sender-1").first().map(|pid| u64::from(*pid)), started["pid"].as_u64());
    run.signal("TERM");
    let finished = watcher.until("finished").pop().unwrap();
    assert_eq!(finished["ok"], false);
    assert_eq!(finished["text"], "stopped by SIGTERM; --resume goes on with this run");
    run.finish().assert_code(143);
}

#[test]
fn a_page_that_stays_keeps_no_other_run_waiting_and_ends_well() {
    let bench = Bench::built();
    let flags = ["--batch-delay=0ms", "--rounds=1"];
    let mut first = bench.start(&[&flags[..], &["--page", "--page-linger=1h"]].concat());
    let page = page_of(&mut first);
    first.read_stderr_until("the page is served for 1h more, or until Ctrl-C");
    bench.run(&flags).assert_code(0);
    assert!(page.watch().until("finished").last().unwrap()["ok"] == true);
    first.signal("INT");
    first.finish().assert_code(0);
    bench.assert_no_child();
}
