//! Whole runs: real processes, real sockets, real files; small data. That runs end with the same model whoever is killed, and
//! when, and with no other run's, is tried again and again by `torture`.

#![cfg(unix)]

mod support;

use std::{
    ffi::OsString,
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    os::unix::ffi::OsStringExt,
    process::{Command, Stdio},
};

use support::{Bench, listening};

#[test]
fn one_command_streams_trains_and_ends_with_a_model_whatever_the_number_of_senders() {
    let bench = Bench::new();
    let run = bench.run(&["--batch-delay=0ms", "--rounds=2"]);
    run.assert_code(0);
    assert_eq!(bench.chunks(), 2);
    assert!(bench.summary()["test_accuracy"].as_f64().unwrap() > 0.9, "{}", bench.summary());
    assert!(run.stdout.contains("received 2000 samples in 2 chunks"), "{}", run.stdout);
    assert!(run.stdout.contains("\nround 2/2  train loss "), "{}", run.stdout);
    assert!(run.stdout.lines().last().unwrap().starts_with("test accuracy "), "{}", run.stdout);
    let config = fs::read_to_string(bench.path("runs/latest/config.toml")).unwrap();
    assert!(config.contains("rounds = 2\n") && config.contains("batch-delay = \"0s\"\n"), "{config}");
    assert!(config.contains("key = \"data/tributary.key\"\n"), "{config}");
    let key = fs::read_to_string(bench.path("data/tributary.key")).unwrap();
    let secret = key.trim_end().strip_prefix("tributary-key-1 ").unwrap();
    for entry in fs::read_dir(bench.path("runs/latest")).unwrap().map(Result::unwrap) {
        let file = fs::read(entry.path()).unwrap_or_default(); // There is a folder among them.
        assert!(!file.windows(20).any(|window| window == &secret.as_bytes()[..20]), "{:?}", entry.path());
    }
    assert!(!run.stdout.contains(secret) && !run.stderr.contains(secret));
    let three = Bench::new();
    three.run(&["--batch-delay=0ms", "--rounds=2", "--senders=3"]).assert_code(0);
    assert_eq!(three.summary()["model_sha256"], bench.summary()["model_sha256"]);
}

#[test]
fn a_port_in_use_ends_with_69_and_one_line_that_names_it() {
    let bench = Bench::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let run = bench.run(&["--listen", &address]);
    run.assert_code(69);
    let last = run.stderr.lines().last().unwrap();
    assert!(last.starts_with("orchestrator: receiver failed (exit status: 69): ") && last.contains(&address), "{last}");
}

#[test]
fn what_cannot_be_run_is_refused_before_anything_starts() {
    let bench = Bench::new();
    fs::create_dir(bench.path("run")).unwrap();
    fs::write(bench.path("run/config.toml"), "rounds = 9\n").unwrap();
    fs::write(bench.path("run.toml"), "rounds = \"many\"").unwrap();
    let mut refused = vec![
        ("--config=run.toml".into(), 64, "invalid value 'many' for '--rounds <N>': give a whole number, at least 1"),
        ("--run-dir=run".into(), 73, "`run` already holds a run; go on with --resume run, or choose another --run-dir"),
    ];
    if cfg!(target_os = "linux") {
        // Elsewhere a file system may refuse such a name.
        refused.push((OsString::from_vec(b"--run-dir=x\xff".into()), 64, "is not UTF-8; choose another --run-dir"));
    }
    for (flag, code, expect) in refused {
        let output = bench.command().arg(flag).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert!(stderr.ends_with(&format!("{expect}\n")) && stderr.lines().count() == 1, "{stderr}");
        assert!(!bench.path("data/tributary.key").exists() && !bench.path("runs").exists(), "something was started");
    }
}

