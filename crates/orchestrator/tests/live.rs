//! Live runs: real processes that stream and train at the same time. Whoever is killed, and however many send, the model is
//! that of the same samples in any other live run.

#![cfg(unix)]

mod support;

use std::{fs, path::Path, process::Command};

use support::{Bench, Running};

/// Five rounds over the bench's 2000 samples, which remember what came before.
const LIVE: [&str; 4] = ["--live", "--samples-per-round=400", "--replay=reservoir:500", "--samples-per-batch=50"];

/// Forty seconds of streaming, of which the first slice takes eight: a trainer that is slow to start comes to it before the end.
const SLOWLY: [&str; 2] = ["--batch-delay=1s", "--samples-per-chunk=100"];

/// No faster than a busy machine trains: what has come when it is over is all trained on.
const ENDLESS: [&str; 4] = ["--endless", "--batch-delay=200ms", "--samples-per-batch=50", "--senders=2"];

fn live<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&LIVE[..], more].concat()
}

/// The hash of the model that all such runs end with.
fn model(bench: &Bench) -> String {
    bench.summary()["model_sha256"].as_str().unwrap().to_owned()
}

/// The rounds that were told of on stdout, in order.
fn rounds(stdout: &str) -> Vec<u32> {
    let number = |line: &str| line.strip_prefix("round ")?.split(' ').next()?.parse().ok();
    stdout.lines().filter_map(number).collect()
}

/// The model of the chunk directory that a run has left, by the trainer alone.
fn replayed(bench: &Bench, flags: &[&str]) -> String {
    let trainer = Path::new(env!("CARGO_BIN_EXE_orchestrator")).with_file_name("trainer");
    let mut command = Command::new(trainer);
    command.current_dir(bench.path(".")).args(["--partitions=2", "--run-dir=again"]).args(flags);
    command.arg("--dir").arg(bench.path("chunks")).arg("--test-data").arg(bench.path("squares"));
    Running::of(command).finish().assert_code(0);
    let summary = fs::read(bench.path("again/summary.json")).unwrap();
    serde_json::from_slice::<serde_json::Value>(&summary).unwrap()["model_sha256"].as_str().unwrap().to_owned()
}

#[test]
fn a_live_run_ends_with_one_model_whatever_the_number_of_senders_and_so_does_its_replay() {
    let [one, three] = [(), ()].map(|()| Bench::new());
    let run = one.run(&live(&["--batch-delay=0ms"]));
    run.assert_code(0);
    assert_eq!(rounds(&run.stdout), [1, 2, 3, 4, 5], "{}", run.stdout);
    assert!(run.stdout.contains("\nround 5  to sample 2,000  prequential accuracy "), "{}", run.stdout);
    assert!(run.stdout.contains("phases  ") && run.stdout.contains("streaming and training "), "{}", run.stdout);
    assert!(run.stdout.lines().last().unwrap().starts_with("test accuracy "), "{}", run.stdout);
    three.run(&live(&["--senders=3", "--samples-per-chunk=130"])).assert_code(0);
    assert_eq!(model(&three), model(&one));
    assert_eq!(replayed(&three, &["--live", "--samples-per-round=400", "--replay=reservoir:500"]), model(&one));
}

#[test]
fn whoever_is_killed_in_a_live_run_is_not_seen_in_the_model() {
    let undisturbed = Bench::new();
    undisturbed.run(&live(&["--batch-delay=0ms"])).assert_code(0);
    let bench = Bench::new();
    let mut run = bench.start(&live(&["--batch-delay=200ms", "--samples-per-chunk=100", "--senders=2"]));
    for (chunks, victim) in [(1, "/trainer "), (3, "--stream=sender-1 "), (6, "/receiver "), (12, "/trainer ")] {
        run.wait_for_chunks(&bench, chunks);
        run.wait_for_child(&bench, victim);
        bench.kill_and_wait(victim);
    }
    let run = run.finish();
    run.assert_code(0);
    assert_eq!(run.stderr.matches(" died (signal: 9 (SIGKILL)); starting it again (").count(), 4, "{}", run.stderr);
    assert_eq!(rounds(&run.stdout), [1, 2, 3, 4, 5], "{}", run.stdout);
    assert_eq!(model(&bench), model(&undisturbed));
    bench.assert_no_child();
}

