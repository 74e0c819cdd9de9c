//! A partition is one of P disjoint parts of the data, trained on by itself within a round. Which samples it gets is a
//! pure function of the canonical order, the seed and P: no engine, thread or machine has a say in it.

use std::ops::Range;

use dataset::{PIXELS, random::Stream};

use crate::data::{Samples, Slice};

/// All partitions. Every sample is in exactly one of them, and their sizes differ by at most one.
#[derive(Debug)]
pub struct Partitions {
    /// The partitions end to end, so that each is a slice.
    samples: Samples,
    ranges: Vec<Range<usize>>,
}

impl Partitions {
    /// Cuts `samples`, which must be in canonical order, into `count` partitions: a seeded shuffle, then cuts.
    ///
    /// # Panics
    /// If `count` is zero: there would be no place for the samples.
    pub fn cut(samples: Samples, seed: u64, count: usize) -> Self {
        assert!(count > 0, "at least one partition");
        Self { samples: samples.reordered(&order(samples.len(), seed)), ranges: ranges(samples.len(), count) }
    }

    /// The samples of partition `index`.
    pub fn get(&self, index: usize) -> Slice<'_> {
        let range = self.ranges[index].clone();
        Slice {
            labels: &self.samples.labels[range.clone()],
            images: &self.samples.images[range.start * PIXELS..range.end * PIXELS],
        }
    }

    /// Number of partitions.
    pub fn count(&self) -> usize {
        self.ranges.len()
    }

    /// The samples of all partitions, one partition after the other.
    pub fn all(&self) -> &Samples {
        &self.samples
    }
}

/// The samples in the order in which they are cut: by their indices in canonical order.
pub(crate) fn order(total: usize, seed: u64) -> Vec<u32> {
    let mut order: Vec<u32> = (0..total as u32).collect();
    Stream::keyed("tributary partitions", &[seed]).shuffle(&mut order);
    order
}

/// Cuts `0..total` into `count` ranges; the first `total % count` of them are longer by one.
pub(crate) fn ranges(total: usize, count: usize) -> Vec<Range<usize>> {
    let start = |part: usize| part * (total / count) + part.min(total % count);
    (0..count).map(|part| start(part)..start(part + 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Samples whose pixels hold their own index.
    fn numbered(count: u16) -> Samples {
        let image = |i: u16| i.to_le_bytes().into_iter().chain([0; PIXELS - 2]);
        Samples { labels: (0..count).map(|i| (i % 10) as u8).collect(), images: (0..count).flat_map(image).collect() }
    }

    fn indices(slice: Slice<'_>) -> Vec<u16> {
        slice.images.chunks(PIXELS).map(|image| u16::from_le_bytes([image[0], image[1]])).collect()
    }

    #[test]
    fn partitions_are_disjoint_and_complete_and_their_sizes_differ_by_at_most_one() {
        for (total, count) in [(300, 7), (300, 1), (5, 5), (301, 300)] {
            let partitions = Partitions::cut(numbered(total), 42, count);
            let sizes: Vec<usize> = (0..count).map(|part| partitions.get(part).len()).collect();
            assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{sizes:?}");
            let mut seen: Vec<u16> = (0..count).flat_map(|part| indices(partitions.get(part))).collect();
            seen.sort_unstable();
            assert_eq!(seen, (0..total).collect::<Vec<_>>());
        }
    }

    #[test]
    fn labels_stay_with_their_images() {
        let partitions = Partitions::cut(numbered(50), 1, 3);
        for part in 0..3 {
            let slice = partitions.get(part);
            assert!(indices(slice).iter().zip(slice.labels).all(|(i, &label)| i % 10 == u16::from(label)));
        }
    }

    #[test]
    fn the_seed_and_nothing_else_decides_who_gets_what() {
        let members = |seed| indices(Partitions::cut(numbered(100), seed, 4).get(2));
        assert_eq!(members(1), members(1));
        assert_ne!(members(1), members(2));
        assert_ne!(members(1), (50..75).collect::<Vec<_>>(), "the data is shuffled before it is cut");
    }
}
