//! One chunk as Parquet bytes, and back.
//!
//! The rows stand in the order of arrival. The footer says which range of which stream the chunk holds, and the columns
//! must agree with it: every stream's rows are consecutive.

use std::{path::Path, sync::Arc};

use bytes::Bytes;
use parquet::{
    basic::{Compression, Encoding},
    column::{reader::ColumnReaderImpl, writer::ColumnWriterImpl},
    data_type::{ByteArray, ByteArrayType, DataType, FixedLenByteArray, FixedLenByteArrayType, Int32Type, Int64Type},
    errors::ParquetError,
    file::{
        metadata::KeyValue,
        properties::{EnabledStatistics, WriterProperties},
        reader::{FileReader, RowGroupReader},
        serialized_reader::SerializedFileReader,
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::parser::parse_message_type,
};
use serde::{Deserialize, Serialize};

use crate::{DatasetId, Error, IMAGE_BYTES};

/// Version of the chunk format.
pub(crate) const FORMAT: u32 = 1;

const SCHEMA: &str = "message sample {
    required binary stream (STRING);
    required int64 seq;
    required int32 label;
    required fixed_len_byte_array(784) image;
}";

/// The footer's key for [`Footer`].
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

/// The part of one stream that a chunk holds: `from..to` of the stream's `first..end`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Span {
    pub(crate) stream: String,
    pub(crate) first: u64,
    pub(crate) end: u64,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// Consecutive samples of one stream, as they arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Index into the footer's streams.
    pub(crate) stream: usize,
    pub(crate) first_seq: u64,
    pub(crate) samples: usize,
}

/// A chunk in memory: `labels[i]` and `images[i * 784..][..784]` belong together, and `runs` say which samples they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) footer: Footer,
    pub(crate) runs: Vec<Run>,
    pub(crate) labels: Vec<u8>,
    pub(crate) images: Vec<u8>,
}

/// The chunk as the bytes of a Parquet file. Images are stored plain: compression is not worth its time at the rate of
/// a local network, and plain pages can be read without a codec.
pub(crate) fn encode(chunk: &Chunk) -> Result<Vec<u8>, ParquetError> {
    let names: Vec<ByteArray> = chunk.footer.streams.iter().map(|span| ByteArray::from(span.stream.as_str())).collect();
    let samples = chunk.labels.len();
    let mut streams = Vec::with_capacity(samples);
    let mut seqs = Vec::with_capacity(samples);
    for run in &chunk.runs {
        streams.extend(std::iter::repeat_n(&names[run.stream], run.samples).cloned());
        seqs.extend((run.first_seq..).take(run.samples).map(u64::cast_signed));
    }
    let labels: Vec<i32> = chunk.labels.iter().map(|&label| i32::from(label)).collect();
    let pixels = Bytes::copy_from_slice(&chunk.images);
    let images: Vec<FixedLenByteArray> =
        (0..samples).map(|i| ByteArray::from(pixels.slice(i * IMAGE_BYTES..(i + 1) * IMAGE_BYTES)).into()).collect();

    let schema = Arc::new(parse_message_type(SCHEMA)?);
    let mut file = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties(&chunk.footer)?))?;
    let mut group = file.next_row_group()?;
    write_column::<ByteArrayType>(&mut group, &streams)?;
    write_column::<Int64Type>(&mut group, &seqs)?;
    write_column::<Int32Type>(&mut group, &labels)?;
    write_column::<FixedLenByteArrayType>(&mut group, &images)?;
    group.close()?;
    file.into_inner()
}

/// Reads a chunk from the bytes of its file. `path` is for messages; the digest is the caller's to check, first.
pub(crate) fn decode(path: &Path, bytes: Vec<u8>) -> Result<Chunk, Error> {
    decode_parquet(bytes).map_err(|error| Error::damaged(path, error.to_string())).and_then(|chunk| {
        check_spans(&chunk).map_err(|what| Error::damaged(path, what))?;
        Ok(chunk)
    })
}

