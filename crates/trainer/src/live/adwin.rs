//! ADWIN sees when a stream of errors changes its mean, with no window length to choose: it keeps all errors since the last
//! change, and looks at every cut of them into an older and a newer part, whether the two differ by more than chance allows
//! (Bifet and Gavaldà, "Learning from time-changing data with adaptive windowing", 2007).
//!
//! It does as River's `drift.ADWIN`, with the same defaults, and as that one begins anew after a change. The paper's drops
//! old errors one bucket at a time instead, and reports one change several times over. As errors are 0 or 1, the number of
//! them says all, also the variance, and the state is whole numbers.

use serde::{Deserialize, Serialize};

/// Buckets of one size; one more, and the two oldest of that size become one. MOA and River have the same number.
const BUCKETS: usize = 5;
/// Every so many samples it looks for a change.
const CHECK_EVERY: u64 = 32;
/// Each part of a cut has at least so many samples.
const MIN_PART: u64 = 5;
/// More rows than samples can fill that are counted by a `u64`.
const MAX_ROWS: usize = 63;

/// The detector, with the errors that it keeps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Adwin {
    /// δ: how likely it may be to see a change where there is none.
    delta: f64,
    /// The errors as a histogram of exponential sizes: a bucket of row r stands for 2^r samples, and is the number of
    /// errors among them. A higher row is older, and within a row the first is the oldest.
    rows: Vec<Vec<u64>>,
    /// Samples since the last change.
    pub(super) samples: u64,
    /// Errors among them.
    errors: u64,
}

impl Adwin {
    /// A detector that has seen nothing.
    pub(crate) fn new(delta: f64) -> Self {
        Self { delta, rows: Vec::new(), samples: 0, errors: 0 }
    }

    /// Takes whether the next prediction was wrong; says whether the errors are seen to have become more. When they have
    /// become fewer it begins anew, too, but a model that gets better is no cause for alarm. MOA's detector makes the same
    /// difference.
    pub(crate) fn update(&mut self, is_error: bool) -> bool {
        self.insert(u64::from(is_error));
        if !self.samples.is_multiple_of(CHECK_EVERY) {
            return false;
        }
        let Some(change) = self.change() else { return false };
        *self = Self::new(self.delta);
        change > 0.0
    }

    /// Whether it can have come of this new one by so many samples; for one from a file, which anybody may have written.
    pub(super) fn is_sound(&self, new: &Self, samples: u64) -> bool {
        let fits = |(row, buckets): (usize, &Vec<u64>)| {
            buckets.len() <= BUCKETS && buckets.iter().all(|errors| *errors <= 1 << row)
        };
        let held = self.rows.iter().enumerate().take(MAX_ROWS).map(|(row, buckets)| (buckets.len() as u128) << row);
        let errors = self.rows.iter().flatten().map(|errors| u128::from(*errors));
        self.rows.len() <= MAX_ROWS
            && self.rows.iter().enumerate().all(fits)
            && held.sum::<u128>() == u128::from(self.samples)
            && errors.sum::<u128>() == u128::from(self.errors)
            && self.samples <= samples
            && self.delta == new.delta
    }

