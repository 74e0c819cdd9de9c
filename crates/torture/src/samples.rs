//! Made-up samples: label and pixels follow from the seq, so that any sample found anywhere can be checked.

use std::{collections::HashSet, path::Path};

use sender::Source;
use store::IMAGE_BYTES;

/// Samples `first..end` as a stream.
pub fn source(stream: &str, first: u64, end: u64) -> Source {
    Source {
        stream: stream.into(),
        dataset: "made-up".into(),
        dataset_digest: [7; 32],
        first,
        labels: (first..end).map(label).collect(),
        images: (first..end).flat_map(image).collect(),
    }
}

/// What is wrong with a directory that should be complete and hold samples `0..end`, each exactly once.
pub fn check(dir: &Path, end: u64) -> Vec<String> {
    let samples = match store::read(dir) {
        Ok((_, samples)) => samples,
        Err(error) => return vec![format!("{:#}", anyhow::Error::from(error))],
    };
    let mut wrong = Vec::new();
    let mut seen = HashSet::new();
    for (i, &seq) in samples.seqs.iter().enumerate() {
        if !seen.insert(seq) {
            wrong.push(format!("sample {seq} is there twice"));
        } else if seq >= end {
            wrong.push(format!("sample {seq} was never sent"));
        } else if samples.labels[i] != label(seq) || samples.images[i * IMAGE_BYTES..][..IMAGE_BYTES] != image(seq) {
            wrong.push(format!("sample {seq} is not as it was sent"));
        }
    }
    wrong.extend((0..end).filter(|seq| !seen.contains(seq)).map(|seq| format!("sample {seq} is lost")));
    wrong
}

fn label(seq: u64) -> u8 {
    (seq % 10) as u8
}

fn image(seq: u64) -> [u8; IMAGE_BYTES] {
    std::array::from_fn(|i| (seq as usize * 31 + i) as u8)
}
