//! The same seed gives the same model, bit by bit: however the samples arrived, on however many threads, and whatever
//! happened to the trainer meanwhile.

mod support;

use std::fs;

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
    let [native, libtorch] = ["native", "libtorch"].map(|step| {
        let hashes = ["1", "2", "4"].map(|threads| {
            let run_dir = format!("{step}-{threads}");
            succeed(place.train(&run_dir, &["--step", step]).env("RAYON_NUM_THREADS", threads));
            let summary = place.summary(&run_dir);
            assert_eq!(summary["step"], step);
            summary["model_sha256"].clone()
        });
        assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
        hashes[0].to_string()
    });
    assert_ne!(native, libtorch);
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
fn more_rounds_are_the_rounds_that_a_longer_run_would_have_had() {
    let place = Place::received();
    let seed = ["--seed", "18446744073709551615"];
    place.hash_of("grown", &[&seed[..], &["--rounds", "1"]].concat());
    let hash = place.hash_of("long", &[&seed[..], &["--rounds", "3"]].concat());
    place.resumes_to(&hash, "grown", &["--rounds", "3"]);
    assert_eq!(place.summary("grown")["rounds"], 3);
    let rounds = place.rounds("grown");
    assert!(rounds.iter().map(|row| &row[0]).eq(["1", "2", "3"]), "{rounds:?}");
    // From now on it is a run of three rounds, which is finished.
    let output = place.command(&["--resume", "grown"]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && stderr.contains("already has all its rounds (3)"), "{stderr}");
    assert_eq!(place.summary("grown")["model_sha256"], hash.as_str());
    assert_eq!(place.rounds("grown"), rounds);
}