#[test]
fn a_trainer_killed_before_its_samples_are_there_and_again_later_shows_each_round_once() {
    let bench = Bench::new();
    let flags = ["--samples-per-batch=50", "--samples-per-chunk=100", "--batch-delay=50ms", "--rounds=4"];
    let mut run = bench.start(&flags);
    run.wait_for_child(&bench, "/trainer ");
    bench.kill_and_wait("/trainer ");
    assert!(!bench.path("chunks/_SUCCESS").exists());
    run.read_stdout_until("round 1/4");
    bench.signal_child("/trainer ", "KILL");
    let run = run.finish();
    run.assert_code(0);
    let line = "trainer died (signal: 9 (SIGKILL)); starting it again (1 of 5)\n";
    assert_eq!(run.stderr.matches(line).count(), 2, "{}", run.stderr);
    assert!(!run.stderr.contains("waiting up to"), "{}", run.stderr);
    let rounds = run.stdout.lines().filter_map(|line| line.strip_prefix("round ")?.split('/').next());
    assert_eq!(rounds.collect::<Vec<_>>(), ["1", "2", "3", "4"], "{}", run.stdout);
    assert!(!run.stdout.contains("all its rounds"), "{}", run.stdout);
    let place = |text| run.stdout.find(text).unwrap_or_else(|| panic!("no `{text}` in:\n{}", run.stdout));
    assert!(place("received 2000 samples in 20 chunks") < place("training on 2000 samples"), "{}", run.stdout);
}

#[test]
fn a_receiver_that_dies_again_and_again_without_progress_ends_the_run_and_is_named() {
    let bench = Bench::new();
    let mut run = bench.start(&["--batch-delay=1m"]);
    for _ in 0..6 {
        run.wait_for_child(&bench, "/receiver ");
        bench.kill_and_wait("/receiver ");
    }
    let run = run.finish();
    run.assert_code(70);
    assert!(run.stderr.contains("; starting it again (5 of 5)\n"), "{}", run.stderr);
    assert!(run.stderr.contains("receiver failed (signal: 9 (SIGKILL)). It was started as\n"), "{}", run.stderr);
    bench.assert_no_child();
}

#[test]
fn a_run_that_was_killed_before_it_streamed_replaces_an_earlier_runs_chunks_when_it_is_resumed() {
    let bench = Bench::new();
    bench.run(&["--batch-delay=0ms", "--rounds=1"]).assert_code(0);
    // All that is left of an orchestrator that died before its receiver had emptied the directory.
    let config = fs::read_to_string(bench.path("runs/latest/config.toml")).unwrap();
    fs::create_dir(bench.path("runs/killed")).unwrap();
    fs::write(bench.path("runs/killed/config.toml"), config.replace("samples = 2000", "samples = 1000")).unwrap();
    bench.run_with(&["--resume=runs/killed"]).assert_code(0);
    let summary = fs::read_to_string(bench.path("runs/killed/summary.json")).unwrap();
    assert!(summary.contains("\"n_samples\": 1000,"), "{summary}");
}

#[test]
fn a_run_that_is_stopped_while_streaming_can_be_resumed() {
    let bench = Bench::new();
    let mut run =
        bench.start(&["--batch-delay=500ms", "--samples-per-batch=100", "--samples-per-chunk=100", "--rounds=1"]);
    run.wait_for_chunks(&bench, 2); // Of 20, half a second apart.
    run.signal("INT");
    run.finish().assert_code(130);
    assert!(!bench.path("chunks/_SUCCESS").exists());

    bench.run_with(&["--resume", "runs/latest", "--batch-delay=0s"]).assert_code(0);
    assert_eq!(bench.chunks(), 20);

    let run = bench.run_with(&["--resume"]);
    run.assert_code(0);
    assert!(run.stdout.starts_with("the run has all its rounds (1); "), "{}", run.stdout);

    let run = bench.run_with(&["--resume", "--samples=1999"]);
    run.assert_code(65);
    assert!(run.stderr.contains("/chunks` holds the samples of another run; "), "{}", run.stderr);
}

#[test]
fn whoever_ends_a_run_leaves_no_child() {
    for (signal, code) in [("INT", Some(130)), ("TERM", Some(143)), ("HUP", Some(129)), ("KILL", None)] {
        let bench = Bench::new();
        let mut run = bench.start(&["--batch-delay=1s", "--samples-per-batch=10", "--senders=2"]);
        run.wait_for_child(&bench, "sender-1");
        run.signal(signal);
        let run = run.finish();
        assert_eq!(run.code, code, "{signal}: {}", run.stderr);
        bench.assert_no_child();
        let last = run.stderr.lines().last().unwrap();
        let is_told = last.contains("stopped by ") && last.ends_with("; --resume goes on with this run");
        assert!(code.is_none() || is_told, "{}", run.stderr);
    }
}

