//! Looking at a chunk directory.

mod support;

use std::fs;

use support::{N, Place, fail, succeed};

#[test]
fn a_chunk_directory_is_shown_with_its_streams_labels_and_digits() {
    let place = Place::new();
    place.receive(100, &[("one", 0, 120), ("two", 120, N)]);
    let text = succeed(&mut place.command(&["inspect", "chunks"]));
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
}

#[test]
fn a_chunk_directory_is_shown_to_programs_and_as_a_picture() {
    let place = Place::new();
    place.receive(100, &[("one", 0, 120), ("two", 120, N)]);
    let text = succeed(&mut place.command(&["inspect", "chunks", "--json", "--png", "digits.png"]));
    let shown: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&shown["dataset"]["name"], &shown["samples"], &shown["chunks"]),
        (&"blobs".into(), &N.into(), &3.into())
    );
    assert_eq!(shown["streams"][1], serde_json::json!({"name": "two", "first": 120, "end": 250}));
    let (_, samples) = store::read(&place.path("chunks")).unwrap();
    for (label, count) in shown["labels"].as_array().unwrap().iter().enumerate() {
        let expect = samples.labels.iter().filter(|&&found| usize::from(found) == label).count();
        assert_eq!(count.as_u64(), Some(expect as u64), "{label}");
    }
    assert_eq!(fs::read(place.path("digits.png")).unwrap()[..8], *b"\x89PNG\r\n\x1a\n");
    fail(&mut place.command(&["inspect", "chunks", "--png", "absent/digits.png"]), 74, "`absent/digits.png`");
}

#[test]
fn a_chunk_directory_is_whole_or_the_damaged_file_is_named() {
    let place = Place::received();
    let text = succeed(&mut place.command(&["verify", "chunks"]));
    assert_eq!(text, "`chunks` is whole: every digest agrees; samples 250, chunks 3, streams 1\n");

    fail(&mut place.command(&["verify"]), 65, "data/streaming_input");
    let chunk = fs::read_dir(place.path("chunks")).unwrap().map(|entry| entry.unwrap().path());
    let chunk = chunk.filter(|path| path.extension().is_some_and(|extension| extension == "parquet")).max().unwrap();
    let mut bytes = fs::read(&chunk).unwrap();
    bytes[1000] ^= 1;
    fs::write(&chunk, bytes).unwrap();
    for command in ["verify", "inspect"] {
        fail(&mut place.command(&[command, "chunks"]), 65, chunk.file_name().unwrap().to_str().unwrap());
    }
    fs::remove_file(place.path("chunks/_SUCCESS")).unwrap();
    fail(&mut place.command(&["verify", "chunks"]), 65, "chunk directory `chunks` is not complete");
}
