//! The reservoir is a random sample of all that came before, of a fixed size: those whose numbers, drawn by seed and seq,
//! are the smallest. So it does not depend on the order in which samples come, nor on where the stream is cut.

use std::collections::BinaryHeap;

use sample::{Samples, random::Stream};

/// So many samples of those it was offered.
#[derive(Clone, Debug)]
pub(crate) struct Reservoir {
    seed: u64,
    capacity: usize,
    /// Those it holds, the one to go next on top.
    held: BinaryHeap<Held>,
    /// Their labels and pixels, by slot. A sample that goes leaves its slot to the one that comes, so memory stays as it
    /// is once the reservoir is full.
    slots: Samples,
}

/// In the order in which they are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Held {
    number: u64,
    seq: u64,
    slot: usize,
}

impl Reservoir {
    /// An empty one for so many samples.
    pub(crate) fn new(seed: u64, capacity: usize) -> Self {
        Self { seed, capacity, held: BinaryHeap::new(), slots: Samples::default() }
    }

    /// Offers a sample, each seq once; keeps it if its number is among the smallest so far.
    ///
    /// # Panics
    /// If the image has not as many pixels as those before it.
    pub(crate) fn offer(&mut self, seq: u64, label: u8, image: &[u8]) {
        let number = Stream::keyed("tributary reservoir", &[self.seed, seq]).next_u64();
        if self.held.len() < self.capacity {
            self.held.push(Held { number, seq, slot: self.slots.len() });
            self.slots.labels.push(label);
            self.slots.images.extend_from_slice(image);
        } else if let Some(mut last) = self.held.peek_mut()
            && (number, seq) < (last.number, last.seq)
        {
            let slot = last.slot;
            *last = Held { number, seq, slot };
            self.slots.labels[slot] = label;
            self.slots.images[slot * image.len()..][..image.len()].copy_from_slice(image);
        }
    }

    /// How many it holds.
    pub(crate) fn len(&self) -> u64 {
        self.held.len() as u64
    }

    /// Those it holds, as seq, label and pixels, in the order of their seqs.
    pub(crate) fn samples(&self) -> impl Iterator<Item = (u64, u8, &[u8])> {
        let mut held: Vec<Held> = self.held.iter().copied().collect();
        held.sort_unstable_by_key(|held| held.seq);
        held.into_iter().map(|Held { seq, slot, .. }| (seq, self.slots.labels[slot], self.slots.image(slot)))
    }
}

#[cfg(test)]
mod tests {
    use sample::PIXELS;

    use super::*;

    fn offer_all(reservoir: &mut Reservoir, seqs: impl IntoIterator<Item = u64>) {
        seqs.into_iter().for_each(|seq| reservoir.offer(seq, (seq % 10) as u8, &[(seq % 251) as u8; PIXELS]));
    }

    /// The seqs it holds, when each has its own label and pixels.
    #[track_caller]
    fn seqs(reservoir: &Reservoir) -> Vec<u64> {
        for (seq, label, image) in reservoir.samples() {
            assert!(u64::from(label) == seq % 10 && image == [(seq % 251) as u8; PIXELS], "{seq}");
        }
        reservoir.samples().map(|(seq, ..)| seq).collect()
    }

    /// Made with the reference implementation of BLAKE3 in Python (`derive_key_context`), not with this code.
    #[test]
    fn which_samples_a_seed_keeps_never_changes() {
        let mut reservoir = Reservoir::new(42, 8);
        offer_all(&mut reservoir, 0..1000);
        assert_eq!(seqs(&reservoir), [31, 268, 433, 454, 565, 690, 860, 960]);
    }

    #[test]
    fn the_order_of_arrival_does_not_matter() {
        let keeps = |order: &[u64]| {
            let mut reservoir = Reservoir::new(7, 20);
            offer_all(&mut reservoir, order.iter().copied());
            seqs(&reservoir)
        };
        let mut order: Vec<u64> = (100..600).collect();
        let expect = keeps(&order);
        assert_eq!(expect.len(), 20);
        for shuffle in 0..5 {
            Stream::keyed("tributary test", &[shuffle]).shuffle(&mut order);
            assert_eq!(keeps(&order), expect);
        }
    }

    #[test]
    fn it_holds_everything_until_it_is_full_and_then_no_more_memory() {
        let mut reservoir = Reservoir::new(1, 50);
        offer_all(&mut reservoir, 0..50);
        assert_eq!(seqs(&reservoir), (0..50).collect::<Vec<_>>());
        let memory = |reservoir: &Reservoir| (reservoir.slots.images.capacity(), reservoir.held.capacity());
        let full = memory(&reservoir);
        offer_all(&mut reservoir, 50..2000);
        assert_eq!((memory(&reservoir), seqs(&reservoir).len()), (full, 50));
        let mut none = Reservoir::new(1, 0);
        offer_all(&mut none, 0..5);
        assert_eq!(seqs(&none), [0; 0]);
    }

    #[test]
    fn old_and_new_samples_are_kept_alike_and_each_seed_keeps_others() {
        let keeps = |seed| {
            let mut reservoir = Reservoir::new(seed, 100);
            offer_all(&mut reservoir, 0..1000);
            seqs(&reservoir)
        };
        let old: usize = (0..20).map(|seed| keeps(seed).iter().filter(|seq| **seq < 500).count()).sum();
        assert!((900..1100).contains(&old), "{old} of 2000");
        assert_ne!(keeps(1), keeps(2));
    }
}
