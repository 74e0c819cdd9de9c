//! Where every sample belongs, worked out from the manifest alone: the driver of a cluster never sees the samples.

use std::ops::Range;

use store::StreamEntry;

use crate::round::partition::{self, Assignment};

#[derive(Debug)]
pub(super) struct Placement {
    /// For each stream, by name: the place of each of its samples when all partitions stand end to end.
    pub(super) streams: Vec<(StreamEntry, Vec<u32>)>,
    pub(super) ranges: Vec<Range<usize>>,
}

impl Placement {
    /// Places the samples of these streams, which are sorted by name, as [`partition::shuffled`] assigns them.
    pub(super) fn new(streams: &[StreamEntry], seed: u64, partitions: usize) -> Placement {
        let all = streams.iter().enumerate();
        let mut canonical: Vec<(u64, u32)> =
            all.flat_map(|(stream, entry)| (entry.first..entry.end).map(move |seq| (seq, stream as u32))).collect();
        canonical.sort_unstable();
        let length = |entry: &StreamEntry| vec![0; (entry.end - entry.first) as usize];
        let mut places: Vec<Vec<u32>> = streams.iter().map(length).collect();
        let Assignment { order, ranges } = partition::shuffled(canonical.len(), seed, partitions);
        for (place, index) in (0..).zip(order) {
            let (seq, stream) = canonical[index as usize];
            places[stream as usize][(seq - streams[stream as usize].first) as usize] = place;
        }
        Placement { streams: streams.iter().cloned().zip(places).collect(), ranges }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_gets_the_place_that_it_has_in_process() {
        let entry = |name: &str, first, end| StreamEntry { name: name.into(), first, end };
        // Streams that overlap, and that do not stand in the order of their names.
        let streams = [entry("a", 30, 45), entry("b", 5, 20), entry("c", 10, 33)];
        let mut canonical: Vec<(u64, usize)> =
            (0..).zip(&streams).flat_map(|(i, entry)| (entry.first..entry.end).map(move |seq| (seq, i))).collect();
        canonical.sort_unstable();
        let Assignment { order, ranges } = partition::shuffled(canonical.len(), 42, 7);
        let placement = Placement::new(&streams, 42, 7);
        for (place, index) in (0..).zip(order) {
            let (seq, stream) = canonical[index as usize];
            let (entry, places) = &placement.streams[stream];
            assert_eq!(places[(seq - entry.first) as usize], place);
        }
        assert_eq!(placement.ranges, ranges);
    }
}
