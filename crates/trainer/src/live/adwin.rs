//! ADWIN sees when a stream of errors changes its mean, with no window length to choose: it keeps as many of the newest
//! errors as look alike, and drops the oldest when what came after them differs too much (Bifet and Gavaldà, "Learning from
//! time-changing data with adaptive windowing", 2007).
//!
//! It does as River's `AdaptiveWindowing`, with the same defaults. As errors are 0 or 1, numbers of them say all, also the
//! variance, and the state is whole numbers.

use serde::{Deserialize, Serialize};

/// Buckets of one size; one more, and the two oldest of that size become one. MOA and River have the same number.
const BUCKETS: usize = 5;
/// Every so many errors it looks for a change.
const CHECK_EVERY: u64 = 32;
/// As long as it holds no more than these, it does not look.
const GRACE: u64 = 10;
/// Each part of a cut has at least so many errors.
const MIN_PART: u64 = 5;

/// The detector, with the window that it keeps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Adwin {
    /// δ: how likely it may be to see a change where there is none.
    delta: f64,
    /// The window as a histogram of exponential sizes: a bucket of row r stands for 2^r samples, and is the number of
    /// errors among them. A higher row is older, and within a row the first is the oldest.
    rows: Vec<Vec<u64>>,
    /// Samples in the window.
    width: u64,
    /// Errors in the window.
    errors: u64,
    /// Samples since the beginning.
    seen: u64,
}

impl Adwin {
    /// A detector that has seen nothing.
    pub(crate) fn new(delta: f64) -> Self {
        Self { delta, rows: Vec::new(), width: 0, errors: 0, seen: 0 }
    }

    /// Takes whether the next prediction was wrong. Says whether the errors have become more: a change to fewer shrinks the
    /// window, too, but a model that gets better is no cause for alarm. MOA's detector makes the same difference.
    pub(crate) fn update(&mut self, is_error: bool) -> bool {
        let mean_before = self.mean();
        self.insert(u64::from(is_error));
        self.seen += 1;
        let looks = self.seen.is_multiple_of(CHECK_EVERY) && self.width > GRACE;
        looks && self.shrink() && self.mean() > mean_before
    }

    /// Samples in the window.
    #[cfg(test)]
    pub(crate) fn width(&self) -> u64 {
        self.width
    }

    fn mean(&self) -> f64 {
        if self.width == 0 { 0.0 } else { self.errors as f64 / self.width as f64 }
    }

    fn insert(&mut self, errors: u64) {
        self.width += 1;
        self.errors += errors;
        let mut bucket = errors;
        for row in 0.. {
            if row == self.rows.len() {
                self.rows.push(Vec::with_capacity(BUCKETS + 1));
            }
            let buckets = &mut self.rows[row];
            buckets.push(bucket);
            if buckets.len() <= BUCKETS {
                break;
            }
            bucket = buckets.drain(..2).sum();
        }
    }

    /// Drops the oldest bucket for as long as some cut of the window has unlike parts; says whether it dropped any.
    fn shrink(&mut self) -> bool {
        let width = self.width;
        while self.has_unlike_parts() {
            let oldest = self.rows.len() - 1;
            self.errors -= self.rows[oldest].remove(0);
            self.width -= 1 << oldest;
            if self.rows[oldest].is_empty() {
                self.rows.pop();
            }
        }
        self.width < width
    }

    fn has_unlike_parts(&self) -> bool {
        let oldest_first = self.rows.iter().enumerate().rev();
        let buckets = oldest_first.flat_map(|(row, buckets)| buckets.iter().map(move |errors| (1 << row, *errors)));
        let cuts = buckets.scan((0, 0), |(samples, errors), (more_samples, more_errors): (u64, u64)| {
            *samples += more_samples;
            *errors += more_errors;
            Some((*samples, *errors))
        });
        cuts.into_iter().any(|(samples, errors)| self.are_unlike(samples, errors))
    }

