//! The manifest is the file that is written last into a chunk directory. It says that the directory is complete and what it
//! holds, and carries its own digest, so a changed byte in it is found like one in a chunk.
//!
//! It is a crate of its own because the orchestrator reads it, too, and should not wait for Parquet to be compiled.

#![forbid(unsafe_code)]

mod chunk_name;

use serde::{Deserialize, Serialize};

pub use crate::chunk_name::ChunkName;

/// The file's name.
pub const SUCCESS: &str = "_SUCCESS";

/// Version of the format of chunks and manifest.
pub const FORMAT: u32 = 1;

/// The longest name of a run. It is repeated in messages, so whoever forges a manifest must not write them.
const LONGEST_RUN: usize = 64;

/// Which data a chunk directory holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetId {
    /// The name for people, such as `mnist`.
    pub name: String,
    /// The digest of the whole dataset, in hex, as its source computed it.
    pub digest: String,
}

/// What a complete chunk directory holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the chunk directory's format.
    pub format: u32,
    /// Which data it is.
    pub dataset: DatasetId,
    /// The run that the samples were received for, if the receiver was told: what an orchestrator made up for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Samples in all chunks.
    pub samples: u64,
    /// Seconds from the first sample received to the manifest, of the receiver that wrote it.
    pub seconds: f64,
    /// The streams, by name.
    pub streams: Vec<StreamEntry>,
    /// The chunk files, by number.
    pub chunks: Vec<ChunkEntry>,
    /// BLAKE3 of the manifest with this field empty, in hex.
    blake3: String,
}

/// One stream of a complete directory: every sample from `first` to before `end`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StreamEntry {
    /// The stream's name.
    pub name: String,
    /// The first sample's index in the dataset.
    pub first: u64,
    /// One past the last sample's index.
    pub end: u64,
}

/// One chunk file of a complete directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkEntry {
    /// The file's name.
    pub name: String,
    /// Samples in it.
    pub samples: u64,
    /// Its size.
    pub bytes: u64,
}

impl Manifest {
    /// A manifest of these streams and chunks, each in order.
    pub fn new(
        dataset: DatasetId,
        run: Option<String>,
        seconds: f64,
        streams: Vec<StreamEntry>,
        chunks: Vec<ChunkEntry>,
    ) -> Manifest {
        let samples = chunks.iter().map(|chunk| chunk.samples).sum();
        Manifest { format: FORMAT, dataset, run, samples, seconds, streams, chunks, blake3: String::new() }
    }

    /// Whether a stream was ended that might have gone on for ever.
    pub fn is_open_ended(&self) -> bool {
        false
    }

    /// The bytes of the file.
    pub fn encode(&self) -> Vec<u8> {
        let mut sealed = Manifest { blake3: String::new(), ..self.clone() };
        sealed.blake3 = blake3::hash(&sealed.json()).to_hex().to_string();
        sealed.json()
    }

    /// The manifest in the bytes of the file.
    ///
    /// # Errors
    /// When they are not as they were written, or contradict themselves: one clause that says how.
    pub fn decode(bytes: &[u8]) -> Result<Manifest, String> {
        let manifest: Manifest = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        // There is one way to write a manifest, so comparing bytes checks the digest and everything beside it.
        if manifest.encode() != bytes {
            return Err("its digest does not match".into());
        }
        manifest.contradiction().map_or(Ok(manifest), Err)
    }

