//! What the trainer does beside training, predicting and evaluating: reports, looks at chunk directories, and imports.

mod support;

use std::fs;

use support::{N, Place, json_lines, succeed};

#[test]
fn a_run_leaves_a_report_with_its_figures_and_names_it() {
    let place = Place::received();
    let text = succeed(&mut place.train("run", &[]));
    assert!(text.lines().any(|line| line == "report             run/report.html"), "{text}");
    assert!(text.lines().last().unwrap().starts_with("test accuracy"), "{text}");

    let html = place.read("run/report.html");
    let summary = place.summary("run");
    let accuracy = format!("{:.2} %", 100.0 * summary["test_accuracy"].as_f64().unwrap());
    let command = "trainer --dir chunks --test-data blobs --run-dir run";
    for expect in [&accuracy, summary["model_sha256"].as_str().unwrap(), "blobs", command, "partition 2"] {
        assert!(html.contains(expect), "{expect}");
    }
    assert!(html.contains("was not recorded"), "who runs the trainer by hand has no ingest rate");
}

#[test]
fn a_report_that_is_made_again_is_the_same_and_damage_to_what_it_can_do_without_is_told() {
    let place = Place::received();
    place.hash_of("run", &[]);
    let first = fs::read(place.path("run/report.html")).unwrap();
    let text = place.says(&["report", "run"]);
    assert_eq!(text, "run/report.html\n");
    assert!(fs::read(place.path("run/report.html")).unwrap() == first);

    let streaming = r#"{"format":1,"command":["orchestrator","--samples","250"],"phases":[["data",0.5]],
        "points":[{"seconds":0.0,"samples":0},{"seconds":0.5,"samples":250}]}"#;
    fs::write(place.path("run/streaming.json"), streaming).unwrap();
    place.says(&["report", "run", "--out", "streamed.html"]);
    let html = place.read("streamed.html");
    assert!(html.contains("orchestrator --samples 250") && html.contains("500 samples/s"));

    fs::write(place.path("run/streaming.json"), &streaming[..30]).unwrap();
    place.says(&["report", "run", "--out", "damaged.html"]);
    let html = place.read("damaged.html");
    assert!(html.contains("streaming.json in the run folder is damaged"));
}

#[test]
fn runs_are_compared_in_a_file_of_their_own() {
    let place = Place::received();
    place.hash_of("one", &[]);
    place.hash_of("two", &["--seed", "7"]);
    let text = place.says(&["report", "one", "two"]);
    assert_eq!(text, "one/comparison.html\n");
    let html = place.read("one/comparison.html");
    assert!(html.contains("2 runs side by side") && html.contains("<td>7</td>"));
}

#[test]
fn a_run_that_is_not_finished_has_no_report() {
    let place = Place::trained();
    fs::remove_file(place.path("run/summary.json")).unwrap();
    place.fails(&["report", "run"], 65, "`run` holds no finished run");
    place.fails(&["report", "nowhere"], 74, "there is no run folder `nowhere`; name one ");
}

#[test]
fn a_chunk_directory_is_shown_to_people_to_programs_and_as_a_picture() {
    let place = Place::new();
    place.receive(100, &[("one", 0, 120), ("two", 120, N)]);
    let text = place.says(&["inspect", "chunks"]);
    for line in [
        "dataset        blobs (0000000000000000)",
        "stream         one: samples 0..120",
        "stream         two: samples 120..250",
    ] {
        assert!(text.lines().any(|found| found == line), "{text}");
    }
    assert!(text.contains("samples        250 in 3 chunks, 0.2 MB, received in 0.5 s\n"), "{text}");
    let count = |line: &str| line.strip_prefix("label ")?.split_whitespace().nth(1)?.parse::<usize>().ok();
    assert_eq!(text.lines().filter_map(count).sum::<usize>(), N, "{text}");
    let is_braille = |c: char| ('\u{2800}'..='\u{28ff}').contains(&c);
    assert_eq!(text.lines().filter(|line| line.starts_with(is_braille)).count(), 14, "{text}");

    let text = place.says(&["inspect", "chunks", "--json", "--png", "digits.png"]);
    let shown = &json_lines(&text)[0];
    assert_eq!(shown["dataset"]["name"], "blobs");
    assert_eq!((&shown["samples"], &shown["chunks"]), (&N.into(), &3.into()));
    assert_eq!(shown["streams"][1], serde_json::json!({"name": "two", "first": 120, "end": 250}));
    let (_, store::Rows { samples, .. }) = store::read(&place.path("chunks")).unwrap();
    for (label, count) in shown["labels"].as_array().unwrap().iter().enumerate() {
        let expect = samples.labels.iter().filter(|&&found| usize::from(found) == label).count();
        assert_eq!(count.as_u64(), Some(expect as u64), "{label}");
    }
    assert_eq!(fs::read(place.path("digits.png")).unwrap()[..8], *b"\x89PNG\r\n\x1a\n");
    place.fails(&["inspect", "chunks", "--png", "absent/digits.png"], 74, "`absent/digits.png`");
}

