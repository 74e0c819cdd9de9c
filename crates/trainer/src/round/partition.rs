//! A partition is one of P disjoint parts of the data, trained on by itself within a round. Which samples it gets is a
//! pure function of the canonical order, the seed and P, the *partitioner*: no engine, thread or machine has a say in it.

use std::ops::Range;

use process::exit::Code;
use sample::random::Stream;
use terminal::count;

/// All of a round's updates are in memory until they are averaged, at 1.69 MB of weights each: 1.7 GB for this many.
const MAX_PARTITIONS: u32 = 1024;

/// Refuses numbers of partitions that cannot be.
pub(crate) fn check_count(partitions: u32, samples: u64) -> anyhow::Result<()> {
    if partitions > MAX_PARTITIONS {
        fail!(
            Code::Usage,
            "the models of {partitions} partitions do not fit into memory together; give --partitions {MAX_PARTITIONS} \
             or fewer"
        );
    }
    if u64::from(partitions) > samples {
        let given = count(samples, "sample");
        fail!(Code::Usage, "{given} cannot fill {partitions} partitions; give --partitions {samples} or fewer");
    }
    Ok(())
}

/// Who gets which samples. Every sample is in exactly one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Assignment {
    /// The samples by their indices in canonical order, the partitions end to end.
    pub(crate) order: Vec<u32>,
    pub(crate) ranges: Vec<Range<usize>>,
}

/// The partitioner: a seeded shuffle, cut into `count` partitions, of which the first `total % count` have one sample more.
pub(crate) fn shuffled(total: usize, seed: u64, count: usize) -> Assignment {
    assert!(count > 0, "at least one partition");
    let mut order: Vec<u32> = (0..total as u32).collect();
    Stream::keyed("tributary partitions", &[seed]).shuffle(&mut order);
    let start = |part: usize| part * (total / count) + part.min(total % count);
    Assignment { order, ranges: (0..count).map(|part| start(part)..start(part + 1)).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Received, example};

    #[test]
    fn partitions_are_disjoint_and_complete_and_their_sizes_differ_by_at_most_one() {
        for (total, count) in [(300, 7), (300, 1), (5, 5), (301, 300)] {
            let Assignment { mut order, ranges } = shuffled(total, 42, count);
            let sizes: Vec<usize> = ranges.iter().map(Range::len).collect();
            assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{sizes:?}");
            assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start) && ranges[count - 1].end == total);
            order.sort_unstable();
            assert_eq!(order, (0..total as u32).collect::<Vec<_>>());
        }
    }

    #[test]
    fn labels_stay_with_their_images() {
        let samples = example(50);
        let assignment = shuffled(50, 1, 3);
        let gathered = Received::of(samples.clone()).gather(&assignment.order);
        for (place, &index) in assignment.order.iter().enumerate() {
            let index = index as usize;
            assert_eq!((gathered.labels[place], gathered.image(place)), (samples.labels[index], samples.image(index)));
        }
    }

    #[test]
    fn the_seed_and_nothing_else_decides_who_gets_what() {
        let members = |seed| shuffled(100, seed, 4).order[50..75].to_vec();
        assert_eq!(members(1), members(1));
        assert_ne!(members(1), members(2));
        assert_ne!(members(1), (50..75).collect::<Vec<_>>(), "the data is shuffled before it is cut");
    }
}
