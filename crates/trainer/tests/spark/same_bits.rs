//! A cluster gives the bits that threads give, whatever happens to its executors.

use std::{fs, os::unix::fs::symlink};

use crate::{
    Cluster, Place, Running, TRAINER, ends, engine, held, id, mnist, script,
    support::{N, blobs, succeed},
    wait_until,
};

/// Losses, accuracies and model of every round: all of `rounds.csv` but the times.
fn rounds(place: &Place, run_dir: &str) -> Vec<Vec<String>> {
    let mut rows = place.rounds(run_dir);
    rows.iter_mut().for_each(|row| drop(row.drain(5..7))); // The seconds.
    rows
}

/// Trains on threads and on the cluster, and compares every round.
#[track_caller]
fn check(place: &Place, cluster: &Cluster, partitions: &str, step: &str) {
    let flags = ["--dir", "chunks", "--test-data", "part-of-mnist", "--partitions", partitions, "--rounds", "2"];
    let flags = [&flags[..], &["--step", step, "--received-accuracy", "each-round", "--run-dir"]].concat();
    let (threads, spark) = (format!("threads-{partitions}"), format!("spark-{partitions}"));
    succeed(&mut place.command(&[&flags[..], &[&threads]].concat()));
    let mut command = place.command(&[&flags[..], &[&spark]].concat());
    command.args(engine(cluster, TRAINER));
    Running::start(place, command).end().well();
    let expect = rounds(place, &threads);
    assert_eq!(expect.len(), 2);
    assert_eq!(rounds(place, &spark), expect);
    assert_eq!(place.summary(&spark)["engine"], "spark");
    cluster.check_clean();
}

#[test]
fn a_standalone_cluster_trains_real_mnist_to_the_bits_of_threads() {
    let (place, cluster) = (mnist(2000), Cluster::standalone());
    for partitions in ["2", "4", "12"] {
        check(&place, &cluster, partitions, "native");
    }
}

#[test]
fn local_mode_trains_real_mnist_to_the_bits_of_threads() {
    let (place, cluster) = (mnist(1000), Cluster::local());
    for (partitions, step) in [("2", "libtorch"), ("12", "native")] {
        check(&place, &cluster, partitions, step);
    }
}

#[test]
fn a_directory_named_like_a_pattern_is_read() {
    let (place, cluster) = (Place::received(), Cluster::local());
    let hash = place.hash_of("threads", &[]);
    fs::rename(place.path("chunks"), place.path("a [1] {b} *?")).unwrap();
    symlink("a [1] {b} *?", place.path("chunks")).unwrap();
    ends(&place, &cluster, TRAINER, "spark", &[]).well();
    assert_eq!(place.summary("spark")["model_sha256"], hash.as_str());
    cluster.check_clean();
}

#[test]
fn a_shipped_trainer_needs_nothing_on_the_executors() {
    let (place, cluster) = (Place::received(), Cluster::standalone());
    let hash = place.hash_of("threads", &[]);
    let flags = ["--engine", "spark", "--spark-remote", &cluster.remote];
    Running::start(&place, place.train("spark", &flags)).end().well();
    assert_eq!(place.summary("spark")["model_sha256"], hash.as_str());
    cluster.check_clean();
}

#[test]
fn an_executor_killed_in_the_middle_of_a_round_costs_no_bit() {
    let (place, cluster) = (Place::received(), Cluster::standalone());
    let hash = place.hash_of("threads", &["--partitions", "4"]);
    let running = held(&place, &cluster, "spark", &["--partitions", "4"], 2);
    assert_eq!(cluster.executors().len(), 2);
    cluster.kill_executors(1);
    fs::write(place.path("go"), "").unwrap();
    running.end().well();
    // Two cores, so two workers a round; those of the lost executor were run again.
    let workers = fs::read_dir(place.path("started")).unwrap().count();
    assert!((5..8).contains(&workers), "{workers} workers");
    assert_eq!(place.summary("spark")["model_sha256"], hash.as_str());
    wait_until("the executor's successor", || cluster.executors().len() == 2);
    cluster.check_clean();
}

