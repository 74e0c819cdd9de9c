//! What can go wrong on a cluster ends the run in time, with one clear error and its exit code, and leaves nothing there.

use std::{fs, net::TcpListener, time::Duration};

use crate::{Cluster, Ended, Place, Running, TRAINER, ends, held, on_spark, script, support::fail, wait_until};

/// How a run ends whose workers are this script.
fn with_worker(cluster: &Cluster, place: &Place, text: &str, flags: &[&str]) -> Ended {
    let worker = script(place, "worker", text);
    ends(place, cluster, &worker, "run", flags)
}

#[test]
fn a_server_that_cannot_be_reached_or_is_named_wrongly_is_told_at_once() {
    let place = Place::received();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let at = |remote: &str| place.train("run", &["--engine", "spark", "--spark-remote", remote]);
    let line = format!("there is no Spark Connect server at {free}; docs/spark.md says how to start one");
    fail(&mut at(&format!("sc://{free}")), 69, &line);
    fail(&mut at("http://localhost"), 64, "--spark-remote `http://localhost` is no address of a Spark server");
    fail(&mut at("sc://localhost:port"), 64, "--spark-remote `sc://localhost:port` is no address of a Spark server");
    assert!(!place.path("run").exists());
}

#[test]
fn a_server_with_a_token_serves_who_knows_it_and_nobody_else() {
    let (place, cluster) = (Place::received(), Cluster::new_local(&[], "correct"));
    for token in [None, Some("wrong")] {
        let mut command = on_spark(&place, &cluster, TRAINER, "run", &[]);
        command.envs(token.map(|token| ("SPARK_CONNECT_AUTHENTICATE_TOKEN", token)));
        Running::start(&place, command).end().badly(77, &["refuses us", "SPARK_CONNECT_AUTHENTICATE_TOKEN"]);
    }
    let mut command = on_spark(&place, &cluster, TRAINER, "run", &[]);
    command.env("SPARK_CONNECT_AUTHENTICATE_TOKEN", "correct");
    Running::start(&place, command).end().well();
}

#[test]
fn replies_that_a_server_does_not_take_are_told_before_the_first_round() {
    let place = Place::received();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let cluster = Cluster::new_local(&["spark.driver.maxResultSize=5m", &format!("spark.ui.port={}", free.port())], "");
    let run = |partitions| ends(&place, &cluster, TRAINER, "run", &["--partitions", partitions, "--rounds", "1"]);
    let line = "the Spark server takes replies of 5m at most, 3 partitions send 6 MB; start it with";
    run("3").badly(69, &[line, "spark.driver.maxResultSize=1g", "--partitions"]);
    let ended = run("2");
    assert_eq!(ended.text.matches(&format!("Spark UI: http://{free}\n")).count(), 1, "{}", ended.text);
    ended.well();
}

#[test]
fn a_worker_that_hangs_is_given_up_and_killed() {
    let (place, cluster) = (Place::received(), Cluster::local());
    let text = r#"[[ "$*" == *"--task train"* ]] && sleep 1000; exec "$trainer" "$@""#;
    let ended = with_worker(&cluster, &place, text, &["--spark-patience", "8s"]);
    assert!(ended.took < Duration::from_secs(60), "{:?}", ended.took);
    ended.badly(69, &["Spark did not finish another task within 8s", "--spark-patience"]);
    cluster.check_clean();
    wait_until("the workers' end", || cluster.processes("sleep 1000").is_empty());
    wait_until("the workers' end", || cluster.processes("worker --rows").is_empty());
}

#[test]
fn a_worker_that_fails_has_the_user_read_why() {
    let place = Place::received();
    let text = r#"[[ "$*" == *"--task train"* ]] && { echo "disk on fire" >&2; exit 74; }; exec "$trainer" "$@""#;
    for cluster in [Cluster::local(), Cluster::standalone()] {
        with_worker(&cluster, &place, text, &[]).badly(74, &["a worker", "disk on fire"]);
        fs::remove_dir_all(place.path("run")).unwrap();
        with_worker(&cluster, &place, "exit 3", &[]).badly(69, &["a worker failed (exit status 3)"]);
        cluster.check_clean();
    }
}

#[test]
fn a_worker_command_that_is_none_is_named() {
    let (place, cluster) = (Place::received(), Cluster::local());
    let ended = ends(&place, &cluster, "/opt/nowhere/trainer", "run", &[]);
    ended.badly(64, &["/opt/nowhere/trainer", "--worker-command"]);
}

