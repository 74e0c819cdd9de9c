//! Made-up samples: label and pixels follow from the seq, so that any sample found anywhere can be checked.

use std::{collections::HashSet, path::Path};

use anyhow::{Context, ensure};
use process::shutdown::Shutdown;
use sample::{Extent, PIXELS, Samples};
use sender::{Config, Outcome, Source, Supply};
use tokio::task::JoinSet;

/// Samples `first..end` as a stream.
pub fn source(stream: &str, first: u64, end: u64) -> Source {
    Source {
        stream: stream.into(),
        dataset: "made-up".into(),
        dataset_digest: [7; 32],
        extent: Extent::range(first..end),
        supply: Supply::new(first, samples(first, end)),
    }
}

/// Samples `first..end`.
pub fn samples(first: u64, end: u64) -> Samples {
    Samples { labels: (first..end).map(label).collect(), images: (first..end).flat_map(image).collect() }
}

/// Samples `0..streams * each`, as so many streams in one piece each.
pub fn sources(streams: u64, each: u64) -> Vec<Source> {
    (0..streams).map(|i| source(&format!("s-{i}"), i * each, (i + 1) * each)).collect()
}

/// Sends a stream to its end; `hear` is told how much of it is durable.
pub async fn send(source: &Source, config: &Config, hear: impl FnMut(u64)) -> anyhow::Result<()> {
    let (_trigger, shutdown) = Shutdown::manual();
    let outcome = sender::run(source, config, shutdown, hear).await?;
    ensure!(outcome == Outcome::Complete, "the sender ended with {outcome:?}");
    Ok(())
}

/// Sends streams to their ends, all at the same time; `hear` is told how much of each is durable.
pub async fn send_all(
    sources: Vec<Source>,
    config: &Config,
    hear: impl Fn(&str, u64) + Clone + Send + Sync + 'static,
) -> anyhow::Result<()> {
    let mut sending = JoinSet::new();
    for source in sources {
        let (config, hear) = (config.clone(), hear.clone());
        sending.spawn(async move { send(&source, &config, |durable| hear(&source.stream, durable)).await });
    }
    while let Some(sent) = sending.join_next().await {
        sent.context("a sender panicked")?.context("a sender failed")?;
    }
    Ok(())
}

/// What is wrong with a directory that should be complete and hold samples `0..end`, each exactly once.
pub fn check(dir: &Path, end: u64) -> Vec<String> {
    let (seen, mut wrong) = match look_at(dir, |seq| seq) {
        Ok(found) => found,
        Err(error) => return vec![error],
    };
    let strange = seen.iter().filter(|seq| **seq >= end);
    wrong.extend(strange.map(|seq| format!("sample {seq} was never sent")));
    wrong.extend((0..end).filter(|seq| !seen.contains(seq)).map(|seq| format!("sample {seq} is lost")));
    wrong
}

/// What is wrong with a directory that should be complete and hold the first so many samples, sent over and over: each time as
/// new ones, each of which is there at most once.
pub fn check_repeated(dir: &Path, count: u64) -> Vec<String> {
    look_at(dir, |seq| seq % count).map_or_else(|error| vec![error], |(_, wrong)| wrong)
}

/// The seqs in a complete directory, and what is wrong with their samples; `origin` says which one was sent with a seq.
fn look_at(dir: &Path, origin: impl Fn(u64) -> u64) -> Result<(HashSet<u64>, Vec<String>), String> {
    let (_, rows) = store::read(dir).map_err(|error| format!("{:#}", anyhow::Error::from(error)))?;
    let (mut seen, mut wrong) = (HashSet::new(), Vec::new());
    for (&seq, sample) in rows.seqs.iter().zip(rows.samples.as_slice().iter()) {
        if !seen.insert(seq) {
            wrong.push(format!("sample {seq} is there twice"));
        } else if sample != (label(origin(seq)), &image(origin(seq))) {
            wrong.push(format!("sample {seq} is not as it was sent"));
        }
    }
    Ok((seen, wrong))
}

fn label(seq: u64) -> u8 {
    (seq % 10) as u8
}

fn image(seq: u64) -> [u8; PIXELS] {
    std::array::from_fn(|i| (seq as usize * 31 + i) as u8)
}
