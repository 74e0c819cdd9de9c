//! Where every sample belongs, worked out from the streams that hold them, without a look at the samples themselves.

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
    /// Places the samples of these streams, as [`partition::shuffled`] assigns them.
    pub(super) fn new(streams: &[StreamEntry], seed: u64, partitions: usize) -> Placement {
        let numbered = |(stream, entry): (usize, &StreamEntry)| {
            entry.seqs().zip(0..).map(move |(seq, index)| (seq, stream as u32, index))
        };
        let mut canonical: Vec<(u64, u32, u32)> = streams.iter().enumerate().flat_map(numbered).collect();
        canonical.sort_unstable();
        let length = |entry: &StreamEntry| vec![0; entry.samples() as usize];
        let mut places: Vec<Vec<u32>> = streams.iter().map(length).collect();
        let Assignment { order, ranges } = partition::shuffled(canonical.len(), seed, partitions);
        for (place, index) in (0..).zip(order) {
            let (_, stream, index) = canonical[index as usize];
            places[stream as usize][index as usize] = place;
        }
        Placement { streams: streams.iter().cloned().zip(places).collect(), ranges }
    }
}

#[cfg(test)]
mod tests {
    use sample::Extent;

    use super::*;

    #[test]
    fn every_sample_gets_the_place_that_it_has_in_process() {
        // Streams that overlap, that do not stand in the order of their names, and one in pieces.
        let dealt = Extent { first: 2, end: Some(12), block: 3, stride: 7 };
        let extents = [Extent::range(30..45), Extent::range(5..20), Extent::range(10..33), dealt];
        let streams = ["a", "b", "c", "d"].iter().zip(extents).map(|(name, extent)| StreamEntry::new(*name, extent));
        let streams: Vec<StreamEntry> = streams.collect();
        let mut canonical: Vec<(u64, usize)> =
            (0..).zip(&streams).flat_map(|(i, entry)| entry.seqs().map(move |seq| (seq, i))).collect();
        canonical.sort_unstable();
        let Assignment { order, ranges } = partition::shuffled(canonical.len(), 42, 7);
        let placement = Placement::new(&streams, 42, 7);
        for (place, index) in (0..).zip(order) {
            let (seq, stream) = canonical[index as usize];
            let (entry, places) = &placement.streams[stream];
            assert_eq!(places[entry.seqs().position(|held| held == seq).unwrap()], place);
        }
        assert_eq!(placement.ranges, ranges);
    }
}
