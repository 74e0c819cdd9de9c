//! What a run shows and leaves behind, and what becomes of the model.

mod support;

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
};

use serde_json::Value;
use support::{N, Place, fail, receive, succeed};

#[test]
fn the_model_learns_and_the_last_line_is_the_test_accuracy() {
    let place = Place::received();
    let flags = ["--partitions", "2", "--rounds", "4", "--received-accuracy", "each-round"];
    let text = succeed(&mut place.train("run", &flags));
    let summary = place.summary("run");
    let rounds = rows(&place, "run");
    // Untrained, the loss is that of guessing: ln 10 = 2.30.
    let (first, last) = (&rounds[0], &rounds[3]);
    assert!(number(&first[1]) > 1.5 && number(&last[1]) < 0.5, "train loss {} to {}", first[1], last[1]);
    assert!(number(&last[2]) < number(&first[2]), "test loss {} to {}", first[2], last[2]);
    assert!(summary["test_accuracy"].as_f64().unwrap() > 0.95, "{summary}");
    assert!(summary["received_accuracy"].as_f64().unwrap() > 0.95, "{summary}");
    assert!(rounds.iter().all(|row| !row[4].is_empty()), "received accuracy each round: {rounds:?}");

    let percent = format!("{:.2} % of 100 samples", 100.0 * summary["test_accuracy"].as_f64().unwrap());
    let last_line = text.lines().last().unwrap();
    assert!(last_line.starts_with("test accuracy") && last_line.ends_with(&percent), "{text}");
    let hash = summary["model_sha256"].as_str().unwrap();
    assert!(text.lines().any(|line| line.starts_with("    4 ") && line.ends_with(&hash[..16])), "{text}");
}