#[test]
fn a_chunk_directory_is_whole_or_the_damaged_file_is_named() {
    let place = Place::received();
    let text = place.says(&["verify", "chunks"]);
    assert_eq!(text, "`chunks` is whole: every digest agrees; samples 250, chunks 3, streams 1\n");

    place.fails(&["verify"], 65, "data/streaming_input");
    let chunk = place.chunks().pop().unwrap();
    place.damage(&format!("chunks/{chunk}"));
    for command in [&["verify", "chunks"][..], &["inspect", "chunks"], &["--dir", "chunks", "--test-data", "blobs"]] {
        place.fails(command, 65, &chunk);
    }
    fs::write(place.path("chunks/_SUCCESS"), "{}").unwrap();
    place.fails(&["verify", "chunks"], 65, "_SUCCESS` is damaged");
    fs::remove_file(place.path("chunks/_SUCCESS")).unwrap();
    place.fails(&["verify", "chunks"], 65, "chunk directory `chunks` is not complete");
}

#[cfg(unix)]
#[test]
fn what_a_link_leads_to_is_written_and_the_link_stays() {
    let place = Place::trained();
    fs::create_dir(place.path("far")).unwrap();
    fs::write(place.path("far/file"), "old").unwrap();
    std::os::unix::fs::symlink("far/file", place.path("link")).unwrap();
    for (command, begin) in [
        (&["evaluate", "run", "--test-data", "blobs", "--logits", "link"][..], "label,logit_0"),
        (&["inspect", "chunks", "--png", "link"], "\u{fffd}PNG"),
        (&["report", "run", "--out", "link"], "<!DOCTYPE html>"),
    ] {
        place.says(command);
        assert!(fs::symlink_metadata(place.path("link")).unwrap().is_symlink(), "{command:?}");
        let bytes = fs::read(place.path("far/file")).unwrap();
        assert!(String::from_utf8_lossy(&bytes).starts_with(begin), "{command:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn what_goes_to_a_stdout_that_is_a_file_stands_there_beside_the_result() {
    let place = Place::trained();
    let out = fs::File::create(place.path("out")).unwrap();
    let arguments = ["evaluate", "run", "--test-data", "blobs", "--logits", "/proc/self/fd/1"];
    assert!(place.command(&arguments).stdout(out).status().unwrap().success());
    let text = place.read("out");
    assert!(text.starts_with("label,logit_0") && text.contains("\ntest accuracy"), "{text}");
}

/// Three samples, with labels 7, 0 and 9, as `numpy.savez_compressed` writes them.
const SAVED: &[u8] = include_bytes!("../../dataset/tests/reference/saved.npz");

fn with_files(names: &[&str]) -> Place {
    let place = Place::new();
    fs::create_dir(place.path("npz")).unwrap();
    names.iter().for_each(|name| fs::write(place.path("npz").join(name), SAVED).unwrap());
    place
}

#[test]
fn imported_samples_are_a_chunk_directory_that_is_trained_on() {
    let place = with_files(&["chunk_10.npz", "chunk_2.npz"]);
    fs::write(place.path("npz/notes.txt"), "not looked at").unwrap();
    fs::write(place.path("npz/._chunk_2.npz"), "what macOS leaves").unwrap();
    let import = ["import", "npz", "--dir", "chunks", "--samples-per-chunk", "4", "--dataset", "blobs"];
    let text = place.says(&import);
    assert_eq!(text, "imported 6 samples from 2 files into `chunks`: 2 chunks\n");
    let (manifest, store::Rows { samples, .. }) = store::read(&place.path("chunks")).unwrap();
    assert_eq!(samples.labels, [7, 0, 9, 7, 0, 9]);
    assert_eq!(samples.images.len(), 6 * 784);
    assert_eq!((samples.images[1], samples.images[2 * 784]), (7, (2 * 784 * 7 % 256) as u8));
    assert_eq!((manifest.streams[0].first, manifest.streams[0].end, manifest.dataset.name.as_str()), (0, 6, "blobs"));
    place.hash_of("run", &[]);

    place.fails(&import, 73, "chunk directory `chunks` is already complete; use --fresh");
    let text = place.says(&[&import[..], &["--fresh"]].concat());
    assert!(text.contains("6 samples"), "{text}");
}

#[test]
fn an_import_that_was_killed_goes_on() {
    let place = with_files(&["a.npz", "b.npz"]);
    let import = ["import", "npz", "--dir", "chunks", "--samples-per-chunk", "4"];
    place.says(&import);
    let whole = store::read(&place.path("chunks")).unwrap().1;
    let last = place.chunks().pop().unwrap();
    for name in ["_SUCCESS", &last] {
        fs::remove_file(place.path("chunks").join(name)).unwrap();
    }
    place.says(&import);
    assert_eq!(store::read(&place.path("chunks")).unwrap().1, whole);
}

#[test]
fn a_file_that_is_no_chunk_is_named_and_nothing_is_written() {
    let place = with_files(&["chunk_1.npz"]);
    place.fails(&["import", "absent"], 74, "failed to list `absent`");
    place.fails(&["import", "blobs"], 65, "there are no .npz files in `blobs`");
    fs::write(place.path("npz/chunk_2.npz"), &SAVED[..SAVED.len() / 2]).unwrap();
    let line = "cannot import `npz/chunk_2.npz`: not a readable .npz file";
    place.fails(&["import", "npz", "--dir", "chunks"], 65, line);
    assert!(!place.path("chunks").exists());
}
