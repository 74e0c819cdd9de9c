//! An extent says which samples a stream holds. A stream's positions count its samples from `first` on, and mean seqs: the
//! first `block` positions are consecutive seqs from `first`, the next `block` ones begin `stride` seqs later, and so on.
//! So several senders can deal out the samples of one dataset in turn. Where all is one piece, a position is a seq.

use std::ops::Range;

/// The largest seq and position; columns of numbers are signed where samples are stored.
pub const MAX_SEQ: u64 = i64::MAX as u64;

/// The samples of a stream: positions `first..end`, and the seqs that they mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Extent {
    /// The first position, and its seq.
    pub first: u64,
    /// One past the last position; `None` while the stream may go on for ever.
    pub end: Option<u64>,
    /// Consecutive seqs in a piece.
    pub block: u64,
    /// From the start of a piece to the start of the next.
    pub stride: u64,
}

impl Extent {
    /// All seqs of a range, in one piece.
    pub const fn range(seqs: Range<u64>) -> Extent {
        Extent { first: seqs.start, end: Some(seqs.end), block: 1, stride: 1 }
    }

    /// All seqs from `first` on.
    pub const fn endless(first: u64) -> Extent {
        Extent { first, end: None, block: 1, stride: 1 }
    }

    /// What one of `count` senders gets when they deal out these samples in turn, `block` at a time: the pieces `index`,
    /// `index + count`, … of them.
    ///
    /// # Panics
    /// When there is no such sender, or `block` is 0.
    #[must_use]
    pub fn share(seqs: Range<u64>, block: u64, index: u64, count: u64) -> Extent {
        assert!(index < count && block > 0, "share {index} of {count} in blocks of {block}");
        if count == 1 {
            return Extent::range(seqs);
        }
        let endless = Extent::endless_share(seqs.start, block, index, count);
        let samples = seqs.end.saturating_sub(seqs.start);
        let (cycles, rest) = (samples / endless.stride, samples % endless.stride);
        let held = cycles * block + rest.saturating_sub(endless.first - seqs.start).min(block);
        Extent { end: Some(endless.first + held), ..endless }
    }

    /// The same of samples without an end.
    #[must_use]
    pub fn endless_share(first: u64, block: u64, index: u64, count: u64) -> Extent {
        match count {
            1 => Extent::endless(first),
            _ => {
                let first = first.saturating_add(index.saturating_mul(block));
                Extent { first, end: None, block, stride: block.saturating_mul(count) }
            }
        }
    }

    /// Whether a position is its seq.
    pub fn is_contiguous(&self) -> bool {
        self.block == self.stride
    }

    /// What is wrong with an extent that came from somebody else, as a clause.
    ///
    /// # Errors
    /// When it holds no sample, or cannot be counted.
    pub fn check(&self) -> Result<(), String> {
        let Extent { first, end, block, stride } = *self;
        // One piece is said in one way, so that extents that mean the same are equal.
        let is_one_piece = block == 1 && stride == 1;
        if block == 0 || stride < block || self.is_contiguous() && !is_one_piece {
            return Err(format!("blocks of {block} samples every {stride}"));
        }
        let last = end.map_or(Some(first), |end| end.checked_sub(1).filter(|last| *last >= first));
        let is_counted = last.and_then(|last| self.checked_seq(last)).is_some_and(|seq| seq < MAX_SEQ);
        if !is_counted || end.is_none() && !self.reaches(first + 1) {
            return Err(format!("a stream of samples {self}"));
        }
        Ok(())
    }

    /// The same of an extent that may be empty.
    ///
    /// # Errors
    /// When it cannot be counted.
    pub fn check_even_empty(&self) -> Result<(), String> {
        Extent { end: self.end.filter(|end| *end != self.first), ..*self }.check()
    }

    /// The seq that a position means.
    ///
    /// # Panics
    /// When it is beyond 64 bits; for positions that the stream holds, [`check`](Self::check) has said that it is not.
    pub fn seq(&self, position: u64) -> u64 {
        self.checked_seq(position).expect("a stream's seqs were checked")
    }

    /// Whether the seq of this position, and all before it, can be counted.
    pub fn reaches(&self, position: u64) -> bool {
        position <= MAX_SEQ && self.checked_seq(position).is_some_and(|seq| seq <= MAX_SEQ)
    }

    /// One past the last position that the stream can hold: its end, or how far seqs can be counted. For an extent that was
    /// [checked](Self::check).
    pub fn limit(&self) -> u64 {
        let Extent { first, end, block, stride } = *self;
        end.unwrap_or_else(|| {
            let room = MAX_SEQ.saturating_sub(first);
            first + room / stride * block + (room % stride).min(block - 1)
        })
    }