#[test]
fn a_worker_that_does_something_else_is_not_believed() {
    let (place, cluster) = (Place::received(), Cluster::local());
    let changed = r#"
        [[ "$*" == *"--task train"* ]] && exec "$trainer" "$@" < <(sed 's/..\(..==\)$/AA\1/')
        exec "$trainer" "$@""#;
    let other_version = r#"exec "$trainer" "${@//$(grep -oP -- '(?<=--driver )\S+' <<< "$*")/9.9.9}""#;
    for (text, code, what) in [
        ("cat", 65, "a worker's reply is none: its result is"),
        ("head -c 5000 /dev/zero", 65, "a worker's reply is none: its result is ``"),
        ("true", 65, "Spark returned nothing for partition 0"),
        (r#""$trainer" "$@" | sed "s/^[0-9]*/7/""#, 65, "a worker replied for partition 7 of 3"),
        (r#""$trainer" "$@" | sed "s/^1\t/2\t/""#, 65, "two workers replied for partition 2"),
        (r#""$trainer" "$@" | tee >(cat)"#, 65, "two workers replied for partition"),
        (
            r#"exec "$trainer" "$@" < <(grep -v -P '^0\t82\t|^0\t83\t')"#,
            65,
            "Spark has 82 samples in partition 0, not 84",
        ),
        (changed, 65, "has other samples in Spark than before"),
        (other_version, 64, "the driver version 9.9.9 with rows"),
    ] {
        with_worker(&cluster, &place, text, &[]).badly(code, &[what]);
        let _ = fs::remove_dir_all(place.path("run")); // Of a run that came so far.
    }
    cluster.check_clean();
}

#[test]
fn chunks_that_spark_does_not_find_are_told() {
    let (place, cluster) = (Place::received(), Cluster::local());
    let copy = place.path("copy");
    let seen_in = |uri: &str| ends(&place, &cluster, TRAINER, "run", &["--spark-dir", uri]);
    seen_in("/nowhere/chunks")
        .badly(65, &["failed to read `/nowhere/chunks` (--spark-dir) through Spark", "Path does not exist"]);
    seen_in("s3x://bucket/chunks").badly(65, &["`s3x://bucket/chunks` (--spark-dir)", "No FileSystem for scheme"]);

    fs::create_dir(&copy).unwrap();
    let [first, others @ ..] = &place.chunks()[..] else { panic!() };
    for chunk in others {
        fs::copy(place.path("chunks").join(chunk), copy.join(chunk)).unwrap();
    }
    let ended = seen_in(copy.to_str().unwrap());
    ended.badly(65, &["copy` (--spark-dir) through Spark", &format!("`{first}` is not there")]);
    cluster.check_clean();
}

#[test]
fn a_chunk_that_disappears_while_spark_reads_is_told() {
    let (place, cluster) = (Place::received(), Cluster::standalone());
    // Spark has listed and cached the chunks when the first worker starts; an executor that is lost has to read again.
    let running = held(&place, &cluster, "run", &[], 2);
    fs::rename(place.path("chunks"), place.path("elsewhere")).unwrap();
    cluster.kill_executors(2);
    fs::write(place.path("go"), "").unwrap();
    running.end().badly(65, &["chunk-0000000", ".parquet", "does not exist"]);
    wait_until("the executors' successors", || cluster.executors().len() == 2);
    cluster.check_clean();
}

#[test]
fn ctrl_c_cancels_the_round() {
    let (place, cluster) = (Place::received(), Cluster::local());
    let running = held(&place, &cluster, "run", &[], 2);
    assert_ne!(cluster.says("jobs?status=running"), "[]");
    running.interrupt();
    running.end().badly(130, &["stopped by Ctrl-C"]);
    cluster.check_clean();
    fs::write(place.path("go"), "").unwrap();
    wait_until("the workers' end", || cluster.processes("worker --rows").is_empty());
}

#[test]
fn a_server_killed_in_the_middle_of_a_round_ends_the_run() {
    let place = Place::received();
    let cluster = Cluster::new_local(&[], "");
    let running = held(&place, &cluster, "run", &[], 2);
    cluster.kill("SparkConnectServer");
    let ended = running.end();
    assert!(ended.took < Duration::from_secs(60), "{:?}", ended.took);
    ended.badly(69, &["the connection to the Spark server broke"]);
}

#[test]
fn a_cluster_that_loses_all_executors_is_given_up() {
    let place = Place::received();
    let cluster = Cluster::new_standalone(1);
    let running = held(&place, &cluster, "run", &["--spark-patience", "20s"], 1);
    cluster.kill("deploy.worker.Worker");
    cluster.kill_executors(1);
    running.end().badly(69, &["Spark did not finish another task within 20s; are its executors alive, and free?"]);
    // Nobody is there who could look at the chunks either.
    let ended = ends(&place, &cluster, TRAINER, "next", &["--spark-patience", "2s"]);
    ended.badly(69, &["within 2s; are its executors alive, and free?"]);
}
