//! Samples by column: labels beside images, owned or borrowed. Every crate that holds samples holds them so.

use std::ops::Range;

use crate::PIXELS;

/// Labelled images: sample `i` is `labels[i]` and `images[i * PIXELS..][..PIXELS]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Samples {
    /// One label a sample.
    pub labels: Vec<u8>,
    /// [`PIXELS`] bytes a sample.
    pub images: Vec<u8>,
}

/// Some [`Samples`], borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleSlice<'a> {
    /// One label a sample.
    pub labels: &'a [u8],
    /// [`PIXELS`] bytes a sample.
    pub images: &'a [u8],
}

impl Samples {
    /// Number of samples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The pixels of sample `i`.
    ///
    /// # Panics
    /// If there is no such sample.
    pub fn image(&self, i: usize) -> &[u8] {
        &self.images[i * PIXELS..][..PIXELS]
    }

    /// All of them.
    pub fn as_slice(&self) -> SampleSlice<'_> {
        SampleSlice { labels: &self.labels, images: &self.images }
    }

    /// Those at these places.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn slice(&self, range: Range<usize>) -> SampleSlice<'_> {
        self.as_slice().slice(range)
    }

    /// Appends copies.
    pub fn extend(&mut self, more: SampleSlice<'_>) {
        self.labels.extend_from_slice(more.labels);
        self.images.extend_from_slice(more.images);
    }

    /// Removes the first `count`.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn remove_first(&mut self, count: usize) {
        self.labels.drain(..count);
        self.images.drain(..count * PIXELS);
    }

    /// Keeps those at these places, in the same memory, and gives the rest of it back.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn keep(&mut self, range: Range<usize>) {
        self.labels.truncate(range.end);
        self.images.truncate(range.end * PIXELS);
        self.remove_first(range.start);
        self.labels.shrink_to_fit();
        self.images.shrink_to_fit();
    }
}

impl<'a> SampleSlice<'a> {
    /// Number of samples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Those at these places.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn slice(&self, range: Range<usize>) -> SampleSlice<'a> {
        SampleSlice { images: &self.images[range.start * PIXELS..range.end * PIXELS], labels: &self.labels[range] }
    }

    /// Each sample's label and pixels.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &'a [u8])> + use<'a> {
        self.labels.iter().copied().zip(self.images.chunks_exact(PIXELS))
    }

    /// A copy that is owned.
    pub fn to_samples(&self) -> Samples {
        Samples { labels: self.labels.to_vec(), images: self.images.to_vec() }
    }

    /// Replaces what `into` holds by the samples at `indices`, in that order, without giving its memory back.
    ///
    /// # Panics
    /// If there is no sample at an index.
    pub fn gather(&self, indices: &[u32], into: &mut Samples) {
        into.labels.clear();
        into.images.clear();
        into.labels.reserve_exact(indices.len());
        into.images.reserve_exact(indices.len() * PIXELS);
        for &index in indices {
            let index = index as usize;
            into.labels.push(self.labels[index]);
            into.images.extend_from_slice(&self.images[index * PIXELS..][..PIXELS]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_stays_with_its_image() {
        let image = |label: u8| [label; PIXELS];
        let mut samples = Samples { labels: vec![0, 1, 2, 3], images: (0..4).flat_map(image).collect() };
        let whole = samples.clone();
        let belong = |slice: SampleSlice<'_>| slice.iter().all(|(label, pixels)| pixels == image(label));
        assert!(belong(samples.as_slice()) && belong(samples.slice(1..3)));
        assert_eq!((samples.slice(1..3).labels, samples.image(2)), (&[1, 2][..], &image(2)[..]));
        samples.remove_first(1);
        samples.extend(whole.slice(0..1));
        assert_eq!(samples.labels, [1, 2, 3, 0]);
        assert!(belong(samples.as_slice()));
        samples.keep(1..3);
        assert_eq!(samples, Samples { labels: vec![2, 3], images: [image(2), image(3)].concat() });
        whole.as_slice().gather(&[3, 0], &mut samples);
        assert_eq!((&samples.labels[..], belong(samples.as_slice())), (&[3, 0][..], true));
    }
}
