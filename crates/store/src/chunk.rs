//! One chunk as Parquet bytes, and back.
//!
//! The rows stand in the order of arrival. The footer says which positions of which stream the chunk holds, and the columns
//! must agree with it: every stream's rows are those that its extent means by them, in order.

use std::{collections::HashMap, path::Path, sync::Arc};

use bytes::Bytes;
use manifest::{check_format, refuse_newer};
use parquet::{
    basic::{Compression, Encoding},
    column::writer::ColumnWriterImpl,
    data_type::{ByteArray, ByteArrayType, DataType, FixedLenByteArray, FixedLenByteArrayType, Int32Type, Int64Type},
    errors::ParquetError,
    file::{
        metadata::KeyValue,
        properties::{EnabledStatistics, WriterProperties},
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::parser::parse_message_type,
};
use sample::{COLS, Extent, PIXELS, ROWS, Samples};
use serde::{Deserialize, Serialize};

use crate::{
    DatasetId, Error,
    columns::{self, Columns},
};

/// What the footer says of an image's size.
pub(crate) const IMAGE: [u32; 2] = [ROWS as u32, COLS as u32];

const SCHEMA: &str = "message sample {
    required binary stream (STRING);
    required int64 seq;
    required int32 label;
    required fixed_len_byte_array(784) image;
}";

const FOOTER_KEY: &str = "tributary";

/// What the footer of a chunk says beside Parquet's own metadata.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Footer {
    pub(crate) format: u32,
    /// Rows and columns of an image; one byte a pixel.
    pub(crate) image: [u32; 2],
    pub(crate) dataset: DatasetId,
    pub(crate) streams: Vec<Span>,
}

/// The part of one stream that a chunk holds: positions `from..to` of the stream's extent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Span {
    pub(crate) stream: String,
    /// What the stream was declared with.
    #[serde(flatten, with = "manifest::ExtentFields")]
    pub(crate) extent: Extent,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

impl Span {
    /// Whether there can be such a part of such a stream.
    fn is_possible(&self) -> bool {
        let Span { extent, from, to, .. } = *self;
        extent.check().is_ok() && extent.first <= from && from <= to && to <= extent.limit()
    }
}

/// Samples of one stream with consecutive seqs, as they arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Index into the footer's streams.
    pub(crate) stream: usize,
    pub(crate) first_seq: u64,
    pub(crate) samples: usize,
}

/// A chunk in memory; `runs` say which samples they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) footer: Footer,
    pub(crate) runs: Vec<Run>,
    pub(crate) samples: Samples,
}

/// The chunk as the bytes of a Parquet file. Everything is stored plain: compression is not worth its time at the rate of
/// a local network, of 800 bytes a sample the cleverest encoding saves 20, and plain pages can be read without a codec.
pub(crate) fn encode(chunk: Chunk) -> Result<Vec<u8>, ParquetError> {
    let Samples { labels, images } = chunk.samples;
    let images = Bytes::from(images);
    let names: Vec<ByteArray> = chunk.footer.streams.iter().map(|span| ByteArray::from(span.stream.as_str())).collect();
    let samples = labels.len();
    let mut streams = Vec::with_capacity(samples);
    let mut seqs = Vec::with_capacity(samples);
    for run in &chunk.runs {
        streams.extend(std::iter::repeat_n(&names[run.stream], run.samples).cloned());
        seqs.extend((run.first_seq..).take(run.samples).map(u64::cast_signed));
    }
    let labels: Vec<i32> = labels.into_iter().map(i32::from).collect();
    let image = |i| ByteArray::from(images.slice(i * PIXELS..(i + 1) * PIXELS)).into();
    let images: Vec<FixedLenByteArray> = (0..samples).map(image).collect();

    let schema = Arc::new(parse_message_type(SCHEMA)?);
    // A file that grew by and by would be copied several times.
    let size = samples * (PIXELS + 32) + 8192;
    let mut file = SerializedFileWriter::new(Vec::with_capacity(size), schema, Arc::new(properties(&chunk.footer)?))?;
    let mut group = file.next_row_group()?;
    write_column::<ByteArrayType>(&mut group, &streams)?;
    write_column::<Int64Type>(&mut group, &seqs)?;
    write_column::<Int32Type>(&mut group, &labels)?;
    write_column::<FixedLenByteArrayType>(&mut group, &images)?;
    group.close()?;
    file.into_inner()
}

