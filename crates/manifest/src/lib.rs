//! The manifest is the file that is written last into a chunk directory. It says that the directory is complete and what it
//! holds, and carries its own digest, so a changed byte in it is found like one in a chunk.
//!
//! It is a crate of its own because the orchestrator reads it, too, and should not wait for Parquet to be compiled.

#![forbid(unsafe_code)]

mod chunk_name;

use sample::Extent;
use serde::{Deserialize, Serialize};

pub use crate::chunk_name::ChunkName;

/// The file's name.
pub const SUCCESS: &str = "_SUCCESS";

/// The newest version of the format of chunks and manifest. See [`format_of`].
pub const FORMAT: u32 = 2;

/// The longest name of a run. It is repeated in messages, so whoever forges a manifest must not write them.
const LONGEST_RUN: usize = 64;

/// Why something that is read of a chunk directory is of no use: what it is, to be read after the name of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is of a newer version of the format.
    #[error("of format {0}, and this program reads 1 to {FORMAT}; use a newer one")]
    Newer(u64),
    /// It is not as it was written, or contradicts itself: one clause that says how.
    #[error("damaged: {0}")]
    Damaged(String),
}

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
    /// Version of the chunk directory's format: that of [`format_of`] its streams.
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

/// One stream of a complete directory: every sample of its [extent](Self::extent).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StreamEntry {
    /// The stream's name.
    pub name: String,
    /// The first position, and the seq of the first sample.
    pub first: u64,
    /// One past the last position.
    pub end: u64,
    /// Consecutive seqs in a piece.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub block: u64,
    /// From the start of a piece to the start of the next.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub stride: u64,
    /// Whether the stream was declared without an end: it ends where the receiver sealed it, maybe in the middle of something.
    #[serde(default, skip_serializing_if = "is_false")]
    pub open: bool,
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

/// How an extent is written, for `serde(with)`: what is left out is a stream in one piece, and one without an end.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Extent")]
pub struct ExtentFields {
    first: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end: Option<u64>,
    #[serde(default = "one", skip_serializing_if = "is_one")]
    block: u64,
    #[serde(default = "one", skip_serializing_if = "is_one")]
    stride: u64,
}

/// The version of the format in which streams of these extents are written: the first where it can say them, so that older
/// programs read all that they understand. It knows streams in one piece that have an end.
pub fn format_of(extents: impl IntoIterator<Item = Extent>) -> u32 {
    let is_first = |extent: Extent| extent.is_contiguous() && extent.end.is_some();
    if extents.into_iter().all(is_first) { 1 } else { FORMAT }
}

/// Checks that this JSON is of no newer version of the format, before anything else of it is looked at: what a newer program
/// wrote may be said in other words.
///
/// # Errors
/// [`Error::Newer`].
pub fn refuse_newer(json: &[u8]) -> Result<(), Error> {
    #[derive(Deserialize)]
    struct Versioned {
        format: u64,
    }
    match serde_json::from_slice(json) {
        Ok(Versioned { format }) if format > FORMAT.into() => Err(Error::Newer(format)),
        _ => Ok(()), // If it has no version, whoever reads the rest says so.
    }
}

/// Checks the version that something is said to be written in.
///
/// # Errors
/// When it is none of those that this program reads, or not that of these streams: one clause that says so.
pub fn check_format(format: u32, extents: impl IntoIterator<Item = Extent>) -> Result<(), String> {
    let expect = format_of(extents);
    match format {
        _ if format == expect => Ok(()),
        1..=FORMAT => Err(format!("format {format}, and its streams are written in format {expect}")),
        _ => Err(format!("format {format}, and this program reads 1 to {FORMAT}")),
    }
}

impl StreamEntry {
    /// A stream of this extent; of one without an end there is no sample yet.
    pub fn new(name: impl Into<String>, extent: Extent) -> StreamEntry {
        let Extent { first, end, block, stride } = extent;
        StreamEntry { name: name.into(), first, end: end.unwrap_or(first), block, stride, open: end.is_none() }
    }

