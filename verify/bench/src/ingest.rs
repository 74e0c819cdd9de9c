//! Ingest: one sender to fsynced chunks over loopback, with what loopback, disk and chunk codec allow by themselves
//! beside it.

use std::{
    fs::File,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow};
use dataset::Dataset;
use sample::{Extent, PIXELS};
use store::{DatasetId, Mode, Store};

use crate::{
    Measurement, Target, mnist, programs, record,
    series::{Series, Unit},
    turns::{self, Contestant, Results},
};

const SAMPLES: usize = 60_000;
/// Defaults of sender and receiver.
const BATCH: usize = 500;
const CHUNK: usize = 1000;
const SAMPLE_BYTES: f64 = (1 + PIXELS) as f64;
/// Bytes over raw loopback in a turn: enough for some tenths of a second.
const LOOPBACK_BYTES: usize = 2_000_000_000;
const SOCKET_LIMIT: Duration = Duration::from_secs(30);

const OURS: &str = "ours, one sender";
const LOOPBACK: &str = "raw loopback TCP";
const DISK: &str = "raw disk, a write and an fsync a chunk";
const CODEC: &str = "chunk codec, one core, into memory";

pub(crate) fn measure(turns: u32) -> anyhow::Result<Measurement> {
    let data = mnist()?;
    let chunk = codec(&data)?.1;
    let mut results = turns::take(
        turns,
        &mut [
            Contestant::of(OURS, Unit::SamplesPerSecond, || {
                let dir = record::scratch()?;
                Ok(SAMPLES as f64 / programs::ingest(&dir.path().join("chunks"), SAMPLES as u64, "0ms")?.seconds)
            }),
            Contestant::new(LOOPBACK, || Ok(both(LOOPBACK, LOOPBACK_BYTES as f64 / loopback()?, SAMPLE_BYTES))),
            Contestant::new(DISK, || {
                let dir = record::scratch()?;
                let bytes = (SAMPLES / CHUNK * chunk) as f64;
                Ok(both(DISK, bytes / disk(dir.path(), chunk)?, chunk as f64 / CHUNK as f64))
            }),
            Contestant::of(CODEC, Unit::SamplesPerSecond, || Ok(SAMPLES as f64 / codec(&data)?.0)),
        ],
    )?;
    let limit = limit(&results);
    let reached = results.get(OURS).zip(limit.as_ref()).map(|(ours, limit)| ours.over(limit));
    let what = "ingest / the lower of 250,000 samples/s and 60 % of what disk and codec allow";
    let targets = vec![Target::at_least(1.0, Unit::Times, what, reached)];
    results.series.extend(limit);
    let about = format!(
        "{SAMPLES} samples in batches of {BATCH} and chunks of {CHUNK} ({chunk} bytes). Ours: a sender and a receiver \
         process, from the first sample received to a complete directory. The codec is the store on a file system \
         in memory: it encodes and digests, and no disk has a part in it. A sample over loopback is {SAMPLE_BYTES} bytes."
    );
    Ok(Measurement { title: "Ingest".into(), about, series: results.series, targets, notes: Vec::new() })
}

fn limit(results: &Results) -> Option<Series> {
    let lower = |disk: f64, codec: f64| (0.6 * disk.min(codec)).min(250_000.0);
    let name = "the lower of 250,000 and 60 % of the slower of disk and codec";
    Some(results.get(DISK)?.with(results.get(CODEC)?, name, Unit::SamplesPerSecond, lower))
}

/// A rate of bytes per second, in samples as well.
fn both(name: &str, bytes: f64, of_a_sample: f64) -> Vec<Series> {
    let samples = Series::one(name, Unit::SamplesPerSecond, bytes / of_a_sample);
    vec![samples, Series::one(format!("{name}, in bytes"), Unit::MegabytesPerSecond, bytes / 1e6)]
}

/// Seconds for [`LOOPBACK_BYTES`] from one socket to another, in writes of the size of a batch.
fn loopback() -> anyhow::Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0").context("failed to listen on loopback")?;
    let mut from = TcpStream::connect(listener.local_addr()?)?;
    let (mut to, _) = listener.accept()?;
    from.set_write_timeout(Some(SOCKET_LIMIT))?;
    to.set_read_timeout(Some(SOCKET_LIMIT))?;
    let start = Instant::now();
    let reader = thread::spawn(move || {
        let mut buffer = vec![0; 1 << 18];
        while to.read(&mut buffer)? > 0 {}
        anyhow::Ok(())
    });
    let batch = vec![7; BATCH * (1 + PIXELS)];
    let mut left = LOOPBACK_BYTES;
    while left > 0 {
        let count = left.min(batch.len());
        from.write_all(&batch[..count])?;
        left -= count;
    }
    drop(from);
    reader.join().map_err(|_| anyhow!("reading panicked"))??;
    Ok(start.elapsed().as_secs_f64())
}

/// Seconds to write as many files as there are chunks, each with an fsync.
fn disk(dir: &Path, bytes: usize) -> anyhow::Result<f64> {
    let chunk = vec![7; bytes];
    let start = Instant::now();
    for number in 0..SAMPLES / CHUNK {
        let mut file = File::create_new(dir.join(number.to_string()))?;
        file.write_all(&chunk)?;
        file.sync_all()?;
    }
    Ok(start.elapsed().as_secs_f64())
}

/// Passes all samples through a store in memory; returns the seconds, and the bytes of a chunk.
fn codec(data: &Dataset) -> anyhow::Result<(f64, usize)> {
    let dir = tempfile::tempdir_in("/dev/shm").context("there is no file system in memory, which Linux has")?;
    let mut store = Store::open(dir.path(), Mode::Fresh, CHUNK)?;
    let id = DatasetId { name: data.name.clone(), digest: "0".repeat(64) };
    store.open_stream("from-0", &id, Extent::range(0..SAMPLES as u64))?;
    let start = Instant::now();
    for first in (0..SAMPLES).step_by(BATCH) {
        store.append("from-0", first as u64, data.samples.slice(first..first + BATCH))?;
        if store.has_full_chunk() {
            store.commit()?;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let chunks = store.complete(None, seconds)?.chunks;
    Ok((seconds, chunks.iter().map(|chunk| chunk.bytes as usize).sum::<usize>() / chunks.len()))
}
