//! The slices of a chunk directory, one after the other, each as soon as it is durable.

use std::{
    ops::Range,
    thread,
    time::{Duration, Instant},
};

use anyhow::anyhow;
use process::{
    exit::{Code, failure},
    shutdown::{Shutdown, stopped},
};
use sample::{CLASSES, Samples};
use store::{DatasetId, Follower, Manifest};
use terminal::count;

use crate::{
    config::Config,
    data::{LOCK_LIMIT, store_failure},
};

/// Often enough that a slice waits no longer than it takes to be read.
const POLL: Duration = Duration::from_millis(20);
/// Chunks that are looked at before it is asked again whether a slice is there: a tenth of a second's work.
const AHEAD: usize = 64;

/// The slices that are left.
pub(crate) struct Slices<'a> {
    config: &'a Config,
    shutdown: &'a Shutdown,
    follower: Follower,
    /// Where the next slice begins.
    next: u64,
    samples_per_round: u64,
    /// Whether a person knows that samples are waited for, or need not.
    told: bool,
}

impl<'a> Slices<'a> {
    /// The slices of the chunk directory, of so many samples each, from the first one on. Waits until the directory is there.
    ///
    /// # Errors
    /// When it does not come, holds another run's samples, or the program is told to stop.
    pub(crate) fn open(config: &'a Config, samples_per_round: u64, shutdown: &'a Shutdown) -> anyhow::Result<Self> {
        let (started, mut told) = (Instant::now(), config.json);
        let follower = loop {
            match Follower::open(&config.dir, config.offset) {
                Ok(follower) => break follower,
                Err(store::Error::Missing(_)) if started.elapsed() < config.wait => {}
                Err(store::Error::Locked(_)) if started.elapsed() < config.wait.max(LOCK_LIMIT) => {}
                Err(error) => return Err(store_failure(error)),
            }
            check_stop(shutdown)?;
            tell_of_wait(config, &mut told);
            thread::sleep(POLL);
        };
        if let Some(manifest) = store::read_manifest(&config.dir).map_err(store_failure)? {
            check_run(config, &manifest)?; // Before anything is trained on.
        }
        Ok(Slices { config, shutdown, follower, next: config.offset, samples_per_round, told })
    }

