//! What a run shows and leaves behind, and what becomes of the model.

mod support;

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
};

use support::{N, Place, blobs, fail, id, json_lines, refuse, succeed};

#[test]
fn the_model_learns_and_the_last_line_is_the_test_accuracy() {
    let place = Place::received();
    let flags = ["--partitions", "2", "--rounds", "4", "--received-accuracy", "each-round"];
    let text = succeed(&mut place.train("run", &flags));
    let summary = place.summary("run");
    let rounds = place.rounds("run");
    // Untrained, the loss is that of guessing: ln 10 = 2.30.
    let (first, last) = (&rounds[0], &rounds[3]);
    let number = |text: &str| text.parse::<f64>().unwrap();
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
    let shown = json_lines(&succeed(&mut place.train("run", &["--json"])));

    let config: toml::Table = place.read("run/config.toml").parse().unwrap();
    assert_eq!(config["rounds"].as_integer(), Some(2));
    assert_eq!(config["batch-size"].as_integer(), Some(16));
    assert_eq!(config["optimizer"].as_str(), Some("adam"));
    assert_eq!(config["dir"].as_str(), Some("chunks"));

    let (progress, shown): (Vec<_>, Vec<_>) = shown.into_iter().partition(|event| event["event"] == "progress");
    for events in [shown, json_lines(&place.read("run/events.jsonl"))] {
        let kinds = events.iter().map(|event| event["event"].as_str().unwrap());
        assert!(kinds.eq(["training", "round", "round", "summary"]), "{events:?}");
    }
    let last = progress.last().unwrap();
    assert_eq!((&last["samples"], &last["of"]), (&N.into(), &N.into()));
    let mut partitions: Vec<u64> = serde_json::from_value(last["partitions"].clone()).unwrap();
    partitions.sort();
    assert_eq!(partitions, [83, 83, 84]);
    assert_eq!(place.names("run/checkpoints"), ["round-001.safetensors", "round-002.safetensors"]);

    let summary = place.summary("run");
    for (key, text) in [("dataset", "blobs"), ("engine", "rayon"), ("step", "native")] {
        assert_eq!(summary[key], text);
    }
    for (key, number) in [("n_samples", N), ("n_chunks", 3), ("partitions", 3), ("rounds", 2), ("seed", 42)] {
        assert_eq!(summary[key], number, "{key}");
    }
    assert_eq!(summary["seconds"]["send"], 0.5);
    assert_eq!(summary["samples_per_second"]["ingest"], 500.0);
    assert!(summary["seconds"]["total"].as_f64() > summary["seconds"]["train"].as_f64());
    assert!(summary["samples_per_second"]["train"].as_f64().unwrap() > 0.0);
    for key in ["test_accuracy", "received_accuracy"] {
        assert!((0.0..=1.0).contains(&summary[key].as_f64().unwrap()), "{key}");
    }

    let (weights, metadata) = model::SIMPLE_CNN.read(&place.path("run/final_cnn_model.safetensors")).unwrap();
    assert_eq!(summary["model_sha256"], weights.sha256());
    assert_eq!(metadata["seed"], "42");
    let rows = place.rounds("run");
    assert_eq!(rows[1][7], weights.sha256());
    assert_eq!(rows[0][4], "", "received accuracy is measured at the end only");
    assert_ne!(rows[1][4], "");
    let rows = place.read("run/partitions.csv");
    assert!(rows.lines().skip(1).map(|row| row.split(',').nth(2).unwrap()).eq(["84", "83", "83"].repeat(2)), "{rows}");
}

#[test]
fn without_flags_results_go_to_a_folder_named_by_the_time_and_latest_points_to_it() {
    let place = Place::received();
    fs::create_dir(place.path("data")).unwrap();
    fs::rename(place.path("chunks"), place.path("data/streaming_input")).unwrap();
    succeed(place.command(&["--rounds", "1", "--test-data", "blobs"]).env("RAYON_NUM_THREADS", "1"));
    let names = place.names("runs");
    assert_eq!((names.len(), names[1].as_str()), (2, "latest"));
    // Such as 2026-01-31T12-30-05.
    assert_eq!(names[0].replace(|c: char| c.is_ascii_digit(), "0"), "0000-00-00T00-00-00");
    assert!(fs::canonicalize(place.path("runs/latest")).unwrap().ends_with(&names[0]));
    let text = place.says(&["evaluate", "runs/latest", "--test-data", "blobs"]);
    let summary = place.summary("runs/latest");
    assert!(text.contains(summary["model_sha256"].as_str().unwrap()), "{text}");
    let accuracy = format!("test accuracy  {:.2} %", 100.0 * summary["test_accuracy"].as_f64().unwrap());
    assert_eq!(text.lines().last().unwrap(), accuracy);
}

#[test]
fn a_run_that_begins_with_a_model_goes_on_from_it_and_says_so() {
    let place = Place::received();
    place.hash_of("first", &[]);
    let loss = |run: &str| place.rounds(run)[0][1].parse::<f64>().unwrap();
    let hash = place.hash_of("second", &["--init", "first/final_cnn_model.safetensors"]);
    assert!(loss("second") < loss("first") / 2.0, "{} and {}", loss("first"), loss("second"));
    assert_eq!(place.hash_of("again", &["--init", "first"]), hash, "a run folder is its final model");
    assert_ne!(place.hash_of("fresh", &["--seed", "7"]), hash);

    // As a kill leaves it after its first round.
    fs::remove_file(place.path("second/checkpoints/round-002.safetensors")).unwrap();
    place.resumes_to(&hash, "second", &[]);
    place.fails(&["--resume", "second", "--init", "fresh"], 65, "was trained with --init ");
    place.fails(&["--resume", "fresh", "--init", "first"], 65, "does not say its --init");
    fs::write(place.path("bad.pth"), "no model").unwrap();
    fail(&mut place.train("other", &["--init", "bad.pth"]), 65, "failed to read the model of --init: ");
    refuse(&mut place.train("other", &["--init", "absent"]), &["'--init <FILE|RUN>'", "name a model file"]);
}

