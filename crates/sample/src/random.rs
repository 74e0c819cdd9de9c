//! A stream is an endless sequence of random numbers that depends on its key and on nothing else.
//!
//! Initial weights, shuffles and drawn digits all come from here. There is no generator state to carry from one
//! place to the next: a stream is opened by name ("the shuffle of round 3, partition 7") wherever it is needed,
//! so results do not depend on the order, the thread or the machine in which work is done.
//!
//! Why not the `rand` crate: it promises neither the same shuffles nor the same ranges from one version to the
//! next, and here the same seed must give the same bits for as long as a recorded model hash is to mean
//! something. BLAKE3 in its extendable-output mode is specified to the bit, and the rest is a few lines.

use blake3::{Hasher, OutputReader};

/// Random numbers for one key. Every method is part of the project's reproducibility: changing how many numbers
/// one of them takes, or in which order, changes every model hash.
#[derive(Debug, Clone)]
pub struct Stream {
    output: OutputReader,
    block: [u8; BLOCK],
    used: usize,
}

/// BLAKE3 makes its output in blocks of this many bytes.
const BLOCK: usize = 64;

impl Stream {
    /// Opens the stream of `key` within `context`, which should be a constant that says what the numbers are for
    /// ("tributary shuffle"), so that two uses of the same seed never see the same numbers.
    ///
    /// The output is that of `blake3::derive_key` mode: the context is `context`, the key material is every word
    /// of `key` as eight little-endian bytes.
    pub fn keyed(context: &str, key: &[u64]) -> Self {
        let mut hasher = Hasher::new_derive_key(context);
        for word in key {
            hasher.update(&word.to_le_bytes());
        }
        Self { output: hasher.finalize_xof(), block: [0; BLOCK], used: BLOCK }
    }

    /// The next eight bytes of the stream, little-endian.
    pub fn next_u64(&mut self) -> u64 {
        if self.used == BLOCK {
            self.output.fill(&mut self.block);
            self.used = 0;
        }
        let mut word = [0; 8];
        word.copy_from_slice(&self.block[self.used..self.used + 8]);
        self.used += 8;
        u64::from_le_bytes(word)
    }

    /// A number below `n`, each as likely as the next one to within `n / 2^64`.
    ///
    /// # Panics
    /// If `n` is zero: there is no number below zero.
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "no number is below zero");
        ((u128::from(self.next_u64()) * u128::from(n)) >> 64) as u64
    }

    /// A number in `[0, 1)`, one of the 2^24 evenly spaced ones, all of which `f32` holds exactly.
    pub fn unit_f32(&mut self) -> f32 {
        (self.next_u64() >> 40) as f32 / (1u32 << 24) as f32
    }

    /// A number between `low` and `high`.
    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit_f32()
    }

    /// Puts `items` into a random order (Fisher-Yates, from the end).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last as u64 + 1) as usize;
            items.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with the reference implementation of BLAKE3 in Python (`derive_key_context`), not with this code.
    #[test]
    fn the_numbers_of_a_key_never_change() {
        let mut stream = Stream::keyed("tributary test", &[42, 7]);
        let words: Vec<u64> = (0..10).map(|_| stream.next_u64()).collect();
        assert_eq!(words, WORDS);
    }

    #[test]
    fn ranges_units_and_shuffles_of_a_key_never_change() {
        let mut stream = Stream::keyed("tributary test", &[42, 7]);
        assert_eq!([0; 10].map(|_| stream.below(1000)), BELOW_1000);

        let mut stream = Stream::keyed("tributary test", &[42, 7]);
        assert_eq!([0; 4].map(|_| stream.unit_f32().to_bits()), UNITS);

        let mut items: Vec<u32> = (0..10).collect();
        Stream::keyed("tributary test", &[42, 7]).shuffle(&mut items);
        assert_eq!(items, SHUFFLED);
    }

    #[test]
    fn context_and_every_key_word_tell_streams_apart() {
        let first = |context, key: &[u64]| Stream::keyed(context, key).next_u64();
        let base = first("a", &[1, 2]);
        for other in [first("b", &[1, 2]), first("a", &[1, 3]), first("a", &[2, 1]), first("a", &[1, 2, 0])] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn a_shuffle_keeps_every_item_and_reaches_every_order() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let mut items = [1, 2, 3];
            Stream::keyed("tributary test", &[seed]).shuffle(&mut items);
            seen.insert(items);
        }
        assert_eq!(seen.len(), 6);
    }

    #[test]
    fn units_lie_between_zero_and_one_with_the_right_mean() {
        let mut stream = Stream::keyed("tributary test", &[]);
        let units: Vec<f32> = (0..10_000).map(|_| stream.unit_f32()).collect();
        assert!(units.iter().all(|u| (0.0..1.0).contains(u)));
        let mean = units.iter().sum::<f32>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.02, "mean {mean}");
    }

    const WORDS: [u64; 10] = [
        0x04482ebd25f28e5f,
        0x7030245568df8a1d,
        0xadc3a7fa8d6a5fb3,
        0x27583dbd6b9daeda,
        0x3cb265c6f15cd7ca,
        0x8bca34fbe4b8b737,
        0x999cea3937f7b66c,
        0x1294e0d3ef879df1,
        0xd17b55923fa61299,
        0xdd7adfd8738e48ee,
    ];
    const BELOW_1000: [u64; 10] = [16, 438, 678, 153, 237, 546, 600, 72, 818, 865];
    const UNITS: [u32; 4] = [0x3c8905c0, 0x3ee06048, 0x3f2dc3a7, 0x3e1d60f4];
    const SHUFFLED: [u32; 10] = [8, 7, 9, 4, 2, 6, 1, 5, 3, 0];
}