    /// The samples that are there.
    pub fn extent(&self) -> Extent {
        let Self { first, end, block, stride, .. } = *self;
        Extent { first, end: Some(end), block, stride }
    }

    /// The extent that the stream was declared with.
    pub fn declared(&self) -> Extent {
        let extent = self.extent();
        Extent { end: extent.end.filter(|_| !self.open), ..extent }
    }

    /// How many samples there are.
    pub fn samples(&self) -> u64 {
        self.end.saturating_sub(self.first)
    }

    /// The seqs of the samples that are there, in their order.
    pub fn seqs(&self) -> impl Iterator<Item = u64> + use<> {
        self.extent().seqs(self.first..self.end)
    }
}

fn one() -> u64 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_one(number: &u64) -> bool {
    *number == 1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
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
        let format = format_of(streams.iter().map(StreamEntry::declared));
        Manifest { format, dataset, run, samples, seconds, streams, chunks, blake3: String::new() }
    }

    /// Whether a stream was ended that might have gone on for ever.
    pub fn is_open_ended(&self) -> bool {
        self.streams.iter().any(|stream| stream.open)
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
    /// When they are of a newer program, not as they were written, or contradict themselves.
    pub fn decode(bytes: &[u8]) -> Result<Manifest, Error> {
        refuse_newer(bytes)?;
        let manifest: Manifest = serde_json::from_slice(bytes).map_err(|error| Error::Damaged(error.to_string()))?;
        // There is one way to write a manifest, so comparing bytes checks the digest and everything beside it.
        if manifest.encode() != bytes {
            return Err(Error::Damaged("its digest does not match".into()));
        }
        manifest.contradiction().map_or(Ok(manifest), |what| Err(Error::Damaged(what)))
    }

    /// What no manifest that a receiver wrote can say.
    fn contradiction(&self) -> Option<String> {
        if let Err(what) = check_format(self.format, self.streams.iter().map(StreamEntry::declared)) {
            return Some(what);
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
        let in_streams: u128 = self.streams.iter().map(|stream| u128::from(stream.samples())).sum();
        let in_chunks: u128 = self.chunks.iter().map(|chunk| u128::from(chunk.samples)).sum();
        let adds_up = [in_streams, in_chunks] == [self.samples.into(); 2];
        if !adds_up {
            return Some("its numbers of samples do not add up".into());
        }
        self.streams
            .iter()
            .find_map(|stream| stream.extent().check_even_empty().err())
            .map(|what| format!("there cannot be {what}"))
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
        let stream = StreamEntry::new("a", Extent::range(3..10));
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
        assert_eq!(Manifest::decode(&manifest.encode()), Err(Error::Damaged(expect.into())));
    }

    #[test]
    fn a_manifest_that_contradicts_itself_is_damaged_whatever_its_digest() {
        let total = "its numbers of samples do not add up";
        check(|manifest| manifest.format = 0, "format 0, and this program reads 1 to 2");
        check(|manifest| manifest.format = 2, "format 2, and its streams are written in format 1");
        let newer = "format 1, and its streams are written in format 2";
        check(|manifest| manifest.streams[0].open = true, newer);
        check(|manifest| manifest.streams[0].stride = 2, newer);
        let run = "its run is not named by up to 64 letters and digits";
        check(|manifest| manifest.run = Some("1".repeat(65)), run);
        check(|manifest| manifest.run = Some("\u{1b}[2J".into()), run);
        check(|manifest| manifest.samples = 8, total);
        check(|manifest| manifest.chunks[0].samples = 6, total);
        check(|manifest| manifest.streams[0].end = u64::MAX, total);
        check(|manifest| manifest.streams[0].first = 11, total);
        let dealt = |manifest: &mut Manifest, block, stride| {
            manifest.format = 2;
            manifest.streams[0] = StreamEntry { block, stride, ..manifest.streams[0].clone() };
        };
        check(|manifest| dealt(manifest, 0, 2), "there cannot be blocks of 0 samples every 2");
        let far = format!("there cannot be a stream of samples 3..10 in blocks of 1 every {}", u64::MAX);
        check(|manifest| dealt(manifest, 1, u64::MAX), &far);
        check(|manifest| manifest.streams.push(manifest.streams[0].clone()), "its streams are not in order");
        let name = "chunk-00000000-6437b3ac38465133.parquet";
        let expect = format!("`{name}` cannot be chunk 1");
        check(|manifest| manifest.chunks.push(manifest.chunks[0].clone()), &expect);
        check(|manifest| manifest.chunks[0].name = "../x".into(), "`../x` cannot be chunk 0");
    }

    #[test]
    fn a_newer_manifest_is_not_damaged_whatever_it_says() {
        for more in ["\"format\": 3", "\"format\": 3,\n  \"tomorrow\": {}", "\"format\": 3,\n  \"streams\": 7"] {
            let text = String::from_utf8(manifest().encode()).unwrap().replace("\"format\": 1", more);
            let error = Manifest::decode(text.as_bytes()).unwrap_err();
            assert_eq!(error.to_string(), "of format 3, and this program reads 1 to 2; use a newer one");
        }
        assert_eq!(Manifest::decode(b"{\"format\":18446744073709551615}"), Err(Error::Newer(u64::MAX)));
        assert!(matches!(Manifest::decode(b"{\"format\":2}"), Err(Error::Damaged(_))));
    }

    #[test]
    fn a_manifest_of_streams_in_one_piece_is_written_as_it_ever_was() {
        let text = r#"{
  "format": 1,
  "dataset": {
    "name": "tiny",
    "digest": "00"
  },
  "samples": 2,
  "seconds": 0.5,
  "streams": [
    {
      "name": "a",
      "first": 3,
      "end": 4
    },
    {
      "name": "b",
      "first": 4,
      "end": 5
    }
  ],
  "chunks": [
    {
      "name": "chunk-00000000-af719e091e16f47f.parquet",
      "samples": 2,
      "bytes": 2334
    }
  ],
  "blake3": "88e39cd8817d397c265e13a5453bfaf6747913fc81baeae30efb473d8de59794"
}
"#;
        let manifest = Manifest::decode(text.as_bytes()).unwrap();
        assert_eq!(manifest.streams[1], StreamEntry::new("b", Extent::range(4..5)));
        let Manifest { dataset, run, seconds, streams, chunks, .. } = manifest;
        assert_eq!(Manifest::new(dataset, run, seconds, streams, chunks).encode(), text.as_bytes());
    }

    #[test]
    fn a_stream_in_pieces_or_without_an_end_is_said_by_more_fields_in_the_second_format() {
        let dealt = Extent { first: 3, end: None, block: 2, stride: 6 };
        let stream = StreamEntry { end: 10, ..StreamEntry::new("a", dealt) };
        let Manifest { dataset, run, seconds, chunks, .. } = manifest();
        let manifest = Manifest::new(dataset, run, seconds, vec![stream.clone()], chunks);
        let text = String::from_utf8(manifest.encode()).unwrap();
        let fields =
            ["\"name\": \"a\"", "\"first\": 3", "\"end\": 10", "\"block\": 2", "\"stride\": 6", "\"open\": true"];
        assert!(text.contains(&fields.join(",\n      ")) && text.contains("\"format\": 2,"), "{text}");
        let read = Manifest::decode(text.as_bytes()).unwrap();
        assert_eq!((&read.streams[0], read.streams[0].declared()), (&stream, dealt));
        assert_eq!(stream.seqs().collect::<Vec<_>>(), [3, 4, 9, 10, 15, 16, 21]);
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
