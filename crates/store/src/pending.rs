//! What was accepted and waits for its chunk: samples of all streams, in order of arrival.

use std::collections::BTreeMap;

use manifest::format_of;
use sample::{Extent, SampleSlice, Samples};

use crate::{
    DatasetId,
    chunk::{Chunk, Footer, IMAGE, Run, Span},
};

/// A stream that was declared, and how far it has come.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) extent: Extent,
    /// Position that the chunks hold.
    pub(crate) durable: u64,
    /// Position that the chunks and the pending samples hold.
    pub(crate) accepted: u64,
}

/// Samples that wait for their chunk, in order of arrival.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    /// Samples that came together: their stream, the position of the first, and how many.
    batches: Vec<(String, u64, usize)>,
    pub(crate) samples: Samples,
}

impl Pending {
    pub(crate) fn push(&mut self, stream: &str, first_position: u64, samples: SampleSlice<'_>) {
        self.batches.push((stream.to_owned(), first_position, samples.len()));
        self.samples.extend(samples);
    }

    pub(crate) fn chunk(
        &self,
        samples: usize,
        dataset: Option<&DatasetId>,
        streams: &BTreeMap<String, Stream>,
    ) -> Chunk {
        let mut spans: Vec<Span> = Vec::new();
        let mut runs = Vec::new();
        let mut left = samples;
        for (name, from, length) in &self.batches {
            let length = left.min(*length);
            if length == 0 {
                break;
            }
            left -= length;
            let (extent, to) = (streams[name].extent, from + length as u64);
            let stream = match spans.iter().position(|span| span.stream == *name) {
                Some(index) => {
                    spans[index].to = to;
                    index
                }
                None => {
                    spans.push(Span { stream: name.clone(), extent, from: *from, to });
                    spans.len() - 1
                }
            };
            let pieces = extent.pieces(*from..to);
            runs.extend(pieces.map(|(first_seq, samples)| Run { stream, first_seq, samples: samples as usize }));
        }
        // A sample is only accepted on a stream, and a stream is only opened with a dataset.
        let dataset = dataset.cloned().unwrap_or(DatasetId { name: String::new(), digest: String::new() });
        Chunk {
            footer: Footer {
                format: format_of(spans.iter().map(|span| span.extent)),
                image: IMAGE,
                dataset,
                streams: spans,
            },
            runs,
            samples: self.samples.slice(0..samples).to_samples(),
        }
    }

    pub(crate) fn remove(&mut self, samples: usize) {
        self.samples.remove_first(samples);
        let mut left = samples;
        self.batches.retain_mut(|(_, first_position, length)| {
            let gone = left.min(*length);
            left -= gone;
            *first_position += gone as u64;
            *length -= gone;
            *length > 0
        });
    }
}
