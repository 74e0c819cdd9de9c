//! The digest of a stream: BLAKE3 over (label, image) of each sample, in order. Both ends compute it, the receiver over
//! what it stored, so `End` checks the whole way from one memory to the other.

use crate::IMAGE_BYTES;

/// Samples that are hashed at once. BLAKE3 takes 16 pieces of 1 KiB in parallel, if it gets them together: several times as
/// fast as sample by sample, and more than 64 KiB gain nothing.
const AT_ONCE: usize = 80;

/// A digest in the making. How the samples are cut into batches does not matter.
#[derive(Clone, Debug, Default)]
pub struct StreamDigest(blake3::Hasher);

impl StreamDigest {
    /// Takes in consecutive samples; `images` holds 784 bytes a label.
    pub fn update(&mut self, labels: &[u8], images: &[u8]) {
        debug_assert_eq!(images.len(), labels.len() * IMAGE_BYTES);
        let mut buffer = Vec::with_capacity(labels.len().min(AT_ONCE) * (1 + IMAGE_BYTES));
        for (labels, images) in labels.chunks(AT_ONCE).zip(images.chunks(AT_ONCE * IMAGE_BYTES)) {
            buffer.clear();
            for (label, image) in labels.iter().zip(images.chunks_exact(IMAGE_BYTES)) {
                buffer.push(*label);
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
    use super::*;

    #[test]
    fn batches_do_not_matter_and_order_does() {
        let (labels, images) = (vec![1, 2, 3], (0..3 * IMAGE_BYTES).map(|i| i as u8).collect::<Vec<_>>());
        let mut whole = StreamDigest::default();
        whole.update(&labels, &images);
        let mut parts = StreamDigest::default();
        parts.update(&labels[..1], &images[..IMAGE_BYTES]);
        parts.update(&labels[1..], &images[IMAGE_BYTES..]);
        assert_eq!(whole.finish(), parts.finish());
        let mut swapped = StreamDigest::default();
        swapped.update(&labels[1..], &images[IMAGE_BYTES..]);
        swapped.update(&labels[..1], &images[..IMAGE_BYTES]);
        assert_ne!(whole.finish(), swapped.finish());
    }

    #[test]
    fn samples_that_are_hashed_together_have_the_digest_of_those_hashed_one_by_one() {
        let (labels, images) = (vec![4; 3 * AT_ONCE + 1], vec![5; (3 * AT_ONCE + 1) * IMAGE_BYTES]);
        let mut together = StreamDigest::default();
        together.update(&labels, &images);
        let mut one_by_one = blake3::Hasher::new();
        labels.iter().for_each(|_| {
            one_by_one.update(&[4]).update(&[5; IMAGE_BYTES]);
        });
        assert_eq!(together.finish(), *one_by_one.finalize().as_bytes());
    }
}
