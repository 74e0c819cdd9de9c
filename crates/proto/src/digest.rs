//! The digest of a stream: BLAKE3 over (label, image) of each sample, in order. Both ends compute it, the receiver over
//! what it stored, so `End` checks the whole way from one memory to the other.

use crate::IMAGE_BYTES;

/// A digest in the making. How the samples are cut into batches does not matter.
#[derive(Clone, Debug, Default)]
pub struct StreamDigest(blake3::Hasher);

impl StreamDigest {
    /// Takes in consecutive samples; `images` holds 784 bytes a label.
    pub fn update(&mut self, labels: &[u8], images: &[u8]) {
        debug_assert_eq!(images.len(), labels.len() * IMAGE_BYTES);
        for (label, image) in labels.iter().zip(images.chunks_exact(IMAGE_BYTES)) {
            self.0.update(&[*label]);
            self.0.update(image);
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
}
