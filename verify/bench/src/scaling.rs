//! Scaling: how speed changes with partitions, samples and senders.

use std::path::Path;

use anyhow::Context;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use torture::{
    programs::{Receiver, key},
    samples,
};

use crate::{
    Measurement, mnist, programs, record,
    series::Unit,
    turns::{self, Contestant},
};

const PARTITIONS: [u32; 4] = [1, 2, 4, 12];
const SAMPLES: [u64; 4] = [1000, 5000, 20_000, 60_000];
const SENDERS: [u64; 4] = [1, 2, 10, 50];
/// Samples where it is something else that varies: the default of a run, and all that are streamed.
const TRAINED: u64 = 20_000;
const STREAMED: u64 = 60_000;
/// There is much to measure and no target to meet.
const MOST_TURNS: u32 = 3;

pub(crate) fn measure(turns: u32) -> anyhow::Result<Measurement> {
    mnist()?; // The sender would fetch it, or fail less clearly.
    let directories = SAMPLES.map(|samples| received(samples).map(|directory| (samples, directory)));
    let directories = directories.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    let rate = Unit::SamplesPerSecond;
    let mut contestants = Vec::new();
    for (samples, directory) in &directories {
        let partitions = if *samples == TRAINED { &PARTITIONS[..] } else { &[2] };
        for partitions in partitions {
            let name = format!("training, samples {samples}, partitions {partitions}");
            contestants.push(Contestant::of(name, rate, move || train(directory.path(), *partitions)));
        }
    }
    for senders in SENDERS {
        let name = format!("ingest, samples {STREAMED}, senders {senders}");
        contestants.push(Contestant::of(name, rate, move || stream(senders)));
    }
    let series = turns::take(turns.min(MOST_TURNS), &mut contestants)?.series;
    let about =
        "Training: the trainer's first round. Ingest: a receiver process, and all senders in one other process."
            .to_owned();
    Ok(Measurement { title: "Scaling".into(), about, series, targets: Vec::new(), notes: Vec::new() })
}

fn received(samples: u64) -> anyhow::Result<TempDir> {
    let directory = record::scratch()?;
    programs::ingest(&directory.path().join("chunks"), samples, "0ms")?;
    Ok(directory)
}

fn train(directory: &Path, partitions: u32) -> anyhow::Result<f64> {
    let (summary, _) =
        programs::train(&directory.join("chunks"), &["--rounds=1".into(), format!("--partitions={partitions}")])?;
    summary.samples_per_second.train.context("the round took no time")
}

/// Samples per second that so many senders at once bring to a receiver. They are here and not in processes of their own,
/// because each of those would read and check all of MNIST before it sends its part.
fn stream(senders: u64) -> anyhow::Result<f64> {
    let directory = record::scratch()?;
    let chunks = directory.path().join("chunks");
    let each = STREAMED / senders;
    let sources = samples::sources(senders, each);
    let (receiver, address) = Receiver::start(&chunks, &[format!("--streams={senders}")])?;
    let config = sender::Config::new(address, key(&chunks));
    Runtime::new()?.block_on(samples::send_all(sources, &config, |_, _| {}))?;
    Ok((each * senders) as f64 / receiver.follow(|| {})?)
}
