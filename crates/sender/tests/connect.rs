//! The sender and a receiver that can never be reached.

use std::process::{Command, Stdio};

use dataset::Split;
use sample::PIXELS;

#[test]
fn what_is_no_address_ends_with_64_at_once_and_with_what_to_write() {
    for (connect, advice) in
        [("host", "such as host:9999"), ("tcp://host:9999", "leave out `tcp://`"), (":9999", "give a host")]
    {
        let output = Command::new(env!("CARGO_BIN_EXE_sender")).args(["--connect", connect]).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{stderr}");
        assert!(stderr.contains(advice) && stderr.contains("--connect"), "{stderr}");
    }
}

#[test]
fn a_sender_whose_log_nobody_reads_ends_with_its_own_code() {
    let dir = tempfile::tempdir().unwrap();
    for split in [Split::Train, Split::Test] {
        dataset::write_idx(&dir.path().join("data"), split, &[0; PIXELS], &[7]).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_sender"));
    command.current_dir(dir.path()).args(["--data", "data", "--samples", "1", "--deadline", "100ms"]);
    let mut child = command.env("RUST_LOG", "debug").stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(69));
}
