//! The data is what a chunk directory holds, in canonical order: by index in the dataset, then by stream. Arrival order,
//! chunk boundaries and the number of senders leave no trace in it, which is the first half of "the same seed gives the
//! same model".

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::anyhow;
use cli::{
    exit::{Code, OrExit, failure},
    shutdown::Shutdown,
};
use dataset::{CLASSES, PIXELS};
use rayon::prelude::*;
use store::{Held, Manifest};

use crate::digest::Digest;

/// Labelled images, by column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Samples {
    /// One label a sample.
    pub labels: Vec<u8>,
    /// [`PIXELS`] bytes a sample.
    pub images: Vec<u8>,
}

/// Some of the [`Samples`], borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Slice<'a> {
    /// One label a sample.
    pub labels: &'a [u8],
    /// [`PIXELS`] bytes a sample.
    pub images: &'a [u8],
}

impl Samples {
    /// Number of samples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// These samples in another order: sample `order[i]` comes to place `i`.
    pub(crate) fn reordered(&self, order: &[u32]) -> Samples {
        let mut samples =
            Samples { labels: Vec::with_capacity(order.len()), images: Vec::with_capacity(order.len() * PIXELS) };
        Slice { labels: &self.labels, images: &self.images }.gather(order, &mut samples);
        samples
    }

    /// Different images with labels in turn, for tests.
    #[cfg(test)]
    pub(crate) fn example(count: usize) -> Self {
        let mut random = dataset::random::Stream::keyed("tributary trainer test", &[]);
        let labels = (0..count).map(|i| (i % CLASSES) as u8).collect();
        Samples { labels, images: (0..count * PIXELS).map(|_| random.below(256) as u8).collect() }
    }
}

impl Slice<'_> {
    /// Number of samples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Replaces what `into` holds by the samples at `indices`, in that order, without giving its memory back.
    pub(crate) fn gather(&self, indices: &[u32], into: &mut Samples) {
        into.labels.clear();
        into.images.clear();
        for &index in indices {
            let index = index as usize;
            into.labels.push(self.labels[index]);
            into.images.extend_from_slice(&self.images[index * PIXELS..][..PIXELS]);
        }
    }
}

/// How long a receiver may take to leave a directory that it has just completed, and a reader to be let in.
const LOCK_LIMIT: Duration = Duration::from_secs(10);

/// Waits until the chunk directory is there and complete, for up to `patience`, and holds it: nobody empties it while it is
/// held. A person is told of the wait. The samples must have been received for `run`, if that is given.
///
/// # Errors
/// When the time is over (exit code 65 if the directory is missing, 69 if it is incomplete), the directory is damaged, in
/// use or another run's (73), or the program is told to stop.
pub fn wait(
    dir: &Path,
    run: Option<&str>,
    patience: Duration,
    to_a_person: bool,
    shutdown: &Shutdown,
) -> anyhow::Result<Held> {
    // Often enough to go unnoticed, and nothing to the disk.
    const POLL: Duration = Duration::from_millis(10);
    let started = Instant::now();
    let limit = humantime::format_duration(patience);
    let mut told = !to_a_person;
    loop {
        let missing = match store::hold(dir) {
            Ok(Some(held)) => return check(dir, run, held),
            Ok(None) => None,
            // The receiver that makes it may be yet to start.
            Err(error @ store::Error::Missing(_)) => Some(error),
            Err(store::Error::Locked(_)) if started.elapsed() < patience.max(LOCK_LIMIT) => None,
            Err(error) => return Err(store_failure(error)),
        };
        if let Some(cause) = shutdown.requested() {
            return Err(failure(cause.code(), anyhow!("stopped by {} while waiting for samples", cause.as_str())));
        }
        if started.elapsed() >= patience {
            let dir = dir.display();
            let error = anyhow!(
                "chunk directory `{dir}` is still not complete after {limit}; start a receiver and its senders, \
                 or give them more time with --wait"
            );
            return Err(missing.map_or_else(|| failure(Code::Unavailable, error), store_failure));
        }
        if !told {
            tracing::info!("waiting up to {limit} until chunk directory `{}` is complete", dir.display());
            told = true;
        }
        thread::sleep(POLL);
    }
}

