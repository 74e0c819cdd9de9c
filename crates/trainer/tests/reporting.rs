//! The page that a run leaves behind, and `trainer report`.

mod support;

use std::fs;

use support::{Place, fail, succeed};

#[test]
fn a_run_leaves_a_report_with_its_figures_and_names_it() {
    let place = Place::received();
    let text = succeed(&mut place.train("run", &[]));
    assert!(text.lines().any(|line| line == "report             run/report.html"), "{text}");
    assert!(text.lines().last().unwrap().starts_with("test accuracy"), "{text}");

    let html = fs::read_to_string(place.path("run/report.html")).unwrap();
    let summary = place.summary("run");
    let accuracy = format!("{:.2} %", 100.0 * summary["test_accuracy"].as_f64().unwrap());
    let command = "trainer --dir chunks --test-data blobs --run-dir run";
    for expect in [&accuracy, summary["model_sha256"].as_str().unwrap(), "blobs", command, "partition 2"] {
        assert!(html.contains(expect), "{expect}");
    }
    assert!(html.contains("was not recorded"), "who runs the trainer by hand has no ingest rate");

    let rows = fs::read_to_string(place.path("run/partitions.csv")).unwrap();
    let rows: Vec<Vec<&str>> = rows.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows[0], ["round", "partition", "n_samples", "train_loss"]);
    assert_eq!(rows.len(), 1 + 2 * 3);
    let samples = |round: &str| -> u64 {
        rows.iter().filter(|row| row[0] == round).map(|row| row[2].parse::<u64>().unwrap()).sum()
    };
    assert_eq!((samples("1"), samples("2")), (250, 250));
}

#[test]
fn a_report_that_is_made_again_is_the_same_and_damage_to_what_it_can_do_without_is_told() {
    let place = Place::received();
    succeed(&mut place.train("run", &[]));
    let first = fs::read(place.path("run/report.html")).unwrap();
    let text = succeed(&mut place.command(&["report", "run"]));
    assert_eq!(text, "run/report.html\n");
    assert!(fs::read(place.path("run/report.html")).unwrap() == first);

    let streaming = r#"{"format":1,"command":["orchestrator","--samples","250"],"phases":[["data",0.5]],
        "points":[{"seconds":0.0,"samples":0},{"seconds":0.5,"samples":250}]}"#;
    fs::write(place.path("run/streaming.json"), streaming).unwrap();
    succeed(&mut place.command(&["report", "run", "--out", "streamed.html"]));
    let html = fs::read_to_string(place.path("streamed.html")).unwrap();
    assert!(html.contains("orchestrator --samples 250") && html.contains("500 samples/s"));

    fs::write(place.path("run/streaming.json"), &streaming[..30]).unwrap();
    succeed(&mut place.command(&["report", "run", "--out", "damaged.html"]));
    let html = fs::read_to_string(place.path("damaged.html")).unwrap();
    assert!(html.contains("streaming.json in the run folder is damaged"));
}

#[test]
fn runs_are_compared_in_a_file_of_their_own() {
    let place = Place::received();
    succeed(&mut place.train("one", &[]));
    succeed(&mut place.train("two", &["--seed", "7"]));
    let text = succeed(&mut place.command(&["report", "one", "two"]));
    assert_eq!(text, "one/comparison.html\n");
    let html = fs::read_to_string(place.path("one/comparison.html")).unwrap();
    assert!(html.contains("2 runs side by side") && html.contains("<td>7</td>"));
}

#[test]
fn a_run_that_is_not_finished_has_no_report() {
    let place = Place::received();
    succeed(&mut place.train("run", &[]));
    fs::remove_file(place.path("run/summary.json")).unwrap();
    fail(&mut place.command(&["report", "run"]), 65, "`run` holds no finished run");
    fail(&mut place.command(&["report", "nowhere"]), 74, "there is no run folder `nowhere`; name one ");
}
