//! What identifies data: a number of 256 bits that depends on every label and pixel and on each sample's index in the
//! dataset. It is a sum over the samples, so it is the same in whatever order they come, and parts of the data that lie
//! on different machines are digested where they are and added.

use std::{fmt, iter::Sum, str::FromStr};

/// The sum, modulo 2^256, of the BLAKE3 digests of samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest([u64; 4]);

impl Digest {
    /// The digest of one sample: its index in the dataset, its label and its pixels.
    pub fn of(seq: u64, label: u8, image: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("tributary sample");
        hasher.update(&seq.to_le_bytes()).update(&[label]).update(image);
        let hash = hasher.finalize();
        let (words, _) = hash.as_bytes().as_chunks();
        Digest(std::array::from_fn(|i| u64::from_le_bytes(words[i])))
    }
}

impl Sum for Digest {
    fn sum<I: Iterator<Item = Digest>>(digests: I) -> Digest {
        digests.fold(Digest::default(), |Digest(mut sum), Digest(more)| {
            let mut carry = false;
            for (word, more) in sum.iter_mut().zip(more) {
                (*word, carry) = word.carrying_add(more, carry);
            }
            Digest(sum)
        })
    }
}

/// 64 hex digits.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().rev().try_for_each(|word| write!(f, "{word:016x}"))
    }
}

impl FromStr for Digest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err("a digest is 64 hex digits".into());
        }
        let word = |i: usize| u64::from_str_radix(&text[16 * i..16 * i + 16], 16).expect("these are hex digits");
        Ok(Digest([word(3), word(2), word(1), word(0)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_a_sum_with_carries_and_comes_back_from_its_text() {
        let max = Digest([u64::MAX, u64::MAX, 1, 0]);
        assert_eq!([max, Digest([1, 0, 0, 0])].into_iter().sum::<Digest>(), Digest([0, 0, 2, 0]));
        assert_eq!([max, max].into_iter().sum::<Digest>(), Digest([u64::MAX - 1, u64::MAX, 3, 0]));
        let digest = Digest::of(7, 3, &[1, 2]);
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!(Digest([1, 0, 0, 0]).to_string(), format!("{:064x}", 1));
        assert!(digest.to_string()[1..].parse::<Digest>().is_err());
    }

    #[test]
    fn every_part_of_a_sample_counts_and_the_order_of_samples_does_not() {
        let base = Digest::of(7, 3, &[1, 2]);
        for other in [Digest::of(8, 3, &[1, 2]), Digest::of(7, 4, &[1, 2]), Digest::of(7, 3, &[2, 1])] {
            assert_ne!(other, base);
            assert_eq!([base, other].into_iter().sum::<Digest>(), [other, base].into_iter().sum());
        }
    }
}