/// Reads a chunk from the bytes of its file. `path` is for messages; the digest is the caller's to check, first.
pub(crate) fn decode(path: &Path, bytes: &[u8]) -> Result<Chunk, Error> {
    let footer = columns::footer(bytes, FOOTER_KEY).map_err(|what| Error::damaged(path, what))?;
    refuse_newer(footer).map_err(|error| Error::unusable(path, error))?;
    let chunk = decode_rows(bytes).and_then(|chunk| check_spans(&chunk).map(|()| chunk));
    chunk.map_err(|what| Error::damaged(path, what))
}

/// The number of samples in the bytes of a chunk file whose digest is not checked, for those who forge it.
#[doc(hidden)]
pub fn samples_in(path: &Path, bytes: &[u8]) -> Result<usize, Error> {
    let Chunk { runs, samples, .. } = decode(path, bytes)?;
    let count = runs.iter().map(|run| run.samples).sum();
    assert_eq!((samples.labels.len(), samples.images.len()), (count, count * PIXELS));
    Ok(count)
}

fn properties(footer: &Footer) -> Result<WriterProperties, ParquetError> {
    let footer = serde_json::to_string(footer).map_err(|error| ParquetError::External(error.into()))?;
    Ok(WriterProperties::builder()
        .set_created_by(concat!("tributary ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::UNCOMPRESSED)
        .set_dictionary_enabled(false)
        .set_encoding(Encoding::PLAIN)
        .set_column_statistics_enabled("image".into(), EnabledStatistics::None)
        .set_offset_index_disabled(true)
        .set_key_value_metadata(Some(vec![KeyValue::new(FOOTER_KEY.to_owned(), footer)]))
        .build())
}

fn write_column<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    values: &[T::T],
) -> Result<(), ParquetError> {
    let mut column = group.next_column()?.ok_or_else(|| ParquetError::General("the schema has four columns".into()))?;
    let writer: &mut ColumnWriterImpl<'_, T> = column.typed::<T>();
    writer.write_batch(values, None, None)?;
    column.close()
}

fn decode_rows(bytes: &[u8]) -> Result<Chunk, String> {
    let Columns { footer, streams, seqs, labels, images } = Columns::read(bytes, FOOTER_KEY)?;
    let footer: Footer = serde_json::from_slice(footer).map_err(|error| format!("footer: {error}"))?;
    check_format(footer.format, footer.streams.iter().map(|span| span.extent))?;
    if footer.image != IMAGE {
        return Err("its images are not of 28 by 28 pixels".into());
    }
    let labels = labels.into_iter().map(u8::try_from).collect::<Result<Vec<_>, _>>();
    let labels = labels.map_err(|_| "a label is not between 0 and 255")?;
    let runs = runs(&footer, &streams, &seqs)?;
    Ok(Chunk { footer, runs, samples: Samples { labels, images } })
}

fn runs(footer: &Footer, streams: &[&[u8]], seqs: &[i64]) -> Result<Vec<Run>, &'static str> {
    let indices = footer.streams.iter().enumerate().map(|(index, span)| (span.stream.as_bytes(), index));
    let indices: HashMap<&[u8], usize> = indices.collect();
    if indices.len() != footer.streams.len() {
        return Err("the footer names a stream twice");
    }
    let mut runs: Vec<Run> = Vec::new();
    for (stream, seq) in streams.iter().zip(seqs) {
        let &stream = indices.get(stream).ok_or("a row belongs to no stream of the footer")?;
        let seq = u64::try_from(*seq).map_err(|_| "a row has a negative seq")?;
        match runs.last_mut() {
            Some(run) if run.stream == stream && seq == run.first_seq + run.samples as u64 => run.samples += 1,
            _ => runs.push(Run { stream, first_seq: seq, samples: 1 }),
        }
    }
    Ok(runs)
}

