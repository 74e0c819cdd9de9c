//! The digest of a stream: BLAKE3 over (label, image) of each sample, in order. Both ends compute it, the receiver over
//! what it stored, so `End` checks the whole way from one memory to the other.

use sample::{PIXELS, SampleSlice};

/// Samples that are hashed at once. BLAKE3 takes 16 pieces of 1 KiB in parallel, if it gets them together: several times as
/// fast as sample by sample, and more than 64 KiB gain nothing.
const AT_ONCE: usize = 80;

/// A digest in the making. How the samples are cut into batches does not matter.
#[derive(Clone, Debug, Default)]
pub struct StreamDigest(blake3::Hasher);

impl StreamDigest {
    /// Takes in consecutive samples.
    pub fn update(&mut self, samples: SampleSlice<'_>) {
        let mut buffer = Vec::with_capacity(samples.len().min(AT_ONCE) * (1 + PIXELS));
        for start in (0..samples.len()).step_by(AT_ONCE) {
            buffer.clear();
            for (label, image) in samples.slice(start..samples.len().min(start + AT_ONCE)).iter() {
                buffer.push(label);
                buffer.extend_from_slice(image);
            }
            self.0.update(&buffer);
        }
    }

    /// The digest of all samples so far.
    pub fn finish(&self) -> [u8; 32] {
        *self.0.finalize().as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use sample::Samples;

    use super::*;

    fn digest(parts: &[SampleSlice<'_>]) -> [u8; 32] {
        let mut digest = StreamDigest::default();
        parts.iter().for_each(|part| digest.update(*part));
        digest.finish()
    }

    #[test]
    fn batches_do_not_matter_and_order_does() {
        let samples = Samples { labels: vec![1, 2, 3], images: (0..3 * PIXELS).map(|i| i as u8).collect() };
        let (first, rest) = (samples.slice(0..1), samples.slice(1..3));
        assert_eq!(digest(&[samples.as_slice()]), digest(&[first, rest]));
        assert_ne!(digest(&[samples.as_slice()]), digest(&[rest, first]));
    }

    #[test]
    fn samples_that_are_hashed_together_have_the_digest_of_those_hashed_one_by_one() {
        let count = 3 * AT_ONCE + 1;
        let samples = Samples { labels: vec![4; count], images: vec![5; count * PIXELS] };
        let mut one_by_one = blake3::Hasher::new();
        (0..count).for_each(|_| {
            one_by_one.update(&[4]).update(&[5; PIXELS]);
        });
        assert_eq!(digest(&[samples.as_slice()]), *one_by_one.finalize().as_bytes());
    }
}
