//! `orchestrator doctor`, the real program, on machines that have something and lack something.

#![cfg(unix)]

mod support;

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    time::{Duration, Instant},
};

use support::{Bench, Running};

/// The lines of the report, and each is one finding.
#[track_caller]
fn check_lines(stdout: &str) {
    let findings: Vec<&str> = stdout.lines().take_while(|line| !line.is_empty()).collect();
    assert_eq!(findings.len(), 12, "{stdout}");
    for line in findings {
        assert!(["ok  ", "miss", "wron"].contains(&&line[..4]) && line.as_bytes()[21] == b' ', "{line}");
    }
}

#[test]
fn a_machine_that_has_it_all_gets_0_and_stays_as_it_is() {
    let bench = Bench::new();
    let before = fs::read_dir(bench.path("")).unwrap().count();
    let data = format!("--data={}", bench.path("squares").display());
    let run = bench.run_with(&["doctor", &data, "--samples=2000"]);
    run.assert_code(0);
    check_lines(&run.stdout);
    assert!(run.stdout.ends_with("\n\na run can go ahead\n"), "{}", run.stdout);
    assert_eq!(fs::read_dir(bench.path("")).unwrap().count(), before);
}

#[test]
fn what_stands_in_the_way_is_named_and_the_exit_code_is_69() {
    let bench = Bench::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("--listen={}", taken.local_addr().unwrap());
    let cut = bench.path("squares/train-labels-idx1-ubyte");
    fs::File::options().write(true).open(&cut).unwrap().set_len(1000).unwrap();
    let data = format!("--data={}", bench.path("squares").display());
    let run = bench.run_with(&["doctor", &data, &listen]);
    run.assert_code(69);
    check_lines(&run.stdout);
    assert_eq!(run.stderr, "orchestrator: a run cannot go ahead before this is mended: data, port\n");
    assert!(
        run.stdout.contains("idx1-ubyte` is 1000 bytes long, shorter than the 2008 bytes that its header promises"),
        "{}",
        run.stdout
    );
}

#[test]
fn a_tool_that_never_answers_keeps_nobody_waiting() {
    let bench = Bench::new();
    let tools = bench.path("tools");
    fs::create_dir(&tools).unwrap();
    for name in ["java", "python3", "c++"] {
        let script = tools.join(name);
        fs::write(&script, "#!/bin/sh\nexec sleep 600\n").unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap());
    let start = Instant::now();
    let mut command = bench.command();
    command.env("PATH", &path).env("JAVA_HOME", "").env("CXX", "").args(["doctor", "--dataset=generated"]);
    let run = Running::of(command).finish();
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    check_lines(&run.stdout);
    assert!(run.stdout.contains("wrong    compiler     no answer within 1.8 s\n"), "{}", run.stdout);
    bench.assert_no_child();
}