#[test]
fn an_orchestrators_configuration_is_kept_and_understood_on_resume() {
    let place = Place::received();
    fs::create_dir(place.path("run")).unwrap();
    let config = "samples = 250\nsenders = 3\nbatch-delay = \"50ms\"\nrounds = 2\n";
    fs::write(place.path("run/config.toml"), config).unwrap();
    let hash = place.hash_of("run", &["--learning-rate", "0.002"]);
    let config = place.read("run/config.toml");
    assert!(config.contains("senders = 3") && config.contains("learning-rate = 0.002"), "{config}");
    place.resumes_to(&hash, "run", &[]);
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

/// Stops a trainer after its first round; it must end with this code and say this cause and how to go on.
#[track_caller]
fn check_stop(flags: &[&str], stop: impl FnOnce(&mut Child), code: i32, cause: &str) {
    let place = Place::received();
    let mut command = place.train("run", &[&["--json", "--rounds", "100000"], flags].concat());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut lines = stdout.by_ref().lines().map(Result::unwrap);
    lines.find(|line| line.contains(r#""event":"round""#)).expect("a round is reported");
    stop(&mut child);
    // Whatever it still says is read, else it could wait for us.
    stdout.read_to_string(&mut String::new()).unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    let expect = format!("trainer: stopped by {cause}; to go on: trainer --resume run");
    assert_eq!(stderr.lines().last(), Some(expect.as_str()));
}

#[test]
fn a_parent_that_goes_away_ends_the_trainer_and_the_way_to_go_on_is_told() {
    check_stop(&["--lifeline"], |child| drop(child.stdin.take()), 143, "the parent process");
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_the_trainer_and_the_way_to_go_on_is_told() {
    let interrupt = |child: &mut Child| drop(succeed(Command::new("kill").args(["-INT", &child.id().to_string()])));
    check_stop(&[], interrupt, 130, "Ctrl-C");
}

#[test]
fn digits_that_are_not_mnist_are_called_that() {
    let place = Place::new();
    // The test set is known by the samples beside it.
    dataset::write_idx(&place.path("blobs"), dataset::Split::Train, &[0; 784], &[3]).unwrap();
    let digest = hex::encode(dataset::load(&place.path("blobs"), dataset::Split::Train).unwrap().digest());
    place.receive_of(id("generated", digest), &blobs(0, N), 100, &[("one", 0, N)]);
    fs::create_dir(place.path("data")).unwrap();
    fs::rename(place.path("blobs"), place.path("data/generated")).unwrap();
    let text = place.says(&["--dir", "chunks", "--rounds", "1", "--partitions", "2", "--run-dir", "run"]);
    assert!(text.contains("this is not MNIST"), "{text}");
    place.fails(&["--resume", "run", "--test-data", "chunks"], 65, "--test-data");
    // A model remembers what it was trained on, so that it is tested on the like.
    for model in ["run", "run/checkpoints/round-001.safetensors"] {
        let text = place.says(&["evaluate", model]);
        assert!(text.contains("generated, 100 samples"), "{text}");
    }
}

#[test]
fn a_resumed_run_reports_every_round_and_logs_the_one_that_a_kill_cut_off() {
    let place = Place::received();
    place.hash_of("run", &[]);
    // As a kill leaves it between the second round's checkpoint and its event.
    let text = place.read("run/events.jsonl");
    let cut: String = text.lines().take(2).map(|line| format!("{line}\n")).collect();
    fs::write(place.path("run/events.jsonl"), cut).unwrap();
    let shown = place.says(&["--resume", "run", "--rounds", "3", "--json"]);
    for text in [shown, place.read("run/events.jsonl")] {
        let events = json_lines(&text).into_iter().filter(|event| event["event"] == "round");
        assert!(events.map(|event| event["round"].as_u64().unwrap()).eq(1..=3), "{text}");
    }
}

#[test]
fn tensorboard_is_told_of_each_round_once_and_of_the_end_of_a_run_once() {
    let place = Place::received();
    place.hash_of("run", &[]);
    // As a kill leaves it between the second round's event and its checkpoint.
    fs::remove_file(place.path("run/checkpoints/round-002.safetensors")).unwrap();
    place.says(&["--resume", "run", "--rounds", "3"]);
    place.says(&["--resume", "run"]);
    let bytes = fs::read(place.path("run/tensorboard").join(&place.names("run/tensorboard")[0])).unwrap();
    let count = |text: &str| bytes.windows(text.len()).filter(|window| *window == text.as_bytes()).count();
    for tag in ["accuracy/test", "loss/train", "confusion/test", "fc1/weight"] {
        assert_eq!(count(tag), 3, "{tag}");
    }
    assert_eq!(count("accuracy/received"), 1, "it is measured at the end only");
    assert_eq!((count("session_start_info"), count("session_end_info")), (1, 1));
}