#[test]
fn a_run_folder_holds_configuration_events_rounds_checkpoints_model_and_summary() {
    let place = Place::received();
    let events = succeed(&mut place.train("run", &["--json"]));
    let folder = place.path("run");

    let config: toml::Table = fs::read_to_string(folder.join("config.toml")).unwrap().parse().unwrap();
    assert_eq!(config["rounds"].as_integer(), Some(2));
    assert_eq!(config["batch-size"].as_integer(), Some(16));
    assert_eq!(config["optimizer"].as_str(), Some("adam"));
    assert_eq!(config["dir"].as_str(), Some("chunks"));

    let kinds = |text: &str| {
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.map(|event| event["event"].as_str().unwrap().to_owned()).filter(|kind| kind != "progress").collect()
    };
    let expect: Vec<String> = ["training", "round", "round", "summary"].map(String::from).into();
    let logged = fs::read_to_string(folder.join("events.jsonl")).unwrap();
    let (shown, logged): (Vec<String>, Vec<String>) = (kinds(&events), kinds(&logged));
    assert_eq!((&shown, &logged), (&expect, &expect));

    let mut checkpoints: Vec<_> =
        fs::read_dir(folder.join("checkpoints")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    checkpoints.sort();
    assert_eq!(checkpoints, ["round-001.safetensors", "round-002.safetensors"]);

    let summary = place.summary("run");
    assert_eq!(summary["dataset"], "blobs");
    assert_eq!(summary["n_samples"], N);
    assert_eq!(summary["n_chunks"], 3);
    assert_eq!(summary["engine"], "rayon");
    assert_eq!(summary["partitions"], 3);
    assert_eq!(summary["rounds"], 2);
    assert_eq!(summary["seed"], 42);
    assert_eq!(summary["precision"], "f32");
    assert_eq!(summary["seconds"]["send"], 0.5);
    assert_eq!(summary["samples_per_second"]["ingest"], 500.0);
    assert!(summary["seconds"]["total"].as_f64() > summary["seconds"]["train"].as_f64());
    assert!(summary["samples_per_second"]["train"].as_f64().unwrap() > 0.0);
    for key in ["test_accuracy", "received_accuracy"] {
        assert!((0.0..=1.0).contains(&summary[key].as_f64().unwrap()), "{key}");
    }

    let (weights, metadata) = model::StateDict::read(&folder.join("final_cnn_model.safetensors")).unwrap();
    assert_eq!(summary["model_sha256"], weights.sha256());
    assert_eq!(metadata["seed"], "42");
    let rows = rows(&place, "run");
    assert_eq!(rows[1][7], weights.sha256());
    assert_eq!(rows[0][4], "", "received accuracy is measured at the end only");
    assert_ne!(rows[1][4], "");
}

#[test]
fn without_flags_results_go_to_a_folder_named_by_the_time_and_latest_points_to_it() {
    let place = Place::received();
    fs::create_dir(place.path("data")).unwrap();
    fs::rename(place.path("chunks"), place.path("data/streaming_input")).unwrap();
    for _ in 0..2 {
        succeed(place.command(&["--rounds", "1", "--test-data", "blobs"]).env("RAYON_NUM_THREADS", "1"));
    }
    let mut names: Vec<String> =
        fs::read_dir(place.path("runs")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name != "latest");
    assert_eq!(names.len(), 2);
    // Such as 2026-01-31T12-30-05.
    let shape = |name: &str| name[..19].replace(|c: char| c.is_ascii_digit(), "0");
    assert!(names.iter().all(|name| shape(name) == "0000-00-00T00-00-00"), "{names:?}");
    let text = succeed(&mut place.command(&["evaluate", "runs/latest", "--test-data", "blobs"]));
    let latest = fs::canonicalize(place.path("runs/latest")).unwrap();
    assert!(names.iter().any(|name| latest.ends_with(name)));
    let summary = place.summary("runs/latest");
    assert!(text.contains(summary["model_sha256"].as_str().unwrap()), "{text}");
    let accuracy = format!("test accuracy  {:.2} %", 100.0 * summary["test_accuracy"].as_f64().unwrap());
    assert_eq!(text.lines().last().unwrap(), accuracy);
}

#[test]
fn a_finished_run_resumed_says_so_and_changes_nothing() {
    let place = Place::received();
    let hash = place.hash_of("run", &[]);
    let before = rows(&place, "run");
    let output = place.command(&["--resume", "run"]).output().unwrap();
    assert!(output.status.success());
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("already has all its rounds (2)"), "{stderr}");
    assert_eq!(place.summary("run")["model_sha256"], hash.as_str());
    assert_eq!(rows(&place, "run"), before);
}

#[test]
fn the_progress_of_a_round_is_that_of_its_partitions() {
    let place = Place::received();
    let said = succeed(&mut place.train("run", &["--json", "--rounds", "1", "--partitions", "3"]));
    let mut events = said.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let last = events.rfind(|event| event["event"] == "progress").unwrap();
    assert_eq!((&last["samples"], &last["of"]), (&N.into(), &N.into()));
    let mut partitions: Vec<u64> = serde_json::from_value(last["partitions"].clone()).unwrap();
    partitions.sort();
    assert_eq!(partitions, [83, 83, 84]);
}

