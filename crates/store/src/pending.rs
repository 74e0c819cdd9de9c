//! What was accepted and waits for its chunk: samples of all streams, in order of arrival.

use std::collections::BTreeMap;

use manifest::FORMAT;
use sample::{SampleSlice, Samples};

use crate::{
    DatasetId,
    chunk::{Chunk, Footer, IMAGE, Run, Span},
};

/// A stream that was declared, and how far it has come.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) first: u64,
    pub(crate) end: u64,
    /// Position that the chunks hold.
    pub(crate) durable: u64,
    /// Position that the chunks and the pending samples hold.
    pub(crate) accepted: u64,
}

/// Samples that wait for their chunk, in order of arrival.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    runs: Vec<(String, u64, usize)>,
    pub(crate) samples: Samples,
}

impl Pending {
    pub(crate) fn push(&mut self, stream: &str, first_seq: u64, samples: SampleSlice<'_>) {
        self.runs.push((stream.to_owned(), first_seq, samples.len()));
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
        for (name, first_seq, length) in &self.runs {
            let length = left.min(*length);
            if length == 0 {
                break;
            }
            left -= length;
            let to = first_seq + length as u64;
            let stream = match spans.iter().position(|span| span.stream == *name) {
                Some(index) => {
                    spans[index].to = to;
                    index
                }
                None => {
                    let Stream { first, end, .. } = streams[name];
                    spans.push(Span { stream: name.clone(), first, end, from: *first_seq, to });
                    spans.len() - 1
                }
            };
            runs.push(Run { stream, first_seq: *first_seq, samples: length });
        }
        // A sample is only accepted on a stream, and a stream is only opened with a dataset.
        let dataset = dataset.cloned().unwrap_or(DatasetId { name: String::new(), digest: String::new() });
        Chunk {
            footer: Footer { format: FORMAT, image: IMAGE, dataset, streams: spans },
            runs,
            samples: self.samples.slice(0..samples).to_samples(),
        }
    }

    pub(crate) fn remove(&mut self, samples: usize) {
        self.samples.remove_first(samples);
        let mut left = samples;
        self.runs.retain_mut(|(_, first_seq, length)| {
            let gone = left.min(*length);
            left -= gone;
            *first_seq += gone as u64;
            *length -= gone;
            *length > 0
        });
    }
}
