//! When to try again: soon at first, then less often, never at the same moment as every other sender, and not forever.

use std::{
    hash::{BuildHasher, RandomState},
    time::{Duration, Instant},
};

use crate::Patience;

/// Waits that double up to a limit, with jitter, until a deadline without progress.
#[derive(Debug)]
pub(crate) struct Backoff {
    deadline: Duration,
    patience: Patience,
    since: Instant,
    tries: u32,
}

impl Backoff {
    pub(crate) fn new(deadline: Duration, patience: Patience) -> Self {
        Backoff { deadline, patience, since: Instant::now(), tries: 0 }
    }

    /// Starts over, after progress.
    pub(crate) fn reset(&mut self) {
        *self = Backoff::new(self.deadline, self.patience);
    }

    /// How long to wait before the next try; `None` once the deadline is over.
    pub(crate) fn next(&mut self) -> Option<Duration> {
        let left = self.deadline.checked_sub(self.since.elapsed()).filter(|left| !left.is_zero())?;
        let Patience { first_retry, longest_retry, .. } = self.patience;
        let full = first_retry.saturating_mul(1 << self.tries.min(10)).min(longest_retry);
        self.tries += 1;
        Some(full.mul_f64(0.5 + 0.5 * random_fraction()).min(left))
    }

    /// Whether the last [`Backoff::next`] was the first since there was progress.
    pub(crate) fn is_first(&self) -> bool {
        self.tries == 1
    }
}

/// Between 0 and 1. The standard library seeds its hashers from the operating system; jitter needs no more.
fn random_fraction() -> f64 {
    RandomState::new().hash_one(0) as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_limit_and_end_with_the_deadline() {
        let patience = Patience::default();
        let Patience { first_retry: first, longest_retry: longest, .. } = patience;
        let mut backoff = Backoff::new(Duration::from_secs(3600), patience);
        let waits: Vec<Duration> = (0..20).map(|_| backoff.next().unwrap()).collect();
        assert!(waits[0] >= first / 2 && waits[0] <= first);
        assert!(waits[19] >= longest / 2 && waits.iter().all(|wait| *wait <= longest));
        assert_eq!(Backoff::new(Duration::ZERO, patience).next(), None);
    }
}