#[test]
fn what_a_killed_run_has_left_on_the_cluster_is_not_taken_for_other_samples() {
    let (place, cluster) = (Place::received(), Cluster::new_local(&[], ""));
    drop(held(&place, &cluster, "killed", &[], 2)); // Kills it.
    fs::write(place.path("go"), "").unwrap();
    assert_ne!(cluster.says("storage/rdd"), "[]");
    // The same names, numbers and places; other samples.
    place.receive_of(id("blobs", "00".repeat(32)), &blobs(2, N), 100, &[("one", 0, N)]);
    let hash = place.hash_of("threads", &[]);
    ends(&place, &cluster, TRAINER, "spark", &[]).well();
    assert_eq!(place.summary("spark")["model_sha256"], hash.as_str());
}

#[test]
fn a_worker_that_fails_after_its_reply_is_run_again_and_its_reply_counts_once() {
    let (place, cluster) = (Place::received(), Cluster::standalone());
    let hash = place.hash_of("threads", &[]);
    // Of the two workers of each query, the first.
    let text = r#""$trainer" "$@" && ! mkdir "$here/failed-$(md5sum <<< "$*" | cut -c -32)" 2>/dev/null"#;
    let worker = script(&place, "flaky-worker", text);
    ends(&place, &cluster, &worker, "spark", &[]).well();
    let names = place.names("");
    let failed = names.iter().filter(|name| name.starts_with("failed-"));
    assert_eq!(failed.count(), 4, "counting, two rounds, and accuracy on the received samples");
    assert_eq!(place.summary("spark")["model_sha256"], hash.as_str());
    cluster.check_clean();
}

#[test]
fn a_round_may_take_longer_than_a_server_keeps_a_stream_open() {
    let place = Place::received();
    let cluster = Cluster::new_local(&["spark.connect.execute.reattachable.senderMaxStreamDuration=5s"], "");
    let hash = place.hash_of("threads", &["--partitions", "2"]);
    let worker = script(&place, "slow-worker", r#"[[ "$*" == *"--task train"* ]] && sleep 7; exec "$trainer" "$@""#);
    ends(&place, &cluster, &worker, "spark", &["--partitions", "2"]).well();
    assert_eq!(place.summary("spark")["model_sha256"], hash.as_str());
}

#[test]
fn a_run_goes_on_to_the_same_bits_on_another_engine() {
    let (place, cluster) = (Place::received(), Cluster::local());
    let hash = place.hash_of("threads", &["--rounds", "3"]);
    place.hash_of("there", &["--rounds", "1"]);
    let mut resumed = place.command(&["--resume", "there", "--rounds", "3"]);
    resumed.args(engine(&cluster, TRAINER));
    Running::start(&place, resumed).end().well();
    assert_eq!(place.summary("there")["model_sha256"], hash.as_str());

    ends(&place, &cluster, TRAINER, "back", &["--rounds", "1"]).well();
    place.resumes_to(&hash, "back", &["--rounds", "3", "--engine", "rayon"]);
    assert_eq!(place.summary("back")["engine"], "rayon");
}

#[test]
fn a_live_run_has_the_bits_of_threads_whatever_it_replays() {
    let place = Place::received();
    place.receive(33, &[("c", 0, 80), ("b", 80, 100), ("a", 100, N)]);
    for (cluster, replay) in [
        (Cluster::local as fn() -> _, "reservoir:50"),
        (Cluster::local, "sliding:70"),
        (Cluster::standalone, "none"),
        (Cluster::standalone, "landmark"),
    ] {
        let cluster = cluster();
        let flags = ["--live", "--samples-per-round", "60", "--replay", replay, "--partitions", "3"];
        let [threads, spark] = ["threads", "spark"].map(|engine| format!("{engine}-{replay}"));
        place.hash_of(&threads, &flags);
        ends(&place, &cluster, TRAINER, &spark, &flags).well();
        let expect = rounds(&place, &threads);
        assert_eq!((expect.len(), rounds(&place, &spark)), (5, expect), "{replay}");
        cluster.check_clean();
    }
}
