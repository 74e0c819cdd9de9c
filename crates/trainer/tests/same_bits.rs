//! The same seed gives the same model, bit by bit: however the samples arrived, on however many threads, and whatever
//! happened to the trainer meanwhile.

mod support;

use std::{collections::BTreeSet, fs};

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
fn every_strategy_gives_the_same_bits_on_any_threads_and_through_a_stop() {
    let place = Place::received();
    let strategies =
        ["fedavg", "fedavgm", "fedadagrad", "fedadam", "fedyogi", "diloco", "median", "trimmed-mean", "krum"];
    let mut hashes = BTreeSet::new();
    for strategy in strategies.into_iter().chain(["multi-krum"]) {
        let flags = |rounds| ["--strategy", strategy, "--partitions", "5", "--rounds", rounds];
        let long = format!("{strategy}-long");
        succeed(place.train(&long, &flags("3")).env("RAYON_NUM_THREADS", "1"));
        let hash = place.summary(&long)["model_sha256"].as_str().unwrap().to_owned();
        place.hash_of(strategy, &flags("1"));
        place.resumes_to(&hash, strategy, &["--rounds", "3"]);
        assert!(hashes.insert(hash), "{strategy} is another strategy");
    }
}

#[test]
fn a_run_is_not_resumed_by_another_strategy() {
    let place = Place::received();
    place.hash_of("run", &["--rounds", "1", "--strategy", "fedadam"]);
    let resume = |strategy| ["--resume", "run", "--rounds", "2", "--strategy", strategy];
    let was = "was trained with --strategy fedadam:eta=0.01,beta1=0.9,beta2=0.99,tau=0.001, ";
    place.fails(&resume("fedadam:eta=0.1"), 65, &format!("{was}not fedadam:eta=0.1"));
    place.fails(&resume("fedavg"), 65, &format!("{was}and not without"));
    place.says(&resume("fedadam:tau=1e-3"));
}

#[test]
fn a_run_that_ends_early_is_the_run_of_so_many_rounds() {
    let place = Place::received();
    let said = succeed(&mut place.train("early", &["--rounds", "50", "--until", "0.3"]));
    let summary = place.summary("early");
    let (rounds, accuracy) = (summary["rounds"].as_u64().unwrap(), summary["test_accuracy"].as_f64().unwrap());
    assert!(rounds < 50 && accuracy >= 0.3, "{rounds} rounds, {accuracy}");
    let line = format!("ended early        after round {rounds}: the test accuracy is at least 30.00 %\n");
    assert!(said.contains(&line), "{said}");
    let hash = place.hash_of("whole", &["--rounds", &rounds.to_string()]);
    assert_eq!(summary["model_sha256"], hash.as_str());
    place.resumes_to(&hash, "early", &[]);
    assert_eq!(place.summary("early")["rounds"], rounds);
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
