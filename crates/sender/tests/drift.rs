//! The sender with `--drift`, and a receiver in this process, whose directory says what came.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use dataset::{Drift, Split};
use event::Event;
use process::shutdown::{Cause, Shutdown};
use receiver::Config;
use sample::{COLS, PIXELS, ROWS};
use store::{Manifest, Rows};
use tempfile::TempDir;
use tokio::{sync::mpsc::unbounded_channel, time::timeout};
use transport::key_file;

/// A busy machine draws a dataset for a while.
const LIMIT: Duration = Duration::from_secs(300);

fn sender(dir: &Path, flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sender"));
    command.current_dir(dir).args(flags).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// What a receiver has when these senders have ended, or when it is stopped after so many samples.
async fn received(dir: &TempDir, senders: &[&[&str]], stop_after: Option<u64>) -> (Manifest, Rows) {
    let (key, chunks) = (dir.path().join("key"), dir.path().join("chunks"));
    key_file::create(&key).unwrap();
    let listener = receiver::bind("127.0.0.1:0", &key).await.unwrap();
    let connect = format!("--connect={}", listener.local_addr().unwrap());
    let (trigger, shutdown) = Shutdown::manual();
    let (report, mut events) = unbounded_channel();
    let config = Config { samples_per_chunk: 50, streams: senders.len(), ..Config::new(&chunks) };
    let running = receiver::run(listener, config, shutdown, move |event| drop(report.send(event.clone())));
    let running = tokio::spawn(running);
    let start = |flags: &&[&str]| {
        let mut command = sender(dir.path(), &["--key=key", "--samples-per-batch=7", "--batch-delay=0s", &connect]);
        command.args(*flags).spawn().unwrap()
    };
    let children: Vec<Child> = senders.iter().map(start).collect();
    let ended = async {
        while let Some(event) = events.recv().await {
            if matches!((event, stop_after), (Event::Stored { samples, .. }, Some(enough)) if samples >= enough) {
                trigger.stop(Cause::Interrupt);
            }
        }
        running.await.unwrap().unwrap();
    };
    timeout(LIMIT, ended).await.expect("the receiver ends in time");
    let ended = tokio::task::spawn_blocking(|| children.into_iter().map(|mut child| child.wait().unwrap().code()));
    assert!(ended.await.unwrap().all(|code| code == Some(0)));
    store::read(&chunks).unwrap()
}

/// The dataset `shoes` of these labels, in which no two images are alike, nor any two rows.
fn shoes(dir: &TempDir, labels: &[u8]) {
    let images: Vec<u8> =
        (0..labels.len()).flat_map(|index| (0..PIXELS).map(move |place| pixel(index, place))).collect();
    for split in [Split::Train, Split::Test] {
        dataset::write_idx(&dir.path().join("shoes"), split, &images, labels).unwrap();
    }
}

fn pixel(index: usize, place: usize) -> u8 {
    (index * 7 + place * 13 + place / COLS) as u8
}

#[tokio::test]
async fn what_a_receiver_gets_from_two_senders_has_drifted_and_is_called_so() {
    let dir = tempfile::tempdir().unwrap();
    let labels: Vec<u8> = (0..60).map(|index| index % 10).collect();
    shoes(&dir, &labels);
    let text = "swap-labels@20,rotate:90@40";
    let flags = ["--data=shoes", "--samples=60", "--drift", text];
    let shares = ["--share=0/2", "--share=1/2"].map(|share| [&flags[..], &[share]].concat());
    let (manifest, rows) = received(&dir, &[&shares[0], &shares[1]], None).await;

    assert_eq!(manifest.dataset.name, "shoes with drift swap-labels@20,rotate:90@40");
    let plain = dataset::load(&dir.path().join("shoes"), Split::Train).unwrap().digest();
    let drift: Drift = text.parse().unwrap();
    assert_eq!(manifest.dataset.digest, hex::encode(drift.digest(plain)));
    assert_eq!(rows.seqs.len(), 60);
    for (&seq, (label, image)) in rows.seqs.iter().zip(rows.samples.as_slice().iter()) {
        let index = seq as usize;
        assert_eq!(label, if seq < 20 { labels[index] } else { labels[index] ^ 1 }, "{seq}");
        // Counterclockwise: what was at the right is at the top.
        let from = |row, col| if seq < 40 { row * COLS + col } else { col * COLS + (COLS - 1 - row) };
        let expect = (0..ROWS).flat_map(|row| (0..COLS).map(move |col| pixel(index, from(row, col))));
        assert!(expect.eq(image.iter().copied()), "{seq}");
    }
}

#[tokio::test]
async fn drawn_digits_go_on_after_those_of_their_dataset_also_the_chosen_ones() {
    let dir = tempfile::tempdir().unwrap();
    let flags = ["--dataset=generated", "--endless", "--offset=59950", "--drift=digits:7@60000"];
    let (manifest, rows) = received(&dir, &[&flags], Some(200)).await;
    assert_eq!(manifest.dataset.name, "generated with drift digits:7@60000");
    let written = dataset::load(&dir.path().join("data/generated"), Split::Train).unwrap().samples;
    let mut drawn = Vec::new();
    for (&seq, (label, image)) in rows.seqs.iter().zip(rows.samples.as_slice().iter()) {
        match seq {
            ..60_000 => assert_eq!((label, image), (written.labels[seq as usize], written.image(seq as usize))),
            60_000.. => {
                assert_eq!(label, 7);
                drawn.push(image);
            }
        }
    }
    let count = drawn.len();
    drawn.sort_unstable();
    drawn.dedup();
    assert!(count >= 150 && drawn.len() == count, "{count}, of which {} differ", drawn.len());
}

#[test]
fn a_drift_that_cannot_be_is_refused_before_anything_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    shoes(&dir, &[1, 2, 3]);
    for (drift, code, expect) in [
        ("rotate:45", 64, "`rotate:45` says not from which sample on"),
        ("digits:5-9@0", 65, "`shoes` holds none of `digits:5-9`"),
    ] {
        let flags = ["--prepare", "--data=shoes", "--samples=3", "--drift", drift];
        let output = sender(dir.path(), &flags).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(code) && stderr.contains(expect), "{stderr}");
    }
}
