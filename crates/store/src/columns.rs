//! The columns of a chunk file, taken straight from its bytes.
//!
//! Any tool reads a chunk, for it is Parquet; but this reader reads only the Parquet that `chunk::encode` writes: one row
//! group of four required columns in plain, uncompressed pages. Everything else is refused before it is looked at any
//! closer, so that a forged file, whose digest says nothing, can neither crash the program nor cost it more memory than
//! a few times the file's own size.

use sample::PIXELS;

use crate::thrift::Struct;

const MAGIC: &[u8; 4] = b"PAR1";

/// Most bytes of metadata: those of some five thousand streams. Parsed, they take up to fifty times as much.
const MAX_METADATA: usize = 1 << 20;

/// Name, physical type and, for a type of fixed length, bytes of each column.
const COLUMNS: [(&str, i64, Option<usize>); 4] =
    [("stream", BYTE_ARRAY, None), ("seq", INT64, None), ("label", INT32, None), ("image", FIXED, Some(PIXELS))];

// Numbers of the Parquet format (`parquet.thrift`).
const INT32: i64 = 1;
const INT64: i64 = 2;
const BYTE_ARRAY: i64 = 6;
const FIXED: i64 = 7;
const REQUIRED: i64 = 0;
const PLAIN: i64 = 0;
const UNCOMPRESSED: i64 = 0;
const DATA_PAGE: i64 = 0;

/// The rows of a chunk file: entry `i` of each column belongs to row `i`.
#[derive(Debug)]
pub(crate) struct Columns<'a> {
    /// What the footer says under our key.
    pub(crate) footer: &'a [u8],
    pub(crate) streams: Vec<&'a [u8]>,
    pub(crate) seqs: Vec<i64>,
    pub(crate) labels: Vec<i32>,
    /// 784 bytes a row.
    pub(crate) images: Vec<u8>,
}

impl<'a> Columns<'a> {
    /// Reads the bytes of a chunk file; `key` is that of our part of the footer. The error is one clause.
    pub(crate) fn read(bytes: &'a [u8], key: &str) -> Result<Self, &'static str> {
        let metadata = metadata(bytes)?;
        let footer = pair(&metadata, key).ok_or(NO_FOOTER)?;
        let rows = metadata.size(3).ok_or("its metadata does not say how many rows it has")?;
        let columns = column_chunks(&metadata).ok_or("it has other columns than a chunk has")?;
        let [streams, seqs, labels, images] = columns.map(|column| pages(bytes, column, rows));
        Ok(Columns {
            footer,
            streams: texts(&streams?)?,
            seqs: fixed(&seqs?)?.into_iter().map(|&value| i64::from_le_bytes(value)).collect(),
            labels: fixed(&labels?)?.into_iter().map(|&value| i32::from_le_bytes(value)).collect(),
            images: fixed::<PIXELS>(&images?)?.into_iter().flatten().copied().collect(),
        })
    }
}

/// Our part of the footer alone, whatever the columns are.
pub(crate) fn footer<'a>(bytes: &'a [u8], key: &str) -> Result<&'a [u8], &'static str> {
    pair(&metadata(bytes)?, key).ok_or(NO_FOOTER)
}

const NO_FOOTER: &str = "the footer does not say which samples it holds";

/// `PAR1 | pages | metadata | length of metadata u32 | PAR1`, little-endian.
fn metadata(bytes: &[u8]) -> Result<Struct<'_>, &'static str> {
    let inner = bytes.strip_prefix(MAGIC).and_then(|rest| rest.strip_suffix(MAGIC));
    let (rest, len) = inner.and_then(|rest| rest.split_last_chunk()).ok_or("it is not a Parquet file")?;
    let len = u32::from_le_bytes(*len) as usize;
    if len > MAX_METADATA {
        return Err("its metadata is longer than that of any chunk");
    }
    let start = rest.len().checked_sub(len).ok_or("its metadata is longer than the file")?;
    let mut input = &rest[start..];
    Struct::read(&mut input).filter(|_| input.is_empty()).ok_or("its metadata is not that of a chunk")
}

fn pair<'a>(metadata: &Struct<'a>, key: &str) -> Option<&'a [u8]> {
    metadata.structs(5)?.into_iter().find(|pair| pair.binary(1) == Some(key.as_bytes()))?.binary(2)
}