#[test]
fn a_run_that_begins_with_a_model_goes_on_from_it_and_says_so() {
    let place = Place::received();
    succeed(&mut place.train("first", &[]));
    let model = place.path("first/final_cnn_model.safetensors");
    let model = model.to_str().unwrap();
    let loss = |run: &str, round: usize| {
        let rounds = fs::read_to_string(place.path(run).join("rounds.csv")).unwrap();
        rounds.lines().nth(round).unwrap().split(',').nth(1).unwrap().parse::<f64>().unwrap()
    };
    let hash = place.hash_of("second", &["--init", model]);
    assert!(loss("second", 1) < loss("first", 1) / 2.0, "{} and {}", loss("first", 1), loss("second", 1));
    assert_eq!(place.hash_of("again", &["--init", "first"]), hash, "a run folder is its final model");
    assert_ne!(place.hash_of("fresh", &["--seed", "7"]), hash);

    // As a kill leaves it after its first round.
    fs::remove_file(place.path("second/checkpoints/round-002.safetensors")).unwrap();
    succeed(&mut place.command(&["--resume", "second"]));
    assert_eq!(place.summary("second")["model_sha256"], hash.as_str());
    fail(&mut place.command(&["--resume", "second", "--init", "fresh"]), 65, "was trained with --init ");
    fail(&mut place.command(&["--resume", "fresh", "--init", "first"]), 65, "does not say its --init");
    fs::write(place.path("bad.pth"), "no model").unwrap();
    fail(&mut place.train("other", &["--init", "bad.pth"]), 65, "failed to read the model of --init: ");
    let output = place.train("other", &["--init", "absent"]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(64), "{stderr}");
    assert!(stderr.contains("'--init <FILE|RUN>'") && stderr.contains("name a model file"), "{stderr}");
}

#[test]
fn an_orchestrators_configuration_is_kept_and_understood_on_resume() {
    let place = Place::received();
    fs::create_dir(place.path("run")).unwrap();
    fs::write(place.path("run/config.toml"), "samples = 250\nsenders = 3\nbatch-delay = \"50ms\"\nrounds = 2\n")
        .unwrap();
    let hash = place.hash_of("run", &["--learning-rate", "0.002"]);
    let config = fs::read_to_string(place.path("run/config.toml")).unwrap();
    assert!(config.contains("senders = 3") && config.contains("learning-rate = 0.002"), "{config}");
    succeed(&mut place.command(&["--resume", "run"]));
    assert_eq!(place.summary("run")["model_sha256"], hash.as_str());
}