fn properties(footer: &Footer) -> Result<WriterProperties, ParquetError> {
    let footer = serde_json::to_string(footer).map_err(|error| ParquetError::External(error.into()))?;
    Ok(WriterProperties::builder()
        .set_created_by(concat!("tributary ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::UNCOMPRESSED)
        .set_dictionary_enabled(false)
        .set_column_dictionary_enabled("stream".into(), true)
        .set_column_encoding("seq".into(), Encoding::DELTA_BINARY_PACKED)
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

fn decode_parquet(bytes: Vec<u8>) -> Result<Chunk, ParquetError> {
    let general = |what: &str| ParquetError::General(what.to_owned());
    let reader = SerializedFileReader::new(Bytes::from(bytes))?;
    let metadata = reader.metadata().file_metadata();
    let footer = metadata
        .key_value_metadata()
        .and_then(|pairs| pairs.iter().find(|pair| pair.key == FOOTER_KEY)?.value.as_deref())
        .ok_or_else(|| general("the footer does not say which samples it holds"))?;
    let footer: Footer = serde_json::from_str(footer).map_err(|error| general(&format!("footer: {error}")))?;
    if footer.format != FORMAT {
        return Err(general(&format!("format {}, and this program reads {FORMAT}", footer.format)));
    }
    if metadata.schema() != &parse_message_type(SCHEMA)? || reader.num_row_groups() != 1 {
        return Err(general("it has other columns than a chunk has"));
    }
    let samples = usize::try_from(metadata.num_rows()).map_err(|_| general("it has a negative number of rows"))?;
    let group = reader.get_row_group(0)?;
    let streams = read_column::<ByteArrayType>(&*group, 0, samples)?;
    let seqs = read_column::<Int64Type>(&*group, 1, samples)?;
    let labels = read_column::<Int32Type>(&*group, 2, samples)?;
    let pixels = read_column::<FixedLenByteArrayType>(&*group, 3, samples)?;

    let mut images = Vec::with_capacity(samples * IMAGE_BYTES);
    for image in &pixels {
        images.extend_from_slice(image.data());
    }
    let labels = labels.into_iter().map(u8::try_from).collect::<Result<Vec<_>, _>>();
    let labels = labels.map_err(|_| general("a label is not between 0 and 255"))?;
    let runs = runs(&footer, &streams, &seqs).ok_or_else(|| general("a row belongs to no stream of the footer"))?;
    Ok(Chunk { footer, runs, labels, images })
}

fn read_column<T: DataType>(group: &dyn RowGroupReader, index: usize, samples: usize) -> Result<Vec<T::T>, ParquetError>
where
    ColumnReaderImpl<T>: Sized,
{
    let mut reader = parquet::column::reader::get_typed_column_reader::<T>(group.get_column_reader(index)?);
    let mut values = Vec::new();
    while values.len() < samples {
        let (_, read, _) = reader.read_records(samples - values.len(), None, None, &mut values)?;
        if read == 0 {
            return Err(ParquetError::General(format!("column {index} ends after {} rows of {samples}", values.len())));
        }
    }
    Ok(values)
}

/// Folds rows into runs; `None` if a row names a stream that the footer does not.
fn runs(footer: &Footer, streams: &[ByteArray], seqs: &[i64]) -> Option<Vec<Run>> {
    let mut runs: Vec<Run> = Vec::new();
    for (stream, seq) in streams.iter().zip(seqs) {
        let seq = u64::try_from(*seq).ok()?;
        match runs.last_mut() {
            Some(run)
                if footer.streams[run.stream].stream.as_bytes() == stream.data()
                    && seq == run.first_seq + run.samples as u64 =>
            {
                run.samples += 1;
            }
            _ => {
                let stream = footer.streams.iter().position(|span| span.stream.as_bytes() == stream.data())?;
                runs.push(Run { stream, first_seq: seq, samples: 1 });
            }
        }
    }
    Some(runs)
}

/// Each stream's rows must be exactly its span, in order.
fn check_spans(chunk: &Chunk) -> Result<(), String> {
    let mut positions: Vec<u64> = chunk.footer.streams.iter().map(|span| span.from).collect();
    for run in &chunk.runs {
        if run.first_seq != positions[run.stream] {
            let stream = &chunk.footer.streams[run.stream].stream;
            return Err(format!("stream `{stream}` jumps from {} to {}", positions[run.stream], run.first_seq));
        }
        positions[run.stream] += run.samples as u64;
    }
    for (span, position) in chunk.footer.streams.iter().zip(positions) {
        let Span { stream, first, end, from, to } = span;
        if position != *to || from > to || first > from || to > end {
            return Err(format!("stream `{stream}` does not hold what the footer says"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk() -> Chunk {
        let span = |stream: &str, from, to| Span { stream: stream.into(), first: 0, end: 100, from, to };
        Chunk {
            footer: Footer {
                format: FORMAT,
                image: [28, 28],
                dataset: DatasetId { name: "tiny".into(), digest: "00".into() },
                streams: vec![span("a", 10, 12), span("b", 0, 1)],
            },
            runs: vec![
                Run { stream: 0, first_seq: 10, samples: 1 },
                Run { stream: 1, first_seq: 0, samples: 1 },
                Run { stream: 0, first_seq: 11, samples: 1 },
            ],
            labels: vec![3, 9, 0],
            images: (0..3 * IMAGE_BYTES).map(|i| (i % 251) as u8).collect(),
        }
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let chunk = chunk();
        let bytes = encode(&chunk).unwrap();
        assert_eq!((&bytes[..4], &bytes[bytes.len() - 4..]), (&b"PAR1"[..], &b"PAR1"[..]));
        assert_eq!(decode(Path::new("x"), bytes).unwrap(), chunk);
    }

    #[test]
    fn the_same_samples_are_the_same_bytes() {
        assert_eq!(encode(&chunk()).unwrap(), encode(&chunk()).unwrap());
    }

    #[track_caller]
    fn check_damaged(change: impl FnOnce(&mut Chunk), expect: &str) {
        let mut chunk = chunk();
        change(&mut chunk);
        let error = decode(Path::new("x"), encode(&chunk).unwrap()).unwrap_err();
        let Error::Damaged { what, .. } = error else { panic!("{error}") };
        assert_eq!(what.trim_start_matches("Parquet error: "), expect);
    }

    #[test]
    fn a_footer_that_contradicts_the_rows_is_found() {
        check_damaged(|chunk| chunk.footer.streams[0].to = 13, "stream `a` does not hold what the footer says");
        check_damaged(|chunk| chunk.footer.streams[0].from = 9, "stream `a` jumps from 9 to 10");
        check_damaged(|chunk| chunk.footer.streams[1].end = 0, "stream `b` does not hold what the footer says");
        check_damaged(|chunk| chunk.runs[2].first_seq = 12, "stream `a` jumps from 11 to 12");
        check_damaged(|chunk| chunk.footer.format = 2, "format 2, and this program reads 1");
    }
}