/// Each stream's rows must be exactly its span, in order.
fn check_spans(chunk: &Chunk) -> Result<(), String> {
    let spans = &chunk.footer.streams;
    let contradicts = |span: &Span| format!("stream `{}` does not hold what the footer says", span.stream);
    if let Some(span) = spans.iter().find(|span| !span.is_possible()) {
        return Err(contradicts(span));
    }
    let mut positions: Vec<u64> = spans.iter().map(|span| span.from).collect();
    for run in &chunk.runs {
        let (span, position) = (&spans[run.stream], &mut positions[run.stream]);
        let next = *position + run.samples as u64;
        if next > span.to {
            return Err(contradicts(span));
        }
        for (found, seq) in (run.first_seq..).zip(span.extent.seqs(*position..next)) {
            if found != seq {
                return Err(format!("stream `{}` jumps from {seq} to {found}", span.stream));
            }
        }
        *position = next;
    }
    match spans.iter().zip(positions).find(|(span, position)| span.to != *position) {
        Some((span, _)) => Err(contradicts(span)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use parquet::{
        file::{reader::FileReader, serialized_reader::SerializedFileReader},
        record::RowAccessor,
    };

    use super::*;

    fn chunk() -> Chunk {
        let span = |stream: &str, from, to| Span { stream: stream.into(), extent: Extent::range(0..100), from, to };
        Chunk {
            footer: Footer {
                format: 1,
                image: IMAGE,
                dataset: DatasetId { name: "tiny".into(), digest: "00".into() },
                streams: vec![span("a", 10, 12), span("b", 0, 1)],
            },
            runs: vec![
                Run { stream: 0, first_seq: 10, samples: 1 },
                Run { stream: 1, first_seq: 0, samples: 1 },
                Run { stream: 0, first_seq: 11, samples: 1 },
            ],
            samples: Samples { labels: vec![3, 9, 0], images: (0..3 * PIXELS).map(|i| (i % 251) as u8).collect() },
        }
    }

    /// Two streams in turn, in more samples than one page holds.
    fn long_chunk() -> Chunk {
        let samples = 5_000;
        let mut chunk = chunk();
        chunk.footer.streams = vec![
            Span { stream: "a".into(), extent: Extent::range(0..9_000), from: 0, to: 2_500 },
            Span { stream: "bb".into(), extent: Extent::range(0..9_000), from: 500, to: 3_000 },
        ];
        let run = |i: u64| Run { stream: (i % 2) as usize, first_seq: i / 2 * 10 + i % 2 * 500, samples: 10 };
        chunk.runs = (0..500).map(run).collect();
        chunk.samples.labels = (0..samples).map(|i| (i % 10) as u8).collect();
        chunk.samples.images = (0..samples * PIXELS).map(|i| (i % 241) as u8).collect();
        chunk
    }

    /// Positions 11..15 of a stream that is dealt out and has no end, and `b` between them.
    fn dealt_chunk() -> Chunk {
        let mut chunk = chunk();
        let extent = Extent { first: 10, end: None, block: 3, stride: 9 };
        chunk.footer.format = 2;
        chunk.footer.streams[0] = Span { stream: "a".into(), extent, from: 11, to: 15 };
        let run = |stream, first_seq, samples| Run { stream, first_seq, samples };
        chunk.runs = vec![run(0, 11, 2), run(0, 19, 1), run(1, 0, 1), run(0, 20, 1)];
        chunk.samples = Samples { labels: vec![3; 5], images: vec![4; 5 * PIXELS] };
        chunk
    }

    #[test]
    fn any_reader_of_parquet_finds_the_same_samples() {
        for chunk in [chunk(), long_chunk(), dealt_chunk()] {
            let bytes = encode(chunk.clone()).unwrap();
            assert_eq!(decode(Path::new("x"), &bytes).unwrap(), chunk);
            let reader = SerializedFileReader::new(Bytes::from(bytes)).unwrap();
            let mut rows = 0;
            let runs =
                chunk.runs.iter().flat_map(|run| (run.first_seq..).take(run.samples).map(|seq| (run.stream, seq)));
            for ((i, row), (stream, seq)) in reader.get_row_iter(None).unwrap().enumerate().zip(runs) {
                let row = row.unwrap();
                assert_eq!(row.get_string(0).unwrap(), &chunk.footer.streams[stream].stream);
                assert_eq!(row.get_long(1).unwrap(), seq as i64);
                assert_eq!(row.get_int(2).unwrap(), i32::from(chunk.samples.labels[i]));
                assert_eq!(row.get_bytes(3).unwrap().data(), chunk.samples.image(i));
                rows += 1;
            }
            assert_eq!(rows, chunk.samples.len());
        }
    }

    /// A file with this metadata and no pages.
    fn file(metadata: &[u8]) -> Vec<u8> {
        [b"PAR1", metadata, &(metadata.len() as u32).to_le_bytes(), b"PAR1"].concat()
    }

    #[test]
    fn metadata_that_lies_about_lengths_is_refused_at_once() {
        let max = b"\xff\xff\xff\xff\x07"; // 2^31 - 1
        let flags = [b"\x09\x14\xf1", max.as_slice()].concat();
        for metadata in [
            [b"\x29\xfc", max.as_slice()].concat(), // so many columns in the schema
            [b"\x59\xfc", max.as_slice()].concat(), // so many pairs of key and value
            [b"\x68", max.as_slice()].concat(),     // a text so long
            flags.repeat(10_000),                   // so many flags in each of many lists
            vec![0x1c; 100_000],                    // structs in structs
        ] {
            let error = decode(Path::new("x"), &file(&metadata)).unwrap_err().to_string();
            assert!(error.contains("its metadata is not that of a chunk"), "{error}");
        }
        let mut bytes = file(b"");
        bytes[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        let error = decode(Path::new("x"), &bytes).unwrap_err().to_string();
        assert!(error.contains("its metadata is longer than that of any chunk"), "{error}");
    }

    #[test]
    fn every_changed_byte_of_a_file_whose_digest_was_forged_is_an_error_or_samples_and_never_a_panic() {
        let good = encode(chunk()).unwrap();
        for at in (0..good.len()).filter(|at| !(700..2_500).contains(at)) {
            for value in [0, 0x7f, 0xff, good[at] ^ 1, good[at] ^ 0x80, good[at].wrapping_add(1)] {
                let mut bad = good.clone();
                bad[at] = value;
                let _ = decode(Path::new("x"), &bad);
            }
        }
    }

    #[test]
    fn the_same_samples_are_the_same_bytes() {
        assert_eq!(encode(chunk()).unwrap(), encode(chunk()).unwrap());
    }

    #[test]
    fn a_footer_says_in_the_first_format_what_that_can_say() {
        let text = |chunk: &Chunk| serde_json::to_string(&chunk.footer).unwrap();
        let head = |format| {
            format!(r#"{{"format":{format},"image":[28,28],"dataset":{{"name":"tiny","digest":"00"}},"streams":["#)
        };
        let a = r#"{"stream":"a","first":0,"end":100,"from":10,"to":12},"#;
        let dealt = r#"{"stream":"a","first":10,"block":3,"stride":9,"from":11,"to":15},"#;
        let b = r#"{"stream":"b","first":0,"end":100,"from":0,"to":1}]}"#;
        assert_eq!(text(&chunk()), head(1) + a + b);
        assert_eq!(text(&dealt_chunk()), head(2) + dealt + b);
    }

    #[track_caller]
    fn check_damaged(change: impl FnOnce(&mut Chunk), expect: &str) {
        check_chunk(chunk(), change, expect);
    }

    #[track_caller]
    fn check_chunk(mut chunk: Chunk, change: impl FnOnce(&mut Chunk), expect: &str) {
        change(&mut chunk);
        let error = decode(Path::new("x"), &encode(chunk).unwrap()).unwrap_err();
        let Error::Damaged { what, .. } = error else { panic!("{error}") };
        assert_eq!(what, expect);
    }

    #[test]
    fn a_newer_chunk_is_not_damaged_whatever_its_footer_and_its_columns_are() {
        let older = r#"{"format":1,"image":[28,28],"dataset":{"name":"tiny","digest":"00"}"#;
        let newer = r#"{"format":3,"image":[28,28],"tomorrow":{"name":"tiny","sum":"1234"}"#;
        let columns = [("label", "lab_l"), ("seq", "s_q")];
        for change in [&[(older, newer)][..], &[(older, newer), columns[0], columns[1]]] {
            let mut bytes = encode(chunk()).unwrap();
            for (from, to) in change {
                let places: Vec<usize> =
                    (0..bytes.len()).filter(|at| bytes[*at..].starts_with(from.as_bytes())).collect();
                assert!(!places.is_empty() && from.len() == to.len(), "{from}");
                places.iter().for_each(|at| bytes[*at..at + to.len()].copy_from_slice(to.as_bytes()));
            }
            let error = decode(Path::new("x"), &bytes).unwrap_err().to_string();
            assert_eq!(error, "`x` is of format 3, and this program reads 1 to 2; use a newer one");
        }
    }

    #[test]
    fn a_footer_that_contradicts_the_rows_is_found() {
        check_damaged(|chunk| chunk.footer.streams[0].to = 13, "stream `a` does not hold what the footer says");
        check_damaged(|chunk| chunk.footer.streams[0].from = 9, "stream `a` jumps from 9 to 10");
        check_damaged(
            |chunk| chunk.footer.streams[1].extent.end = Some(0),
            "stream `b` does not hold what the footer says",
        );
        check_damaged(|chunk| chunk.runs[2].first_seq = 12, "stream `a` jumps from 11 to 12");
        check_damaged(|chunk| chunk.footer.streams[1].stream = "a".into(), "the footer names a stream twice");
        check_damaged(|chunk| chunk.footer.format = 0, "format 0, and this program reads 1 to 2");
        check_damaged(
            |chunk| chunk.footer.streams[0].extent.end = None,
            "format 1, and its streams are written in format 2",
        );
        check_damaged(|chunk| chunk.footer.image = [56, 14], "its images are not of 28 by 28 pixels");
        let says = "stream `a` does not hold what the footer says";
        let pieces = |chunk: &mut Chunk, block, stride| {
            chunk.footer.streams[0].extent = Extent { block, stride, ..chunk.footer.streams[0].extent };
        };
        check_chunk(dealt_chunk(), |chunk| pieces(chunk, 4, 9), "stream `a` jumps from 13 to 19");
        check_chunk(dealt_chunk(), |chunk| pieces(chunk, 3, 10), "stream `a` jumps from 20 to 19");
        check_chunk(dealt_chunk(), |chunk| pieces(chunk, 0, 9), says);
        check_chunk(dealt_chunk(), |chunk| pieces(chunk, 1, u64::MAX), says);
        check_chunk(dealt_chunk(), |chunk| chunk.footer.streams[0].extent.end = Some(14), says);
        check_chunk(dealt_chunk(), |chunk| chunk.runs[1].first_seq = 13, "stream `a` jumps from 19 to 13");
    }
}