    /// What no manifest that a receiver wrote can say.
    fn contradiction(&self) -> Option<String> {
        if self.format != FORMAT {
            return Some(format!("format {}, and this program reads {FORMAT}", self.format));
        }
        let is_identity =
            |run: &String| run.len() <= LONGEST_RUN && run.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !self.run.iter().all(is_identity) {
            return Some(format!("its run is not named by up to {LONGEST_RUN} letters and digits"));
        }
        let is_next = |(number, entry): (usize, &ChunkEntry)| {
            ChunkName::parse(&entry.name).is_some_and(|name| name.number == number as u64)
        };
        if let Some(number) = self.chunks.iter().enumerate().position(|chunk| !is_next(chunk)) {
            return Some(format!("`{}` cannot be chunk {number}", self.chunks[number].name.escape_debug()));
        }
        if !self.streams.is_sorted_by(|one, next| one.name < next.name) {
            return Some("its streams are not in order".into());
        }
        let in_streams: u128 =
            self.streams.iter().map(|stream| u128::from(stream.end.saturating_sub(stream.first))).sum();
        let in_chunks: u128 = self.chunks.iter().map(|chunk| u128::from(chunk.samples)).sum();
        let adds_up = [in_streams, in_chunks] == [self.samples.into(); 2];
        (!adds_up).then(|| "its numbers of samples do not add up".into())
    }

    fn json(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec_pretty(self).expect("a struct of numbers and strings is always JSON");
        json.push(b'\n');
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let chunk = ChunkEntry { name: "chunk-00000000-6437b3ac38465133.parquet".into(), samples: 7, bytes: 6000 };
        let stream = StreamEntry { name: "a".into(), first: 3, end: 10 };
        let dataset = DatasetId { name: "mnist".into(), digest: "ab".into() };
        Manifest::new(dataset, None, 0.25, vec![stream], vec![chunk])
    }

    #[test]
    fn a_manifest_names_its_run_if_there_is_one() {
        let without = manifest();
        assert!(!String::from_utf8(without.encode()).unwrap().contains("\"run\""), "as receivers wrote it before");
        let with = Manifest { run: Some("1f".into()), ..without };
        assert_eq!(Manifest::decode(&with.encode()).unwrap().run.as_deref(), Some("1f"));
    }

    #[test]
    fn seconds_come_back_as_they_were_written() {
        // A parser that multiplies by powers of ten gets this one wrong in the last bit.
        let seconds = std::time::Duration::new(1, 900_000_003).as_secs_f64();
        let manifest = Manifest { seconds, ..manifest() };
        assert_eq!(Manifest::decode(&manifest.encode()).unwrap().seconds, seconds);
    }

    /// Changes a manifest, seals it again, and expects this to be said of it.
    #[track_caller]
    fn check(change: impl FnOnce(&mut Manifest), expect: &str) {
        let mut manifest = manifest();
        change(&mut manifest);
        assert_eq!(Manifest::decode(&manifest.encode()).unwrap_err(), expect);
    }

    #[test]
    fn a_manifest_that_contradicts_itself_is_damaged_whatever_its_digest() {
        let total = "its numbers of samples do not add up";
        check(|manifest| manifest.format = 2, "format 2, and this program reads 1");
        let run = "its run is not named by up to 64 letters and digits";
        check(|manifest| manifest.run = Some("1".repeat(65)), run);
        check(|manifest| manifest.run = Some("\u{1b}[2J".into()), run);
        check(|manifest| manifest.samples = 8, total);
        check(|manifest| manifest.chunks[0].samples = 6, total);
        check(|manifest| manifest.streams[0].end = u64::MAX, total);
        check(|manifest| manifest.streams[0].first = 11, total);
        check(|manifest| manifest.streams.push(manifest.streams[0].clone()), "its streams are not in order");
        let name = "chunk-00000000-6437b3ac38465133.parquet";
        let expect = format!("`{name}` cannot be chunk 1");
        check(|manifest| manifest.chunks.push(manifest.chunks[0].clone()), &expect);
        check(|manifest| manifest.chunks[0].name = "../x".into(), "`../x` cannot be chunk 0");
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let good = manifest().encode();
        assert_eq!(Manifest::decode(&good).unwrap().samples, 7);
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Manifest::decode(&bad).is_err(), "bit {bit}");
        }
        for length in 0..good.len() {
            assert!(Manifest::decode(&good[..length]).is_err(), "length {length}");
        }
    }
}
