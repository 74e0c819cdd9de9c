//! How far a round has come: a bar on a terminal, or events for a program.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use event::Event;
use indicatif::ProgressBar;

use crate::output::show;

/// Often enough to look alive.
const PERIOD: Duration = Duration::from_millis(100);

/// Shared by the threads that train.
pub(crate) struct Progress {
    round: u32,
    of: u64,
    /// Of each partition, as far as its samples are known to be its.
    partitions: Vec<AtomicU64>,
    /// It also counts where it is hidden.
    bar: ProgressBar,
    /// When the last event was sent; `None` if events are not wanted.
    sent: Option<Mutex<Instant>>,
}

impl Progress {
    /// Of a round in which `of` samples pass through the network, in so many partitions.
    pub(crate) fn new(json: bool, round: u32, of: u64, partitions: u32) -> Self {
        let sent = json.then(|| Mutex::new(Instant::now()));
        // It draws nothing unless stderr is a terminal.
        let bar = if json { ProgressBar::hidden() } else { ProgressBar::new(of) };
        bar.set_style(terminal::bars::style("{prefix} [{bar:30}] {human_pos}/{human_len} samples, {rate}, {eta} left"));
        bar.set_prefix(format!("round {round}"));
        let partitions = (0..partitions).map(|_| AtomicU64::new(0)).collect();
        Self { round, of, partitions, bar, sent }
    }

    /// `samples` more have passed through the network, of this partition if that is known.
    pub(crate) fn advance(&self, partition: Option<u32>, samples: usize) {
        if let Some(done) = partition.and_then(|partition| self.partitions.get(partition as usize)) {
            done.fetch_add(samples as u64, Ordering::Relaxed);
        }
        self.bar.inc(samples as u64);
        let Some(Ok(mut sent)) = self.sent.as_ref().map(Mutex::try_lock) else { return };
        if sent.elapsed() >= PERIOD {
            *sent = Instant::now();
            self.send(); // Under the lock, so that the numbers never go backwards.
        }
    }

    fn send(&self) {
        let partitions: Vec<u64> = self.partitions.iter().map(|done| done.load(Ordering::Relaxed)).collect();
        // Where none is known (a Spark tells only how many tasks are done), all are 0.
        let partitions = if partitions.iter().all(|&done| done == 0) { Vec::new() } else { partitions };
        show(true, &Event::Progress { round: self.round, samples: self.bar.position(), of: self.of, partitions }, "");
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.sent.is_some() {
            self.send(); // Who follows sees that the round is trained, and what comes now is something else.
        }
        self.bar.finish_and_clear();
    }
}