#[test]
fn a_run_that_can_no_longer_write_ends_with_129_too() {
    let bench = Bench::new();
    let mut command = bench.command_on_data(&["--batch-delay=1s", "--samples-per-batch=10"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("the receiver listens on ")), "it ended");
    drop((lines, child.stdout.take()));
    assert!(Command::new("kill").args(["-HUP", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(129));
    bench.assert_no_child();
}

#[test]
fn a_second_run_in_one_checkout_ends_with_73_until_the_first_is_over() {
    let bench = Bench::new();
    let mut first = bench.start(&["--batch-delay=50ms", "--rounds=1000", "--run-dir=one"]);
    // One where the first streams, one where it trains.
    first.wait_for_chunks(&bench, 1);
    let second = bench.run(&["--run-dir=two"]);
    first.read_stdout_until("round 1/1000");
    let third = bench.run(&["--run-dir=three"]);
    for (refused, run_dir) in [(second, "two"), (third, "three")] {
        refused.assert_code(73);
        let last = refused.stderr.lines().last().unwrap();
        assert!(last.contains("is in use by run `one` (process "), "{last}");
        assert!(!bench.path(run_dir).exists());
    }
    first.signal("TERM");
    first.finish().assert_code(143);
    bench.run(&["--rounds=1", "--run-dir=four"]).assert_code(0);
}

#[test]
#[ignore = "needs Java and Spark; `scripts/test-spark` runs it"]
fn one_command_trains_on_a_spark_of_its_own_to_the_model_of_threads() {
    let threads = Bench::new();
    threads.run(&["--batch-delay=0ms", "--rounds=2"]).assert_code(0);
    let spark = Bench::new();
    let run = spark.run(&["--batch-delay=0ms", "--rounds=2", "--engine=spark"]);
    run.assert_code(0);
    assert!(run.stderr.contains("Spark UI: http://127.0.0.1:"), "{}", run.stderr);
    assert_eq!(spark.summary()["engine"], "spark");
    assert_eq!(spark.summary()["model_sha256"], threads.summary()["model_sha256"]);
    assert!(!spark.path("runs/latest/spark").exists());
    spark.assert_no_child();
}

#[test]
#[ignore = "needs Java and Spark; `scripts/test-spark` runs it"]
fn a_live_run_on_a_spark_of_its_own_streams_meanwhile_and_has_the_model_of_threads() {
    let live = ["--live", "--samples-per-round=500", "--replay=reservoir:300", "--batch-delay=0ms", "--senders=2"];
    let threads = Bench::new();
    threads.run(&live).assert_code(0);
    let spark = Bench::new();
    let run = spark.run(&[&live[..], &["--engine=spark"]].concat());
    run.assert_code(0);
    assert_eq!(spark.summary()["engine"], "spark");
    assert_eq!(spark.summary()["model_sha256"], threads.summary()["model_sha256"]);
    spark.assert_no_child();
}

#[test]
#[ignore = "needs Java and Spark; `scripts/test-spark` runs it"]
fn whoever_ends_a_run_leaves_no_spark() {
    for (signal, code) in [("INT", Some(130)), ("KILL", None)] {
        let bench = Bench::new();
        let mut run = bench.start(&["--batch-delay=0ms", "--rounds=100000", "--engine=spark"]);
        // More rounds than anybody waits for, so that the signal cannot come too late.
        run.read_stdout_until("round 1/100000");
        let server = bench.children("org.apache.spark.sql.connect.service.SparkConnectServer");
        assert!(server.iter().any(|process| !listening(*process).is_empty()));
        // 127.0.0.1, ::ffff:127.0.0.1 and ::1, on a little-endian machine.
        let loopback = ["0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"];
        for address in server.iter().flat_map(|process| listening(*process)) {
            assert!(loopback.contains(&&*address), "{address}");
        }
        run.signal(signal);
        let run = run.finish();
        assert_eq!(run.code, code, "{}", run.stderr);
        bench.assert_no_child();
        assert_eq!(bench.path("runs/latest/spark").exists(), code.is_none(), "only who is killed leaves files");

        // On threads, to see that the checkpoint is one like any other.
        let rounds = format!("--rounds={}", bench.checkpoints() + 1);
        bench.run_with(&["--resume", "runs/latest", &rounds, "--engine=rayon"]).assert_code(0);
    }
}