    /// Which data it is. Waits for the first chunk.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub(crate) fn dataset(&mut self) -> anyhow::Result<DatasetId> {
        self.wait(|slices| {
            let follower = &slices.follower;
            if follower.dataset().is_none() && follower.manifest().is_some() {
                fail!(Code::Data, "chunk directory `{}` holds no samples", follower.path().display());
            }
            Ok(follower.dataset().cloned())
        })
    }

    /// Waits for the next slice; `None` after the last. The last one may be short, unless the stream had no end.
    ///
    /// # Errors
    /// When nothing new becomes durable for as long as `--wait` says, a file is damaged, samples are missing, or the program
    /// is told to stop.
    pub(crate) fn next(&mut self) -> anyhow::Result<Option<Range<u64>>> {
        self.look()?; // So that it is known how far behind we are.
        let slice = self.wait(|slices| slices.due().transpose())?;
        if let Some(slice) = &slice {
            self.next = slice.end;
        }
        Ok(slice)
    }

    /// How many samples are durable beyond a slice, as far as is known, and how long the slice has been there.
    pub(crate) fn behind(&self, slice: &Range<u64>) -> (u64, Duration) {
        (self.follower.durable().saturating_sub(slice.end), self.follower.age(slice))
    }

    /// The samples of these seqs.
    ///
    /// # Errors
    /// When a file is damaged.
    pub(crate) fn read(&self, seqs: Range<u64>) -> anyhow::Result<Samples> {
        check_stop(self.shutdown)?;
        let samples = self.follower.read(seqs).map_err(store_failure)?;
        if let Some(label) = samples.labels.iter().find(|&&label| usize::from(label) >= CLASSES) {
            let dir = self.follower.path().display();
            fail!(Code::Data, "chunk directory `{dir}` holds a label {label}; labels are below {CLASSES}");
        }
        Ok(samples)
    }

    #[cfg(feature = "spark")]
    pub(crate) fn follower(&self) -> &Follower {
        &self.follower
    }

    /// The manifest; there is one after the last slice.
    pub(crate) fn manifest(&self) -> Option<&Manifest> {
        self.follower.manifest()
    }

    /// The next slice if it is durable, `Some(None)` if there is none left, `None` if it is yet to come.
    fn due(&self) -> Option<anyhow::Result<Option<Range<u64>>>> {
        let Slices { follower, next, samples_per_round, .. } = self;
        let whole = *next..next.saturating_add(*samples_per_round);
        if follower.durable() >= whole.end {
            return Some(Ok(Some(whole)));
        }
        let manifest = follower.manifest()?;
        Some(self.last(manifest))
    }

    /// What is left where the directory is complete and no whole slice is.
    fn last(&self, manifest: &Manifest) -> anyhow::Result<Option<Range<u64>>> {
        let (dir, next, durable) = (self.config.dir.display(), self.next, self.follower.durable());
        check_run(self.config, manifest)?;
        let is_open_ended = manifest.is_open_ended();
        match self.follower.beyond() {
            Some(seq) if durable == self.config.offset => {
                fail!(Code::Usage, "the samples in `{dir}` begin at {seq}; give --offset {seq}")
            }
            Some(seq) if !is_open_ended => {
                fail!(
                    Code::Data,
                    "chunk directory `{dir}` lacks samples {durable} to before {seq}, and slices have no gaps; receive it \
                     anew, or train on it without --live"
                )
            }
            _ => {}
        }
        if is_open_ended {
            if next == self.config.offset {
                let (held, wanted) = (count(durable - next, "sample"), self.samples_per_round);
                fail!(Code::Data, "the stream was ended after {held}; give fewer --samples-per-round than {wanted}");
            }
            return Ok(None); // What is left may lack samples in its middle.
        }
        if next == self.config.offset && durable > next {
            let (held, wanted) = (count(durable - next, "sample"), self.samples_per_round);
            fail!(Code::Usage, "--samples-per-round {wanted} is more than the {held} of the stream; give fewer");
        }
        Ok((next < durable).then_some(next..durable))
    }

    /// Waits until `ready` finds what it looks for.
    fn wait<T>(&mut self, ready: impl Fn(&Self) -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
        let (mut since, mut durable, limit) = (Instant::now(), self.follower.durable(), self.config.wait);
        loop {
            if let Some(found) = ready(self)? {
                return Ok(found);
            }
            check_stop(self.shutdown)?;
            let start = Instant::now();
            let is_news = self.look()?;
            // What comes beyond a gap brings no slice nearer.
            if self.follower.durable() > durable || self.follower.manifest().is_some() {
                (since, durable) = (Instant::now(), self.follower.durable());
            } else if since.elapsed() >= limit {
                return Err(self.gave_up(limit));
            }
            if !is_news {
                self.told |= self.follower.dataset().is_some(); // Of a later slice it is no news.
                tell_of_wait(self.config, &mut self.told);
                // To list many chunks takes a while, which is not to become all that is done.
                thread::sleep(POLL.max(10 * start.elapsed()));
            }
        }
    }

    fn gave_up(&self, limit: Duration) -> anyhow::Error {
        let (dir, shown) = (self.config.dir.display(), humantime::format_duration(limit));
        let durable = self.follower.durable();
        let text = match self.follower.beyond() {
            Some(seq) => format!(
                "samples {durable} to before {seq} have not come into chunk directory `{dir}` for {shown}, later ones have; is a \
                 sender missing, or --offset wrong?"
            ),
            None => format!(
                "nothing new came into chunk directory `{dir}` for {shown}, and it is not complete; start a receiver and its \
                 senders, or give them more time with --wait"
            ),
        };
        failure(Code::Unavailable, anyhow!(text))
    }

    /// Looks for more chunks. Returns whether there is news.
    fn look(&mut self) -> anyhow::Result<bool> {
        self.follower.advance(AHEAD).map_err(store_failure)
    }
}

/// Tells a person once that the first samples are waited for.
fn tell_of_wait(config: &Config, told: &mut bool) {
    if !std::mem::replace(told, true) {
        let (dir, limit) = (config.dir.display(), humantime::format_duration(config.wait));
        tracing::info!("waiting up to {limit} for samples in chunk directory `{dir}`");
    }
}

fn check_stop(shutdown: &Shutdown) -> anyhow::Result<()> {
    shutdown.requested().map_or(Ok(()), |cause| Err(stopped(cause)))
}

fn check_run(config: &Config, manifest: &Manifest) -> anyhow::Result<()> {
    crate::data::check_run(&config.dir, config.run.as_deref(), manifest)
}
