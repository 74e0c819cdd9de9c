//! What is sent: a few streams of samples, in small batches, into chunks that streams share and of which the last is
//! short. It is drawn from a seed.

use anyhow::ensure;
use sample::{Extent, PIXELS, Samples, random::Stream as Random};
use store::{DatasetId, Manifest, Rows, StreamEntry};

/// Streams, and the order in which their samples arrive.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    pub(super) dataset: DatasetId,
    pub(super) samples_per_chunk: usize,
    pub(super) streams: Vec<StreamEntry>,
    /// Batches: index of the stream, first position, one past the last.
    pub(super) batches: Vec<(usize, u64, u64)>,
    /// Samples of another salt have the same numbers and other pixels.
    salt: u8,
}

impl Scenario {
    pub(super) fn drawn(seed: u64) -> Self {
        let mut random = Random::keyed("tributary crash scenario", &[seed]);
        let samples_per_chunk = 3 + random.below(3);
        // Four to six full chunks, and one that is not.
        let samples = samples_per_chunk * (4 + random.below(3)) + 1 + random.below(samples_per_chunk - 1);
        let count = 1 + random.below(3);
        // The streams have a piece each, or deal the samples out.
        let block = random.below(4);
        let extent = |index| match block {
            0 => Extent::range(samples * index / count..samples * (index + 1) / count),
            block => Extent::share(0..samples, block, index, count),
        };
        // Nor need they say where they end.
        let open = random.below(3) == 0;
        let stream = |index| StreamEntry { open, ..StreamEntry::new(format!("stream-{index}"), extent(index)) };
        let streams: Vec<StreamEntry> = (0..count).map(stream).collect();
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

    /// The samples at some positions of a stream.
    pub(super) fn samples(&self, stream: &StreamEntry, from: u64, to: u64) -> Samples {
        let mut samples = Samples::default();
        stream.extent().seqs(from..to).for_each(|seq| samples.extend(self.sample(seq).as_slice()));
        samples
    }

    fn sample(&self, seq: u64) -> Samples {
        let salted = seq as u8 ^ self.salt;
        Samples { labels: vec![salted % 10], images: vec![salted; PIXELS] }
    }

    /// Whether this is what was read: every sample exactly once, as it was sent.
    pub(super) fn check(&self, (manifest, read): &(Manifest, Rows)) -> anyhow::Result<()> {
        let sent: u64 = self.streams.iter().map(|stream| stream.samples()).sum();
        let (found, digest) = (read.seqs.len() as u64, &manifest.dataset.digest);
        let are_all = manifest.dataset == self.dataset && [manifest.samples, found] == [sent; 2];
        ensure!(are_all, "{found} samples of {digest} are there, not {sent}");
        let streams = &manifest.streams;
        ensure!(*streams == self.streams, "the streams are {streams:?}, not {:?}", self.streams);
        let mut seen = std::collections::HashSet::new();
        for (i, (&stream, &seq)) in read.streams.iter().zip(&read.seqs).enumerate() {
            let name = &manifest.streams[stream as usize].name;
            let is_sent = |sent: &StreamEntry| sent.name == *name && sent.seqs().any(|sent| sent == seq);
            ensure!(self.streams.iter().any(is_sent), "sample {seq} of `{name}` was never sent");
            ensure!(seen.insert(seq), "sample {seq} is there twice");
            let found = read.samples.slice(i..i + 1);
            ensure!(self.sample(seq).as_slice() == found, "sample {seq} is not what was sent");
        }
        Ok(())
    }
}