/// The metadata of the four columns, if they are those of a chunk.
fn column_chunks<'m, 'a>(metadata: &'m Struct<'a>) -> Option<[&'m Struct<'a>; 4]> {
    let schema = metadata.structs(2)?;
    let (root, leaves) = schema.split_first()?;
    let is_ours = |(leaf, (name, kind, length)): (&&Struct<'_>, (&str, i64, Option<usize>))| {
        (leaf.binary(4), leaf.int(1), leaf.int(3)) == (Some(name.as_bytes()), Some(kind), Some(REQUIRED))
            && length.is_none_or(|length| leaf.size(2) == Some(length))
    };
    if root.size(5) != Some(COLUMNS.len()) || leaves.len() != COLUMNS.len() || !leaves.iter().zip(COLUMNS).all(is_ours)
    {
        return None;
    }
    let [group] = metadata.structs(4)?.try_into().ok()?;
    let chunks: [_; 4] = group.structs(1)?.try_into().ok()?;
    let [a, b, c, d] = chunks.map(|chunk: &Struct<'_>| chunk.fields(3));
    Some([a?, b?, c?, d?])
}

/// The pages of a column, as the number of values and the bytes of each. There are `rows` values in all.
fn pages<'a>(bytes: &'a [u8], column: &Struct<'_>, rows: usize) -> Result<Vec<(usize, &'a [u8])>, &'static str> {
    let place = || {
        let (start, len) = (column.size(9)?, column.size(7)?);
        bytes.get(start..start.checked_add(len)?)
    };
    if column.int(4) != Some(UNCOMPRESSED) {
        return Err("a column is compressed");
    }
    let mut rest = place().ok_or("a column lies outside of the file")?;
    let (mut pages, mut values) = (Vec::new(), 0_usize);
    while !rest.is_empty() {
        let header = Struct::read(&mut rest).ok_or("the header of a page is malformed")?;
        let page = page(&header, &mut rest).ok_or("a page is not a plain one")?;
        values = values.saturating_add(page.0);
        pages.push(page);
    }
    if values == rows { Ok(pages) } else { Err("a column has another number of rows than the file") }
}

fn page<'a>(header: &Struct<'_>, rest: &mut &'a [u8]) -> Option<(usize, &'a [u8])> {
    let data = header.fields(5)?;
    let is_plain = header.int(1)? == DATA_PAGE && data.int(2)? == PLAIN && header.int(2)? == header.int(3)?;
    let (page, after) = rest.split_at_checked(header.size(3)?)?;
    *rest = after;
    is_plain.then_some((data.size(1)?, page))
}

/// The values of a column of `N` bytes each.
fn fixed<'a, const N: usize>(pages: &[(usize, &'a [u8])]) -> Result<Vec<&'a [u8; N]>, &'static str> {
    let mut values = Vec::new();
    for (count, page) in pages {
        let (items, rest) = page.as_chunks();
        if items.len() != *count || !rest.is_empty() {
            return Err(MISCOUNTED);
        }
        values.extend(items);
    }
    Ok(values)
}

/// The values of a column of texts: `length u32 | bytes`, little-endian.
fn texts<'a>(pages: &[(usize, &'a [u8])]) -> Result<Vec<&'a [u8]>, &'static str> {
    let mut values = Vec::new();
    for &(count, mut page) in pages {
        let before = values.len();
        while let Some((len, rest)) = page.split_first_chunk() {
            let text;
            (text, page) = rest.split_at_checked(u32::from_le_bytes(*len) as usize).ok_or(MISCOUNTED)?;
            values.push(text);
        }
        if values.len() - before != count || !page.is_empty() {
            return Err(MISCOUNTED);
        }
    }
    Ok(values)
}

const MISCOUNTED: &str = "a page holds another number of values than it says";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_holds_as_many_values_as_it_says_and_nothing_else() {
        assert_eq!(fixed::<2>(&[(2, b"abcd"), (0, b""), (1, b"ef")]), Ok(vec![b"ab", b"cd", b"ef"]));
        for page in [(1, &b"abcd"[..]), (3, b"abcd"), (2, b"abcde"), (usize::MAX, b"")] {
            assert_eq!(fixed::<2>(&[page]), Err(MISCOUNTED));
        }
        let text = b"\x01\0\0\0a\0\0\0\0";
        assert_eq!(texts(&[(2, text)]), Ok(vec![&b"a"[..], b""]));
        for page in [(1, &text[..]), (3, text), (2, &text[..8]), (1, b"\xff\xff\xff\xffa")] {
            assert_eq!(texts(&[page]), Err(MISCOUNTED));
        }
    }
}
