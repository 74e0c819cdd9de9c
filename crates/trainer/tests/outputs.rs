//! Files that a user names to be written.
#![cfg(unix)]

mod support;

use std::{fs, os::unix::fs::symlink};

use support::{Place, succeed};

#[test]
fn what_a_link_leads_to_is_written_and_the_link_stays() {
    let place = Place::received();
    succeed(&mut place.train("run", &["--rounds", "1"]));
    fs::create_dir(place.path("far")).unwrap();
    fs::write(place.path("far/file"), "old").unwrap();
    symlink("far/file", place.path("link")).unwrap();
    for (command, begin) in [
        (&["evaluate", "run", "--test-data", "blobs", "--logits", "link"][..], "label,logit_0"),
        (&["inspect", "chunks", "--png", "link"], "\u{fffd}PNG"),
        (&["report", "run", "--out", "link"], "<!DOCTYPE html>"),
    ] {
        succeed(&mut place.command(command));
        assert!(fs::symlink_metadata(place.path("link")).unwrap().is_symlink(), "{command:?}");
        let bytes = fs::read(place.path("far/file")).unwrap();
        assert!(String::from_utf8_lossy(&bytes).starts_with(begin), "{command:?}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn what_goes_to_a_stdout_that_is_a_file_stands_there_beside_the_result() {
    let place = Place::received();
    succeed(&mut place.train("run", &["--rounds", "1"]));
    let out = fs::File::create(place.path("out")).unwrap();
    let arguments = ["evaluate", "run", "--test-data", "blobs", "--logits", "/proc/self/fd/1"];
    assert!(place.command(&arguments).stdout(out).status().unwrap().success());
    let text = fs::read_to_string(place.path("out")).unwrap();
    assert!(text.starts_with("label,logit_0") && text.contains("\ntest accuracy"), "{text}");
}
