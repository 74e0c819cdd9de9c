//! The stream that is sent: which samples it holds, and where they come from.

use std::ops::Range;

use dataset::Supply;
use sample::{Extent, Samples};

/// One stream, and all that a session needs to know of it.
#[derive(Clone, Debug)]
pub struct Source {
    /// Names the stream at the receiver.
    pub stream: String,
    /// The dataset's name.
    pub dataset: String,
    /// The dataset's digest.
    pub dataset_digest: [u8; 32],
    /// Which samples the stream holds.
    pub extent: Extent,
    /// Where they come from.
    pub supply: Supply,
}

impl Source {
    /// The samples at these positions, in order.
    pub(crate) fn samples(&self, positions: Range<u64>) -> Samples {
        let mut samples = Samples::default();
        for (first, count) in self.extent.pieces(positions) {
            self.supply.gather(first..first + count, &mut samples);
        }
        samples
    }
}

#[cfg(test)]
mod tests {
    use sample::PIXELS;

    use super::*;

    fn source(extent: Extent, first: u64, labels: &[u8]) -> Source {
        let images = labels.iter().flat_map(|label| [*label; PIXELS]).collect();
        let supply = Supply::new(first, Samples { labels: labels.to_vec(), images });
        Source { stream: "s".into(), dataset: "d".into(), dataset_digest: [0; 32], extent, supply }
    }

    #[track_caller]
    fn check(source: &Source, positions: Range<u64>, labels: &[u8]) {
        let samples = source.samples(positions);
        assert_eq!(samples.labels, labels);
        assert!(samples.as_slice().iter().all(|(label, image)| image == [label; PIXELS]));
    }

    #[test]
    fn a_position_brings_the_sample_whose_seq_it_means() {
        let whole = source(Extent::range(5..9), 5, &[5, 6, 7, 8]);
        check(&whole, 6..9, &[6, 7, 8]);
        let dealt = source(Extent::share(0..8, 2, 1, 2), 0, &[0, 1, 2, 3, 4, 5, 6, 7]);
        check(&dealt, 2..6, &[2, 3, 6, 7]);
        check(&dealt, 3..5, &[3, 6]);
    }

    #[test]
    fn a_dataset_without_an_end_begins_anew_after_its_last_sample() {
        let endless = source(Extent::endless(1), 0, &[0, 1, 2]);
        check(&endless, 1..9, &[1, 2, 0, 1, 2, 0, 1, 2]);
        check(&endless, 3_000_001..3_000_003, &[1, 2]);
        let dealt = source(Extent::endless_share(0, 2, 1, 2), 0, &[0, 1, 2]);
        check(&dealt, 2..7, &[2, 0, 0, 1, 1]); // Seqs 2, 3, 6, 7 and 10.
    }
}
