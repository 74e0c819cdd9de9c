//! A share is what one of several senders sends when they deal out samples in turn, batch by batch.

use std::{fmt, ops::Range, str::FromStr};

use crate::Extent;

/// The share of sender `index` of `count`, counted from 0. It is written `1/3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    index: u64,
    count: u64,
}

impl Share {
    /// All of it, for one sender.
    pub const WHOLE: Share = Share { index: 0, count: 1 };

    /// The share of sender `index` of `count`; `None` if there is no such sender.
    pub fn new(index: u64, count: u64) -> Option<Share> {
        (index < count).then_some(Share { index, count })
    }

    /// Which one it is, from 0.
    pub fn index(self) -> u64 {
        self.index
    }

    /// How many share the samples.
    pub fn count(self) -> u64 {
        self.count
    }

    /// What this sender sends of these samples. They are dealt out in batches, or in fewer samples at a time where there are
    /// not so many that each sender gets a whole batch.
    pub fn extent(self, seqs: Range<u64>, samples_per_batch: u64) -> Extent {
        let fair = seqs.end.saturating_sub(seqs.start) / self.count;
        Extent::share(seqs, samples_per_batch.min(fair).max(1), self.index, self.count)
    }

    /// What this sender sends of all samples from `first` on.
    pub fn endless(self, first: u64, samples_per_batch: u64) -> Extent {
        Extent::endless_share(first, samples_per_batch.max(1), self.index, self.count)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Share, String> {
        let parsed =
            text.split_once('/').and_then(|(index, count)| Share::new(index.parse().ok()?, count.parse().ok()?));
        parsed.ok_or_else(|| "give I/N, counted from 0: the first of three senders has 0/3, the last 2/3".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_written_as_it_is_read() {
        let share: Share = "1/3".parse().unwrap();
        assert_eq!((share, share.to_string()), (Share { index: 1, count: 3 }, "1/3".into()));
        for text in ["3/3", "0/0", "1", "1/", "-1/3", "a/b", ""] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
    }

    #[test]
    fn samples_are_dealt_out_in_batches_that_leave_nobody_without() {
        let [first, last] = [0, 2].map(|index| Share { index, count: 3 });
        let dealt = |first, end, block| Extent { first, end: Some(end), block, stride: 3 * block };
        assert_eq!(first.extent(5..2005, 500), dealt(5, 1005, 500));
        assert_eq!(last.extent(5..2005, 500), dealt(1005, 1505, 500));
        assert_eq!(last.extent(5..105, 500), dealt(71, 104, 33));
        assert_eq!(Share::WHOLE.extent(5..105, 500), Extent::range(5..105));
        assert_eq!(last.endless(5, 500), Extent { end: None, ..dealt(1005, 0, 500) });
    }
}
