//! A batch: consecutive samples of a stream, as raw bytes behind a small header, because pixels need no encoding.

use sample::{CLASSES, PIXELS, SampleSlice};

use super::kind;
use crate::{
    MAX_BODY,
    frame::{self, FrameError},
};

/// Consecutive samples of a stream, as the body of a `Data` frame:
/// `first position u64 | count u32 | labels (count bytes) | images (count × 784 bytes)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    body: Vec<u8>,
}

impl Batch {
    const HEADER: usize = 12;

    /// Samples that fit into one frame.
    pub const MAX_SAMPLES: usize = (MAX_BODY as usize - Batch::HEADER) / (1 + PIXELS);

    /// The frame of the samples from a position on, encoded straight from the caller's memory.
    ///
    /// # Panics
    /// When there are more than [`Batch::MAX_SAMPLES`] labels, or not 784 bytes of images for each.
    pub fn frame(first_position: u64, samples: SampleSlice<'_>) -> Vec<u8> {
        let SampleSlice { labels, images } = samples;
        assert!(labels.len() <= Batch::MAX_SAMPLES && images.len() == labels.len() * PIXELS);
        frame::encode(kind::DATA, Batch::HEADER + labels.len() + images.len(), |frame| {
            frame.extend_from_slice(&first_position.to_be_bytes());
            frame.extend_from_slice(&(labels.len() as u32).to_be_bytes());
            frame.extend_from_slice(labels);
            frame.extend_from_slice(images);
        })
    }

    /// The samples in the body of a `Data` frame.
    pub(super) fn from_body(body: Vec<u8>) -> Result<Batch, FrameError> {
        let Some((&[_, _, _, _, _, _, _, _, c0, c1, c2, c3], rest)) = body.split_first_chunk::<{ Batch::HEADER }>()
        else {
            return Err(FrameError::Body("a batch without its header"));
        };
        let count = u32::from_be_bytes([c0, c1, c2, c3]) as usize;
        if count == 0 || count > Batch::MAX_SAMPLES || rest.len() != count * (1 + PIXELS) {
            return Err(FrameError::Body("a batch whose count and length do not agree"));
        }
        if rest[..count].iter().any(|&label| usize::from(label) >= CLASSES) {
            return Err(FrameError::Body("a label that is not a digit"));
        }
        Ok(Batch { body })
    }

    /// The first sample's position.
    pub fn first_position(&self) -> u64 {
        u64::from_be_bytes(std::array::from_fn(|i| self.body[i]))
    }

    /// The samples.
    pub fn samples(&self) -> SampleSlice<'_> {
        let (labels, images) = self.body[Batch::HEADER..].split_at(self.count());
        SampleSlice { labels, images }
    }

    /// Samples.
    pub fn count(&self) -> usize {
        (self.body.len() - Batch::HEADER) / (1 + PIXELS)
    }

    /// The body of the `Data` frame.
    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    /// Bytes of memory that the batch holds.
    pub fn bytes(&self) -> usize {
        self.body.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HEADER_BYTES;

    #[test]
    fn a_batch_has_these_bytes() {
        let samples = SampleSlice { labels: &[7, 1], images: &[0x55; 2 * PIXELS] };
        let frame = Batch::frame(0x0a0b, samples);
        assert_eq!(frame.len(), HEADER_BYTES + 12 + 2 + 2 * 784);
        assert_eq!(frame[..5], [0, 0, 0x06, 0x2e, 4]);
        let body = &frame[HEADER_BYTES..];
        assert_eq!(body[..15], *b"\0\0\0\0\0\0\x0a\x0b\0\0\0\x02\x07\x01\x55");
        let batch = Batch::from_body(body.to_vec()).unwrap();
        assert_eq!((batch.first_position(), batch.count()), (0x0a0b, 2));
        assert_eq!(batch.samples(), samples);
        assert_eq!(batch.body(), body);
    }

    #[test]
    fn the_largest_batch_fits_into_a_frame() {
        let n = Batch::MAX_SAMPLES;
        assert_eq!(n, 1335);
        let frame = Batch::frame(0, SampleSlice { labels: &vec![0; n], images: &vec![0; n * PIXELS] });
        assert!(frame.len() - HEADER_BYTES <= MAX_BODY as usize);
        assert!(Batch::from_body(frame[HEADER_BYTES..].to_vec()).is_ok());
    }
}
