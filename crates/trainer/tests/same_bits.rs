//! The same seed gives the same model, bit by bit: however the samples arrived, on however many threads, and whatever
//! happened to the trainer meanwhile.

mod support;

use std::{
    fs,
    io::{BufRead, BufReader},
    process::Stdio,
};

use support::{N, Place, succeed};

#[test]
fn the_same_seed_gives_the_same_file_and_another_seed_another() {
    let place = Place::received();
    let hash = place.hash_of("a", &[]);
    assert_eq!(place.hash_of("b", &[]), hash);
    assert_ne!(place.hash_of("c", &["--seed", "43"]), hash);
    let model = |run: &str| fs::read(place.path(run).join("final_cnn_model.safetensors")).unwrap();
    assert!(model("a") == model("b"));
    assert!(model("a") != model("c"));
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let place = Place::received();
    let mut of_precisions = ["f32", "bf16"].map(|precision| {
        let hashes = ["1", "2", "4"].map(|threads| {
            let run_dir = format!("{precision}-{threads}");
            succeed(place.train(&run_dir, &["--precision", precision]).env("RAYON_NUM_THREADS", threads));
            let summary = place.summary(&run_dir);
            assert_eq!(summary["precision"], precision);
            summary["model_sha256"].clone()
        });
        assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
        hashes[0].to_string()
    });
    of_precisions.sort();
    assert_ne!(of_precisions[0], of_precisions[1]);
}

#[test]
fn the_way_the_samples_arrived_changes_nothing() {
    let place = Place::received();
    let hash = place.hash_of("plain", &[]);
    place.receive(33, &[("one", 0, N)]);
    assert_eq!(place.hash_of("other chunks", &[]), hash);
    // The names sort against the order of the samples.
    place.receive(100, &[("c", 0, 80), ("b", 80, 100), ("a", 100, N)]);
    assert_eq!(place.hash_of("three streams", &[]), hash);
    place.receive(64, &[("x", 200, N), ("y", 0, 200)]);
    assert_eq!(place.hash_of("last first", &[]), hash);
}

#[test]
fn a_trainer_killed_between_rounds_and_resumed_ends_with_the_same_model() {
    let place = Place::received();
    let mut child = place.train("killed", &["--json", "--rounds", "100000"]).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut rounds = lines.filter(|line| line.contains(r#""event":"round""#));
    rounds.nth(1).expect("two rounds are reported");
    child.kill().unwrap();
    child.wait().unwrap();

    // It may have come further before it died; what counts is that it goes on from there.
    let done = fs::read_dir(place.path("killed/checkpoints")).unwrap();
    let done = done.filter(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().starts_with("round-")).count();
    let rounds = (done + 2).to_string();
    assert!(done >= 2);
    let text = succeed(&mut place.command(&["--resume", "killed", "--rounds", &rounds]));
    assert_eq!(place.summary("killed")["model_sha256"], place.hash_of("undisturbed", &["--rounds", &rounds]));

    // Every round once: in the table, and in the file.
    let numbers: Vec<String> = (1..=done + 2).map(|round| round.to_string()).collect();
    let table =
        text.lines().skip_while(|line| !line.starts_with("round ")).filter_map(|line| line.split_whitespace().next());
    assert_eq!(table.filter(|word| word.parse::<u32>().is_ok()).collect::<Vec<_>>(), numbers);
    let csv = fs::read_to_string(place.path("killed/rounds.csv")).unwrap();
    let rows = csv.lines().skip(1).map(|row| row.split(',').next().unwrap());
    assert_eq!(rows.collect::<Vec<_>>(), numbers);
}

#[test]
fn a_kill_in_the_middle_of_writing_a_checkpoint_costs_that_round_only() {
    let place = Place::received();
    let hash = place.hash_of("run", &[]);
    let checkpoints = place.path("run/checkpoints");
    // What such a kill leaves: half a file under a hidden name, and nothing of what follows.
    let last = fs::read(checkpoints.join("round-002.safetensors")).unwrap();
    fs::write(checkpoints.join(".tmp-round-002.safetensors"), &last[..last.len() / 2]).unwrap();
    fs::remove_file(checkpoints.join("round-002.safetensors")).unwrap();
    fs::remove_file(place.path("run/summary.json")).unwrap();
    fs::remove_file(place.path("run/rounds.csv")).unwrap();
    succeed(&mut place.command(&["--resume", "run"]));
    assert_eq!(place.summary("run")["model_sha256"], hash.as_str());
    let names: Vec<_> = fs::read_dir(checkpoints).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn more_rounds_are_the_rounds_that_a_longer_run_would_have_had() {
    let place = Place::received();
    place.hash_of("grown", &["--rounds", "1", "--seed", "18446744073709551615"]);
    succeed(&mut place.command(&["--resume", "grown", "--rounds", "3"]));
    let hash = place.hash_of("long", &["--rounds", "3", "--seed", "18446744073709551615"]);
    assert_eq!(place.summary("grown")["model_sha256"], hash.as_str());
    assert_eq!(place.summary("grown")["rounds"], 3);
    // From now on it is a run of three rounds.
    succeed(&mut place.command(&["--resume", "grown"]));
    assert_eq!(place.summary("grown")["model_sha256"], hash.as_str());
}