#[test]
fn a_live_run_that_is_stopped_goes_on_where_it_was() {
    let undisturbed = Bench::new();
    undisturbed.run(&live(&["--batch-delay=0ms"])).assert_code(0);
    let bench = Bench::new();
    let mut run = bench.start(&live(&SLOWLY));
    run.read_stdout_until("round 1 ");
    run.signal("INT");
    run.finish().assert_code(130);
    assert!(!bench.path("chunks/_SUCCESS").exists(), "the first round waited for the last sample");
    let run = bench.run_with(&["--resume", "--batch-delay=0s"]);
    run.assert_code(0);
    assert_eq!(rounds(&run.stdout), [1, 2, 3, 4, 5], "{}", run.stdout);
    assert_eq!(model(&bench), model(&undisturbed));

    let run = bench.run_with(&["--resume"]);
    run.assert_code(0);
    assert!(!run.stdout.contains("received 2000 samples"), "{}", run.stdout);
    assert_eq!(model(&bench), model(&undisturbed));
}

#[test]
fn a_stream_without_an_end_is_over_at_the_first_ctrl_c_and_what_there_is_of_it_is_trained_on() {
    let bench = Bench::new();
    let training = ["--live", "--samples-per-round=200", "--replay=sliding:100"];
    let mut run = bench.start(&[&training[..], &ENDLESS].concat());
    run.read_stdout_until("round 12 "); // More than the dataset holds.
    run.signal("INT");
    let run = run.finish();
    run.assert_code(0);
    assert!(run.stderr.contains("the stream has no end, and "), "{}", run.stderr);
    assert!(run.stderr.contains("\nending the stream; "), "{}", run.stderr);
    let rounds = rounds(&run.stdout).len() as u64;
    let summary = bench.summary();
    assert!(rounds >= 12 && summary["live"]["samples"] == 200 * rounds, "{rounds}: {summary}");
    assert!(run.stdout.lines().last().unwrap().starts_with("test accuracy "), "{}", run.stdout);
    assert_eq!(replayed(&bench, &training), model(&bench));
    bench.assert_no_child();
}

#[test]
fn a_stream_without_an_end_goes_on_after_whatever_else_stopped_the_run() {
    let bench = Bench::new();
    let training = ["--live", "--samples-per-round=200", "--replay=sliding:100"];
    let mut run = bench.start(&[&training[..], &ENDLESS].concat());
    for (signal, code, round) in [("TERM", Some(143), 2), ("HUP", Some(129), 4), ("KILL", None, 6)] {
        run.read_stdout_until(&format!("round {round} "));
        run.signal(signal);
        assert_eq!(run.finish().code, code, "{signal}");
        bench.assert_no_child();
        assert!(!bench.path("chunks/_SUCCESS").exists(), "{signal} ended the stream");
        run = bench.start_with(&["--resume"]);
    }
    run.read_stdout_until("round 8 ");
    run.signal("INT");
    let run = run.finish();
    run.assert_code(0);
    let rounds = rounds(&run.stdout);
    let samples = 200 * rounds.len() as u64;
    assert!(rounds.iter().copied().eq(1..=rounds.len() as u32), "{rounds:?}");
    assert_eq!(bench.summary()["live"]["samples"], samples);
    assert_eq!(replayed(&bench, &training), model(&bench));
    bench.assert_no_child();
}

#[test]
fn a_second_ctrl_c_stops_the_training_on_a_stream_that_the_first_has_ended() {
    let bench = Bench::new();
    // Any chunk holds a slice, and a round takes longer than anybody waits here.
    let training = ["--live", "--samples-per-round=50", "--local-epochs=100000"];
    let mut run =
        bench.start(&[&training[..], &["--endless", "--batch-delay=30ms", "--samples-per-batch=50"]].concat());
    run.wait_for_chunks(&bench, 1);
    run.signal("INT");
    run.read_stderr_until("ending the stream; ");
    run.signal("INT");
    let run = run.finish();
    run.assert_code(130);
    assert!(run.stderr.ends_with("stopped by Ctrl-C; --resume goes on with this run\n"), "{}", run.stderr);
    bench.assert_no_child();
}
