//! What is sent: a few streams of samples, in small batches, into chunks that streams share and of which the last is
//! short. It is drawn from a seed.

use dataset::random::Stream as Random;
use store::{DatasetId, IMAGE_BYTES, Manifest, Samples};

/// Streams, and the order in which their samples arrive.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    pub(super) dataset: DatasetId,
    pub(super) samples_per_chunk: usize,
    pub(super) streams: Vec<StreamPlan>,
    /// Batches: index of the stream, first sample, one past the last.
    pub(super) batches: Vec<(usize, u64, u64)>,
    /// Samples of another salt have the same numbers and other pixels.
    salt: u8,
}

/// One stream: samples `first..end` of the dataset.
#[derive(Clone, Debug)]
pub(super) struct StreamPlan {
    pub(super) name: String,
    pub(super) first: u64,
    pub(super) end: u64,
}

impl Scenario {
    pub(super) fn drawn(seed: u64) -> Self {
        let mut random = Random::keyed("tributary crash scenario", &[seed]);
        let samples_per_chunk = 3 + random.below(3);
        // Four to six full chunks, and one that is not.
        let samples = samples_per_chunk * (4 + random.below(3)) + 1 + random.below(samples_per_chunk - 1);
        let count = 1 + random.below(3);
        let stream = |index| StreamPlan {
            name: format!("stream-{index}"),
            first: samples * index / count,
            end: samples * (index + 1) / count,
        };
        let streams: Vec<StreamPlan> = (0..count).map(stream).collect();
        let mut next: Vec<u64> = streams.iter().map(|stream| stream.first).collect();
        let mut batches = Vec::new();
        while let Some(left) =
            next.iter().zip(&streams).map(|(next, stream)| stream.end - next).max().filter(|left| *left > 0)
        {
            let index = random.below(count) as usize;
            let to = streams[index].end.min(next[index] + 1 + random.below(left.min(samples_per_chunk + 1)));
            batches.push((index, next[index], to));
            next[index] = to;
        }
        let dataset = DatasetId { name: "tiny".into(), digest: "00ff".into() };
        Scenario { dataset, samples_per_chunk: samples_per_chunk as usize, streams, batches, salt: 0 }
    }

    /// The same numbers with other pixels, in a dataset of this digest.
    pub(super) fn of(&self, digest: &str, salt: u8) -> Self {
        let dataset = DatasetId { name: "tiny".into(), digest: digest.into() };
        Scenario { dataset, salt, ..self.clone() }
    }

    /// Labels and images of samples `from..to`.
    pub(super) fn samples(&self, from: u64, to: u64) -> (Vec<u8>, Vec<u8>) {
        let label = |seq: u64| (seq as u8 ^ self.salt) % 10;
        let image = |seq: u64| [seq as u8 ^ self.salt; IMAGE_BYTES];
        ((from..to).map(label).collect(), (from..to).flat_map(image).collect())
    }

    /// Whether this is what was read: every sample exactly once, as it was sent.
    pub(super) fn check(&self, (manifest, read): &(Manifest, Samples)) -> Result<(), String> {
        let sent: u64 = self.streams.iter().map(|stream| stream.end - stream.first).sum();
        if manifest.dataset != self.dataset || manifest.samples != sent || read.seqs.len() as u64 != sent {
            return Err(format!("{} samples of {} are there, not {sent}", read.seqs.len(), manifest.dataset.digest));
        }
        let mut seen = std::collections::HashSet::new();
        for (i, (&stream, &seq)) in read.streams.iter().zip(&read.seqs).enumerate() {
            let name = &manifest.streams[stream as usize].name;
            if !self.streams.iter().any(|plan| plan.name == *name && (plan.first..plan.end).contains(&seq)) {
                return Err(format!("sample {seq} of `{name}` was never sent"));
            }
            if !seen.insert(seq) {
                return Err(format!("sample {seq} is there twice"));
            }
            let image = &read.images[i * IMAGE_BYTES..(i + 1) * IMAGE_BYTES];
            if self.samples(seq, seq + 1) != (vec![read.labels[i]], image.to_vec()) {
                return Err(format!("sample {seq} is not what was sent"));
            }
        }
        Ok(())
    }
}