/// Holds a complete chunk directory without waiting.
///
/// # Errors
/// When it is missing, in use, damaged or incomplete, or tells of no sample.
pub fn hold(dir: &Path) -> anyhow::Result<Held> {
    let incomplete = || anyhow!("chunk directory `{}` is not complete", dir.display());
    let held = store::hold(dir).map_err(store_failure)?.ok_or_else(incomplete).or_exit(Code::Data)?;
    check(dir, None, held)
}

/// Refuses what cannot be trained on.
fn check(dir: &Path, run: Option<&str>, held: Held) -> anyhow::Result<Held> {
    let dir = dir.display();
    let manifest = &held.manifest;
    if let Some(run) = run.filter(|&run| manifest.run.as_deref() != Some(run)) {
        let owner = manifest.run.as_deref().map_or("no run in particular".into(), |other| format!("run {other}"));
        let error = anyhow!(
            "chunk directory `{dir}` holds samples that were received for {owner}, not for run {run}; give each run a \
             --dir of its own"
        );
        return Err(failure(Code::Directory, error));
    }
    if manifest.samples == 0 {
        return Err(anyhow!("chunk directory `{dir}` holds no samples")).or_exit(Code::Data);
    }
    Ok(held)
}

/// Reads and verifies the chunk directory that this manifest is of; the samples come in canonical order. The digest
/// identifies them.
///
/// # Errors
/// When anything in it is missing or damaged, or it has another manifest.
pub fn read(dir: &Path, manifest: &Manifest) -> anyhow::Result<(Samples, Digest)> {
    let (found, arrived) = store::read(dir).map_err(store_failure)?;
    if found != *manifest {
        return Err(anyhow!("chunk directory `{}` was replaced a moment ago", dir.display())).or_exit(Code::Data);
    }
    if let Some(label) = arrived.labels.iter().find(|&&label| usize::from(label) >= CLASSES) {
        let error = anyhow!("chunk directory `{}` holds a label {label}; labels are below {CLASSES}", dir.display());
        return Err(failure(Code::Data, error));
    }
    let digest = digest(&arrived);
    Ok((canonical(&arrived), digest))
}

fn digest(arrived: &store::Samples) -> Digest {
    let images = arrived.images.par_chunks(PIXELS);
    let samples = arrived.seqs.par_iter().zip(&arrived.labels).zip(images);
    samples.map(|((seq, label), image)| Digest::of(*seq, *label, image)).sum()
}

fn canonical(arrived: &store::Samples) -> Samples {
    let mut order: Vec<u32> = (0..arrived.labels.len() as u32).collect();
    // The manifest lists streams by name, so their indices order them as their names do.
    order.sort_unstable_by_key(|&i| (arrived.seqs[i as usize], arrived.streams[i as usize]));
    let mut samples = Samples::default();
    Slice { labels: &arrived.labels, images: &arrived.images }.gather(&order, &mut samples);
    samples
}

fn store_failure(error: store::Error) -> anyhow::Error {
    failure(error.exit_code(), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sample `label` of a stream, with pixels that tell it apart.
    fn arrived(samples: &[(u32, u64, u8)]) -> store::Samples {
        store::Samples {
            streams: samples.iter().map(|sample| sample.0).collect(),
            seqs: samples.iter().map(|sample| sample.1).collect(),
            labels: samples.iter().map(|sample| sample.2).collect(),
            images: samples.iter().flat_map(|sample| [sample.2; PIXELS]).collect(),
        }
    }

    #[test]
    fn canonical_order_is_by_index_in_the_dataset_then_by_stream() {
        let samples = canonical(&arrived(&[(1, 5, 3), (0, 9, 4), (0, 5, 2), (0, 0, 1)]));
        assert_eq!(samples.labels, [1, 2, 3, 4]);
        assert_eq!(samples.images.chunks(PIXELS).map(|image| image[0]).collect::<Vec<_>>(), [1, 2, 3, 4]);
    }

    #[test]
    fn the_digest_sees_labels_and_indices_but_not_how_samples_arrived() {
        let base = digest(&arrived(&[(0, 0, 1), (0, 1, 2)]));
        assert_eq!(base, digest(&arrived(&[(1, 1, 2), (0, 0, 1)])));
        for other in [[(0, 0, 2), (0, 1, 1)], [(0, 0, 1), (0, 1, 3)], [(0, 0, 1), (0, 2, 2)]] {
            assert_ne!(digest(&arrived(&other)), base);
        }
    }
}