    /// Whether the oldest so many samples, with so many errors, are too unlike the rest: their means differ by more than
    /// the paper's bound from the variance (its equation 3.1), with the samples of each part counted as River does.
    fn are_unlike(&self, samples: u64, errors: u64) -> bool {
        let rest = self.width - samples;
        if samples < MIN_PART || rest < MIN_PART {
            return false;
        }
        let difference = errors as f64 / samples as f64 - (self.errors - errors) as f64 / rest as f64;
        let part = |samples: u64| 1.0 / (samples - MIN_PART + 1) as f64;
        let parts = part(samples) + part(rest);
        let variance = self.mean() * (1.0 - self.mean());
        let confidence = libm::log(2.0 * libm::log(self.width as f64) / self.delta);
        difference.abs() > (2.0 * parts * variance * confidence).sqrt() + 2.0 / 3.0 * confidence * parts
    }
}

#[cfg(test)]
mod tests {
    use sample::random::Stream;

    use super::*;

    /// Feeds so many errors of this mean, and gives where alarms were raised, counted from 1.
    fn feed(adwin: &mut Adwin, seed: u64, count: u64, mean: f32) -> Vec<u64> {
        let mut random = Stream::keyed("tributary test", &[seed]);
        (1..=count).filter(|_| adwin.update(random.unit_f32() < mean)).collect()
    }

    #[test]
    fn errors_that_become_more_are_seen_soon_and_the_window_forgets_what_was_before() {
        for (seed, before, after, within) in [(1, 0.02, 0.5, 64), (2, 0.1, 0.3, 300), (3, 0.0, 1.0, 64)] {
            let mut adwin = Adwin::new(0.002);
            assert_eq!(feed(&mut adwin, seed, 2000, before), [0; 0], "{before}");
            assert_eq!(adwin.width(), 2000);
            let alarms = feed(&mut adwin, seed + 100, 2000, after);
            assert!(alarms.first().is_some_and(|first| *first <= within), "{before} to {after}: {alarms:?}");
            assert!(adwin.width() <= 2100, "{}", adwin.width());
        }
    }

    #[test]
    fn errors_that_become_fewer_shrink_the_window_and_raise_no_alarm() {
        let mut adwin = Adwin::new(0.002);
        for (seed, mean) in [(1, 0.9), (2, 0.4), (3, 0.05)] {
            assert_eq!(feed(&mut adwin, seed, 2000, mean), [0; 0], "{mean}");
            assert!(adwin.width() < 2200, "{}", adwin.width());
        }
    }

    #[test]
    fn where_nothing_changes_nothing_is_seen_and_memory_stays_small() {
        for mean in [0.0, 0.01, 0.5] {
            let mut adwin = Adwin::new(0.002);
            assert_eq!(feed(&mut adwin, 7, 100_000, mean), [0; 0], "{mean}");
            assert_eq!(adwin.width(), 100_000);
            assert!(adwin.rows.len() <= 16 && adwin.rows.iter().all(|row| row.len() <= BUCKETS));
        }
    }

    #[test]
    fn the_buckets_hold_every_sample_of_the_window_once() {
        let mut adwin = Adwin::new(0.002);
        let mut alarms = 0;
        for (seed, mean) in [(1, 0.5), (2, 0.1), (3, 0.7)] {
            for _ in 0..20 {
                alarms += feed(&mut adwin, seed, 77, mean).len();
                let samples: usize = adwin.rows.iter().enumerate().map(|(row, buckets)| buckets.len() << row).sum();
                let errors: u64 = adwin.rows.iter().flatten().sum();
                assert_eq!((samples as u64, errors), (adwin.width, adwin.errors));
            }
        }
        assert!(alarms > 0);
    }

    #[test]
    fn it_goes_on_from_its_json_as_if_nothing_had_been() {
        let mut whole = Adwin::new(0.002);
        feed(&mut whole, 1, 1003, 0.1);
        let mut parts: Adwin = serde_json::from_str(&serde_json::to_string(&whole).unwrap()).unwrap();
        let alarms = feed(&mut whole, 2, 1000, 0.6);
        assert_eq!(feed(&mut parts, 2, 1000, 0.6), alarms);
        assert!(parts == whole && !alarms.is_empty());
    }
}
