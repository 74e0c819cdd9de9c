//! The worker as a process, between two pipes as Spark holds them.

#![cfg(unix)]

mod support;

use std::{
    fs,
    io::{BufRead, Write},
    process::{Child, Output, Stdio},
};

use flags::{BatchSize, Optimizer, Step};
use sample::PIXELS;
use support::Place;
use trainer::{
    engine::worker::{Job, Sample, weights_file},
    round::local::Local,
};

/// A worker that trains these samples, so often.
fn start(place: &Place, samples: u32, local_epochs: u32) -> Child {
    let model = model::SIMPLE_CNN.init(1);
    let weights = model.sha256();
    fs::write(place.path(&weights_file(&weights)), model.to_safetensors(&Default::default())).unwrap();
    let (optimizer, step) = (Optimizer::Adam, Step::Native);
    let batch_size = BatchSize::Samples(16);
    let local = Local { local_epochs, batch_size, learning_rate: 0.001, optimizer, step };
    let arguments = Job::Train { weights, seed: 1, round: 1, local }.arguments().to_string();
    let mut command = place.command(&arguments.split(' ').collect::<Vec<_>>());
    let mut worker = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = worker.stdin.take().unwrap();
    for place in 0..samples {
        let sample = Sample { partition: 0, place, seq: place.into(), label: 3, image: vec![7; PIXELS] };
        writeln!(input, "{}", sample.encode()).unwrap();
    }
    worker
}

#[test]
fn a_worker_ends_when_it_has_replied() {
    let place = Place::new();
    let worker = start(&place, 40, 2).wait_with_output().unwrap();
    assert!(worker.status.success(), "{}", String::from_utf8_lossy(&worker.stderr));
    assert_eq!(worker.stdout.lines().count(), 1);
}

#[test]
fn a_worker_ends_when_nobody_reads_its_replies_any_more() {
    let place = Place::new();
    // If it trained to its end, it would find out by failing to reply, which is another error.
    let mut worker = start(&place, 40, 10_000);
    drop(worker.stdout.take());
    let Output { status, stderr, .. } = worker.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&stderr), "trainer: nobody reads the replies any more\n");
    assert_eq!(status.code(), Some(69));
}