#[test]
fn a_trainer_that_is_early_waits_until_the_directory_is_complete() {
    let place = Place::new();
    // In a fresh checkout it is not there at all.
    let mut command = place.train("run", &["--rounds", "1"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    stderr.find(|line| line.contains("waiting up to")).expect("it says that it waits");
    place.receive(100, &[("one", 0, N)]);
    assert!(child.wait().unwrap().success());
    assert_eq!(place.summary("run")["n_samples"], N);
}

#[test]
fn a_parent_that_goes_away_ends_the_trainer_and_the_way_to_go_on_is_told() {
    let place = Place::received();
    let mut child = place
        .train("run", &["--json", "--lifeline", "--rounds", "100000"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for_a_round(&mut child);
    drop(child.stdin.take());
    check_stopped(child, 143, "the parent process");
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_the_trainer_and_the_way_to_go_on_is_told() {
    let place = Place::received();
    let mut command = place.train("run", &["--json", "--rounds", "100000"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_a_round(&mut child);
    succeed(Command::new("kill").args(["-INT", &child.id().to_string()]));
    check_stopped(child, 130, "Ctrl-C");
}

#[test]
fn digits_that_are_not_mnist_are_called_that() {
    let place = Place::new();
    // The test set is known by the samples beside it.
    dataset::write_idx(&place.path("blobs"), dataset::Split::Train, &[0; 784], &[3]).unwrap();
    let digest = dataset::check(&place.path("blobs"), dataset::Split::Train).unwrap().digest;
    let digest = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let dataset = store::DatasetId { name: "generated".into(), digest };
    receive(&place.path("chunks"), &dataset, 0, 100, &[("one", 0, N)]);
    fs::create_dir(place.path("data")).unwrap();
    fs::rename(place.path("blobs"), place.path("data/generated")).unwrap();
    let flags = ["--dir", "chunks", "--rounds", "1", "--partitions", "2", "--run-dir", "run"];
    let text = succeed(&mut place.command(&flags));
    assert!(text.contains("this is not MNIST"), "{text}");
    fail(&mut place.command(&["--resume", "run", "--test-data", "chunks"]), 65, "--test-data");
    // A model remembers what it was trained on, so that it is tested on the like.
    for model in ["run", "run/checkpoints/round-001.safetensors"] {
        let text = succeed(&mut place.command(&["evaluate", model]));
        assert!(text.contains("generated, 100 samples"), "{text}");
    }
}

#[test]
fn a_resumed_run_reports_every_round_and_logs_the_one_that_a_kill_cut_off() {
    let place = Place::received();
    succeed(&mut place.train("run", &[]));
    // As a kill leaves it between the second round's checkpoint and its event.
    let log = place.path("run/events.jsonl");
    let text = fs::read_to_string(&log).unwrap();
    let cut: String = text.lines().take(2).map(|line| format!("{line}\n")).collect();
    fs::write(&log, cut).unwrap();
    let rounds_in = |text: &str| -> Vec<u64> {
        let events = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        events.filter(|event| event["event"] == "round").map(|event| event["round"].as_u64().unwrap()).collect()
    };
    let shown = succeed(&mut place.command(&["--resume", "run", "--rounds", "3", "--json"]));
    assert_eq!(rounds_in(&shown), [1, 2, 3]);
    assert_eq!(rounds_in(&fs::read_to_string(&log).unwrap()), [1, 2, 3]);
}

#[test]
fn tensorboard_is_told_of_each_round_once_and_of_the_end_of_a_run_once() {
    let place = Place::received();
    succeed(&mut place.train("run", &[]));
    // As a kill leaves it between the second round's event and its checkpoint.
    fs::remove_file(place.path("run/checkpoints/round-002.safetensors")).unwrap();
    succeed(&mut place.command(&["--resume", "run", "--rounds", "3"]));
    succeed(&mut place.command(&["--resume", "run"]));
    let file = fs::read_dir(place.path("run/tensorboard")).unwrap().next().unwrap().unwrap();
    let bytes = fs::read(file.path()).unwrap();
    let count = |text: &str| bytes.windows(text.len()).filter(|window| *window == text.as_bytes()).count();
    for tag in ["accuracy/test", "loss/train", "confusion/test", "fc1/weight"] {
        assert_eq!(count(tag), 3, "{tag}");
    }
    assert_eq!(count("accuracy/received"), 1, "it is measured at the end only");
    assert_eq!((count("session_start_info"), count("session_end_info")), (1, 1));
}

#[test]
fn a_run_that_is_continued_is_no_longer_judged_by_its_old_final_model() {
    let place = Place::received();
    succeed(&mut place.train("run", &["--rounds", "1"]));
    let mut command = place.command(&["--resume", "run", "--rounds", "100000", "--json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    // The first round that it reports is the one it has.
    wait_for_a_round(&mut child);
    child.kill().unwrap();
    child.wait().unwrap();
    for name in ["final_cnn_model.safetensors", "summary.json"] {
        assert!(!place.path("run").join(name).exists(), "{name}");
    }
    let text = succeed(&mut place.command(&["evaluate", "run", "--test-data", "blobs"]));
    assert!(text.contains("run/checkpoints/round-"), "{text}");
}

/// The rows of a run's `rounds.csv`.
fn rows(place: &Place, run_dir: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(place.path(run_dir).join("rounds.csv")).unwrap();
    text.lines().skip(1).map(|row| row.split(',').map(String::from).collect()).collect()
}

fn number(text: &str) -> f64 {
    text.parse().unwrap()
}

fn wait_for_a_round(child: &mut std::process::Child) {
    let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines().map(Result::unwrap);
    lines.find(|line| line.contains(r#""event":"round""#)).expect("a round is reported");
}

fn check_stopped(mut child: std::process::Child, code: i32, cause: &str) {
    // Whatever it still says is read, else it could wait for us.
    let mut rest = String::new();
    child.stdout.take().unwrap().read_to_string(&mut rest).unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    let expect = format!("trainer: stopped by {cause}; to go on: trainer --resume run");
    assert_eq!(stderr.lines().last(), Some(expect.as_str()));
}
