//! The data is what a chunk directory holds, in canonical order: by index in the dataset, then by stream. Arrival order,
//! chunk boundaries and the number of senders leave no trace in it, which is the first half of "the same seed gives the
//! same model".

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::anyhow;
use process::{
    exit::{Code, OrExit, failure},
    shutdown::Shutdown,
};
use rayon::prelude::*;
use sample::{CLASSES, PIXELS, Samples};
use store::{Held, Manifest, Rows};

use digest::Digest;

pub mod digest;
pub(crate) mod test_set;

/// Different images with labels in turn, for tests.
#[cfg(test)]
pub(crate) fn example(count: usize) -> Samples {
    let mut random = sample::random::Stream::keyed("tributary trainer test", &[]);
    let labels = (0..count).map(|i| (i % CLASSES) as u8).collect();
    Samples { labels, images: (0..count * PIXELS).map(|_| random.below(256) as u8).collect() }
}

/// How long a receiver may take to leave a directory that it has just completed, and a reader to be let in.
pub(crate) const LOCK_LIMIT: Duration = Duration::from_secs(10);

/// Waits until the chunk directory is there and complete, for as long as `limit`, and holds it: nobody empties it while it is
/// held. A person is told of the wait. The samples must have been received for `run`, if that is given.
///
/// # Errors
/// When the time is over (exit code 65 if the directory is missing, 69 if it is incomplete), the directory is damaged, in
/// use or another run's (73), or the program is told to stop.
pub(crate) fn wait(
    dir: &Path,
    run: Option<&str>,
    limit: Duration,
    to_a_person: bool,
    shutdown: &Shutdown,
) -> anyhow::Result<Held> {
    // Often enough to go unnoticed, and nothing to the disk.
    const POLL: Duration = Duration::from_millis(10);
    let started = Instant::now();
    let shown = humantime::format_duration(limit);
    let mut told = !to_a_person;
    loop {
        let missing = match store::hold(dir) {
            Ok(Some(held)) => return check(dir, run, held),
            Ok(None) => None,
            // The receiver that makes it may be yet to start.
            Err(error @ store::Error::Missing(_)) => Some(error),
            Err(store::Error::Locked(_)) if started.elapsed() < limit.max(LOCK_LIMIT) => None,
            Err(error) => return Err(store_failure(error)),
        };
        if let Some(cause) = shutdown.requested() {
            fail!(cause.code(), "stopped by {} while waiting for samples", cause.as_str());
        }
        if started.elapsed() >= limit {
            let dir = dir.display();
            if let Some(missing) = missing {
                return Err(store_failure(missing));
            }
            fail!(
                Code::Unavailable,
                "chunk directory `{dir}` is still not complete after {shown}; start a receiver and its senders, \
                 or give them more time with --wait"
            );
        }
        if !told {
            tracing::info!("waiting up to {shown} until chunk directory `{}` is complete", dir.display());
            told = true;
        }
        thread::sleep(POLL);
    }
}

/// Holds a complete chunk directory without waiting.
pub(crate) fn hold(dir: &Path) -> anyhow::Result<Held> {
    let incomplete = || anyhow!("chunk directory `{}` is not complete", dir.display());
    let held = store::hold(dir).map_err(store_failure)?.ok_or_else(incomplete).or_exit(Code::Data)?;
    check(dir, None, held)
}

/// Refuses what cannot be trained on.
fn check(dir: &Path, run: Option<&str>, held: Held) -> anyhow::Result<Held> {
    check_run(dir, run, &held.manifest)?;
    if held.manifest.samples == 0 {
        fail!(Code::Data, "chunk directory `{}` holds no samples", dir.display());
    }
    Ok(held)
}

/// Refuses samples that were received for another run than this, if one is given.
pub(crate) fn check_run(dir: &Path, run: Option<&str>, manifest: &Manifest) -> anyhow::Result<()> {
    if let Some(run) = run.filter(|&run| manifest.run.as_deref() != Some(run)) {
        let dir = dir.display();
        let owner = manifest.run.as_deref().map_or("no run in particular".into(), |other| format!("run {other}"));
        fail!(
            Code::Directory,
            "chunk directory `{dir}` holds samples that were received for {owner}, not for run {run}; give each run a \
             --dir of its own"
        );
    }
    Ok(())
}

/// The samples of a chunk directory as they arrived, and their canonical order.
#[derive(Debug)]
pub(crate) struct Received {
    arrived: Samples,
    /// Where the samples are in `arrived`, in canonical order.
    canonical: Vec<u32>,
    pub(crate) digest: Digest,
}

impl Received {
    pub(crate) fn len(&self) -> usize {
        self.canonical.len()
    }

    /// The samples with these indices in canonical order, in the order of `indices`.
    pub(crate) fn gather(&self, indices: &[u32]) -> Samples {
        let places: Vec<u32> = indices.iter().map(|&index| self.canonical[index as usize]).collect();
        let mut samples = Samples::default();
        self.arrived.as_slice().gather(&places, &mut samples);
        samples
    }

    pub(crate) fn all(&self) -> Samples {
        self.gather(&(0..self.len() as u32).collect::<Vec<_>>())
    }

    fn new(rows: Rows) -> Self {
        let arrived = rows.samples;
        let images = arrived.images.par_chunks(PIXELS);
        let samples = rows.seqs.par_iter().zip(&arrived.labels).zip(images);
        let digest = samples.map(|((seq, label), image)| Digest::of(*seq, *label, image)).sum();
        let mut canonical: Vec<u32> = (0..arrived.len() as u32).collect();
        // The manifest lists streams by name, so their indices order them as their names do.
        canonical.sort_unstable_by_key(|&i| (rows.seqs[i as usize], rows.streams[i as usize]));
        Self { arrived, canonical, digest }
    }

    /// Samples that arrived in canonical order, for tests.
    #[cfg(test)]
    pub(crate) fn of(samples: Samples) -> Self {
        let count = samples.len();
        Self::new(Rows { streams: vec![0; count], seqs: (0..count as u64).collect(), samples })
    }
}

/// Reads and verifies a chunk directory.
pub(crate) fn read(held: &Held) -> anyhow::Result<Received> {
    let rows = held.read().map_err(store_failure)?;
    if let Some(label) = rows.samples.labels.iter().find(|&&label| usize::from(label) >= CLASSES) {
        let dir = held.path().display();
        fail!(Code::Data, "chunk directory `{dir}` holds a label {label}; labels are below {CLASSES}");
    }
    Ok(Received::new(rows))
}

pub(crate) fn store_failure(error: store::Error) -> anyhow::Error {
    failure(error.exit_code(), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_order_is_by_index_in_the_dataset_then_by_stream() {
        let labels = [3, 4, 2, 1];
        let samples = Samples { labels: labels.to_vec(), images: labels.map(|label| [label; PIXELS]).concat() };
        let samples = Received::new(Rows { streams: vec![1, 0, 0, 0], seqs: vec![5, 9, 5, 0], samples }).all();
        assert_eq!(samples.labels, [1, 2, 3, 4]);
        assert_eq!(samples.images.chunks(PIXELS).map(|image| image[0]).collect::<Vec<_>>(), [1, 2, 3, 4]);
    }
}