    fn checked_seq(&self, position: u64) -> Option<u64> {
        let index = position.checked_sub(self.first)?;
        self.first.checked_add((index / self.block).checked_mul(self.stride)?)?.checked_add(index % self.block)
    }

    /// The pieces of consecutive seqs that these positions mean: the first seq of each, and how many.
    pub fn pieces(self, positions: Range<u64>) -> impl Iterator<Item = (u64, u64)> {
        let mut at = positions.start;
        std::iter::from_fn(move || {
            if at >= positions.end {
                return None;
            }
            let left = match self.is_contiguous() {
                true => positions.end - at,
                false => (self.block - (at - self.first) % self.block).min(positions.end - at),
            };
            let piece = (self.seq(at), left);
            at += left;
            Some(piece)
        })
    }

    /// The seqs that these positions mean, one by one.
    pub fn seqs(self, positions: Range<u64>) -> impl Iterator<Item = u64> {
        self.pieces(positions).flat_map(|(first, held)| first..first + held)
    }
}

/// `5..20`, `5..`, `10..20 in blocks of 5 every 15`
impl std::fmt::Display for Extent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Extent { first, end, block, stride } = self;
        let end = end.map(|end| end.to_string()).unwrap_or_default();
        write!(f, "{first}..{end}")?;
        if self.is_contiguous() { Ok(()) } else { write!(f, " in blocks of {block} every {stride}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_hold_every_sample_once_whatever_their_number() {
        for (samples, block, count) in [(11, 3, 3), (20, 500, 1), (1000, 7, 4), (5, 1, 5), (28, 7, 4), (3, 2, 2)] {
            let shares = (0..count).map(|index| Extent::share(5..5 + samples, block, index, count));
            let mut seqs: Vec<u64> = shares.flat_map(|share| share.seqs(share.first..share.end.unwrap())).collect();
            seqs.sort_unstable();
            assert_eq!(seqs, (5..5 + samples).collect::<Vec<_>>(), "{samples} {block} {count}");
        }
    }

    #[test]
    fn a_position_counts_a_streams_samples_and_means_a_seq() {
        let dealt = Extent { first: 10, end: Some(17), block: 3, stride: 9 };
        assert_eq!((10..17).map(|position| dealt.seq(position)).collect::<Vec<_>>(), [10, 11, 12, 19, 20, 21, 28]);
        assert_eq!(dealt.pieces(11..17).collect::<Vec<_>>(), [(11, 2), (19, 3), (28, 1)]);
        assert_eq!(Extent::range(4..9).pieces(5..9).collect::<Vec<_>>(), [(5, 4)]);
        assert_eq!(
            (dealt.to_string(), Extent::endless(7).to_string()),
            ("10..17 in blocks of 3 every 9".into(), "7..".into())
        );
    }

    #[test]
    fn an_extent_that_cannot_be_is_refused() {
        let base = Extent { first: 1, end: Some(9), block: 2, stride: 6 };
        assert_eq!(base.check(), Ok(()));
        assert_eq!(Extent { end: None, ..base }.check(), Ok(()));
        for bad in [
            Extent { block: 0, ..base },
            Extent { stride: 1, ..base },
            Extent { end: Some(1), ..base },
            Extent { end: Some(0), ..base },
            Extent::range(0..0),
            Extent { stride: 2, ..base },
            Extent { end: Some(u64::MAX), ..base },
            Extent { first: u64::MAX, end: None, ..base },
            Extent { first: 1, end: None, block: 1, stride: MAX_SEQ },
            Extent { stride: u64::MAX, ..base },
        ] {
            assert!(bad.check().is_err(), "{bad}");
        }
        assert!(
            Extent::range(5..5).check_even_empty().is_ok() && Extent { block: 0, ..base }.check_even_empty().is_err()
        );
        assert!(!base.reaches(u64::MAX) && base.reaches(100));
    }

    #[test]
    fn a_stream_without_an_end_holds_what_can_be_counted() {
        for (first, block, stride) in
            [(0, 1, 1), (7, 1, 1), (7, 2, 6), (7, 5, 7), (7, 1 << 61, 1 << 62), (7, 2, MAX_SEQ)]
        {
            let endless = Extent { first, end: None, block, stride };
            assert!(endless.check().is_ok() && endless.reaches(endless.limit()), "{endless}");
            assert!(!endless.reaches(endless.limit() + 1), "{endless}");
        }
        assert_eq!(Extent::range(3..9).limit(), 9);
    }
}