    fn insert(&mut self, errors: u64) {
        self.samples += 1;
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

    /// By how much the mean has changed at the oldest cut whose parts are too unlike; `None` if there is no such cut.
    fn change(&self) -> Option<f64> {
        let (mut samples, mut errors) = (0, 0);
        for (row, buckets) in self.rows.iter().enumerate().rev() {
            for bucket in buckets {
                samples += 1 << row;
                errors += bucket;
                let change = self.change_at(samples, errors);
                if change.is_some() {
                    return change;
                }
            }
        }
        None
    }

    /// By how much the mean has changed since the oldest so many samples, with so many errors, if that is more than the
    /// paper's bound from the variance (its equation 3.1), with the samples of each part counted as River does.
    fn change_at(&self, samples: u64, errors: u64) -> Option<f64> {
        let newer = self.samples - samples;
        if samples < MIN_PART || newer < MIN_PART {
            return None;
        }
        let mean = self.errors as f64 / self.samples as f64;
        let variance = mean * (1.0 - mean);
        let part = |samples: u64| 1.0 / (samples - MIN_PART + 1) as f64;
        let parts = part(samples) + part(newer);
        let confidence = libm::log(2.0 * libm::log(self.samples as f64) / self.delta);
        let bound = (2.0 * parts * variance * confidence).sqrt() + 2.0 / 3.0 * confidence * parts;
        let change = (self.errors - errors) as f64 / newer as f64 - errors as f64 / samples as f64;
        (change.abs() > bound).then_some(change)
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
    fn errors_that_become_more_are_seen_soon_and_once() {
        for (seed, before, after, within) in [(1, 0.02, 0.5, 64), (2, 0.1, 0.3, 300), (3, 0.0, 1.0, 64)] {
            let mut adwin = Adwin::new(0.002);
            assert_eq!(feed(&mut adwin, seed, 2000, before), [0; 0], "{before}");
            assert_eq!(adwin.samples, 2000);
            let alarms = feed(&mut adwin, seed + 100, 2000, after);
            assert!(alarms.len() == 1 && alarms[0] <= within, "{before} to {after}: {alarms:?}");
            assert_eq!(adwin.samples, 2000 - alarms[0]);
        }
    }

    #[test]
    fn errors_that_become_fewer_raise_no_alarm_but_are_a_new_beginning() {
        let mut adwin = Adwin::new(0.002);
        feed(&mut adwin, 1, 2000, 0.9);
        for (seed, mean) in [(2, 0.4), (3, 0.05)] {
            assert_eq!(feed(&mut adwin, seed, 2000, mean), [0; 0], "{mean}");
            assert!((1900..2000).contains(&adwin.samples), "{}", adwin.samples);
        }
    }

    #[test]
    fn where_nothing_changes_nothing_is_seen_and_memory_stays_small() {
        for mean in [0.0, 0.01, 0.5, 1.0] {
            let mut adwin = Adwin::new(0.002);
            assert_eq!(feed(&mut adwin, 7, 100_000, mean), [0; 0], "{mean}");
            assert_eq!(adwin.samples, 100_000);
            assert!(adwin.rows.len() <= 16 && adwin.rows.iter().all(|row| row.len() <= BUCKETS));
        }
    }

    #[test]
    fn the_buckets_hold_every_sample_once() {
        let mut adwin = Adwin::new(0.002);
        let mut alarms = 0;
        for (seed, mean) in [(1, 0.5), (2, 0.1), (3, 0.7)] {
            for part in 0..20 {
                alarms += feed(&mut adwin, 100 * seed + part, 77, mean).len();
                let samples: usize = adwin.rows.iter().enumerate().map(|(row, buckets)| buckets.len() << row).sum();
                let errors: u64 = adwin.rows.iter().flatten().sum();
                assert_eq!((samples as u64, errors), (adwin.samples, adwin.errors));
            }
        }
        assert_eq!(alarms, 1);
    }

    #[test]
    fn rows_that_no_errors_fill_are_found() {
        let new = Adwin::new(0.002);
        let with = |rows: Vec<Vec<u64>>, samples, errors| Adwin { rows, samples, errors, ..new.clone() };
        for (forged, samples, is_sound) in [
            (new.clone(), 0, true),
            (with(vec![vec![1, 0], vec![2]], 4, 3), 4, true),
            (with(vec![vec![1, 0], vec![2]], 4, 3), 3, false),
            (with(vec![vec![1, 0], vec![2]], 5, 3), 9, false),
            (with(vec![vec![1, 0], vec![2]], 4, 2), 9, false),
            (with(vec![vec![2]], 1, 2), 9, false),
            (with(vec![vec![0; BUCKETS + 1]], 6, 0), 9, false),
            (with(vec![Vec::new(); MAX_ROWS], 0, 0), 9, true),
            (with(vec![Vec::new(); MAX_ROWS + 1], 0, 0), 9, false),
            (with(vec![Vec::new(); 200], 0, 0), 9, false),
            (Adwin::new(0.5), 0, false),
        ] {
            assert_eq!(forged.is_sound(&new, samples), is_sound, "{forged:?}");
        }
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
