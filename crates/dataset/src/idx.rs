//! An IDX file is MNIST's file format: a big-endian header (magic, count, and for images rows and columns), then
//! one byte per pixel or label. A dataset is four of them, raw or gzip-compressed.
//!
//! This module unpacks, checks and writes such files.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Read, Write},
    path::Path,
};

use flate2::bufread::MultiGzDecoder;
use sample::{CLASSES, COLS, PIXELS, ROWS};

use crate::{Error, FILES, Split};

/// The most samples of a file. EMNIST's largest has 697,932; a million images are 784 MB.
pub(crate) const MAX_SAMPLES: usize = 1_000_000;

/// The most bytes that a packed file of this size may unpack to. Images that somebody drew or took shrink to a tenth or so; what
/// shrinks to less than a hundredth is there to fill memory, unless it is as small as MNIST in any case.
pub(crate) fn room(packed: u64) -> u64 {
    packed.saturating_mul(100).max(60_000_000)
}

pub(crate) const IMAGES_HEADER: usize = 16;
pub(crate) const LABELS_HEADER: usize = 8;

const IMAGES_MAGIC: u32 = 0x0803;
const LABELS_MAGIC: u32 = 0x0801;

/// The bytes of the file, unpacked if they are packed, whatever its name says.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let mut file = BufReader::new(File::open(path).map_err(Error::io("open", path))?);
    let size = file.get_ref().metadata().map_err(Error::io("read", path))?.len();
    if is_gzip(file.fill_buf().map_err(Error::io("read", path))?) {
        unpack_from(file, size).map_err(|what| Error::unusable(path, what))
    } else {
        read_whole(&mut file, size, u64::MAX).map_err(Error::io("read", path))
    }
}

/// Unpacks gzip `packed` in memory. Fails, with the reason, on a damaged file. No more is unpacked than its header promises, nor
/// than [`room`] allows; of what does not begin as an IDX file only the begin is.
#[doc(hidden)]
pub fn unpack(packed: &[u8]) -> Result<Vec<u8>, String> {
    unpack_from(packed, packed.len() as u64)
}

fn unpack_from(packed: impl BufRead, size: u64) -> Result<Vec<u8>, String> {
    let unpacked = read_whole(&mut MultiGzDecoder::new(packed), room(size), room(size));
    unpacked.map_err(|error| format!("is not a whole gzip file ({error}); replace it"))
}

/// Reads the bytes that the header promises, and one more if there is one, which is enough for a length to be seen to be wrong.
/// Memory is reserved for no more than `likely`. Where the header is not that of a file which will be read, little more is
/// returned; where it promises more than `room`, that is an error.
fn read_whole(content: &mut dyn Read, likely: u64, room: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    content.take(LABELS_HEADER as u64).read_to_end(&mut bytes)?;
    if bytes.len() < LABELS_HEADER {
        return Ok(bytes);
    }
    let (header, sample) = match word(&bytes, 0) {
        IMAGES_MAGIC => (IMAGES_HEADER, PIXELS),
        LABELS_MAGIC => (LABELS_HEADER, 1),
        _ => return Ok(bytes),
    };
    let count = word(&bytes, 1) as usize;
    if count > MAX_SAMPLES {
        return Ok(bytes);
    }
    let whole = (header + count * sample) as u64;
    if whole > room {
        let what =
            format!("its header promises {whole} bytes, more than a hundred times its size; if it is sound, unpack it");
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    bytes.reserve_exact(likely.min(whole + 1) as usize); // One step, for growing by doubling would need three times as much.
    content.take(whole - LABELS_HEADER as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Checks header and length of the bytes of an images file; returns the number of images.
#[doc(hidden)] // For those who try to break it, as `check_labels` is.
pub fn check_images(bytes: &[u8]) -> Result<usize, String> {
    let count = check_header(bytes, "an images file", IMAGES_MAGIC, IMAGES_HEADER)?;
    let (rows, columns) = (word(bytes, 2), word(bytes, 3));
    if (rows, columns) != (ROWS as u32, COLS as u32) {
        return Err(format!("holds images of {rows} by {columns} pixels instead of {ROWS} by {COLS}"));
    }
    check_length(bytes, count, IMAGES_HEADER + count * PIXELS)?;
    Ok(count)
}

/// Checks header, length and labels of the bytes of a labels file; returns the number of labels.
#[doc(hidden)]
pub fn check_labels(bytes: &[u8]) -> Result<usize, String> {
    let count = check_header(bytes, "a labels file", LABELS_MAGIC, LABELS_HEADER)?;
    check_length(bytes, count, LABELS_HEADER + count)?;
    let labels = &bytes[LABELS_HEADER..];
    match labels.iter().position(|&label| usize::from(label) >= CLASSES) {
        Some(at) => Err(format!("holds label {} at position {at}; labels are below {CLASSES}; replace it", labels[at])),
        None => Ok(count),
    }
}

/// The images in an IDX file of these bytes, raw or gzip-compressed: [`PIXELS`] bytes each. `path` names the file in errors.
///
/// # Errors
/// When it is not a whole, well-formed images file.
pub fn images(path: &Path, bytes: Vec<u8>) -> Result<Vec<u8>, Error> {
    let unpacked = if is_gzip(&bytes) { unpack(&bytes) } else { Ok(bytes) };
    let checked = unpacked.and_then(|bytes| check_images(&bytes).map(|_| bytes));
    let mut bytes = checked.map_err(|what| Error::unusable(path, what))?;
    bytes.drain(..IMAGES_HEADER);
    Ok(bytes)
}

/// Whether these bytes begin as an IDX file of images does, raw or gzip-compressed.
pub fn is_images(bytes: &[u8]) -> bool {
    is_gzip(bytes) || bytes.starts_with(&IMAGES_MAGIC.to_be_bytes())
}

fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
}

/// Writes one split of a dataset to `dir`, which is made if need be, as two raw IDX files, and syncs them to disk.
///
/// `dir` must not be called `mnist` unless this is MNIST: [`load`](crate::load()) would take it for a damaged one.
///
/// # Panics
/// If there are not [`PIXELS`] bytes of `images` for each of `labels`.
pub fn write_idx(dir: &Path, split: Split, images: &[u8], labels: &[u8]) -> Result<(), Error> {
    assert_eq!(images.len(), labels.len() * PIXELS, "one image of {PIXELS} bytes per label");
    let count = labels.len() as u32;
    let [images_file, labels_file] = split.files();
    fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
    write(&dir.join(FILES[images_file]), &images_header(count), images)?;
    write(&dir.join(FILES[labels_file]), &labels_header(count), labels)
}

pub(crate) fn images_header(count: u32) -> [u8; IMAGES_HEADER] {
    let mut header = [0; IMAGES_HEADER];
    for (bytes, word) in header.chunks_exact_mut(4).zip([IMAGES_MAGIC, count, ROWS as u32, COLS as u32]) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    header
}

pub(crate) fn labels_header(count: u32) -> [u8; LABELS_HEADER] {
    let mut header = [0; LABELS_HEADER];
    for (bytes, word) in header.chunks_exact_mut(4).zip([LABELS_MAGIC, count]) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    header
}

fn check_header(bytes: &[u8], kind: &str, magic: u32, header: usize) -> Result<usize, String> {
    if bytes.len() >= LABELS_HEADER && word(bytes, 0) != magic {
        let found = word(bytes, 0);
        return Err(format!("begins with {found:#010x} instead of {magic:#010x}, so it is not {kind}; replace it"));
    }
    if bytes.len() >= LABELS_HEADER && word(bytes, 1) as usize > MAX_SAMPLES {
        return Err(format!("claims to hold {} samples; at most {MAX_SAMPLES} can be read", word(bytes, 1)));
    }
    if bytes.len() < header {
        return Err(format!("is {} bytes long, too short for {kind}; replace it", bytes.len()));
    }
    Ok(word(bytes, 1) as usize)
}

fn check_length(bytes: &[u8], count: usize, expected: usize) -> Result<(), String> {
    let samples = if count == 1 { "sample" } else { "samples" };
    let promise = || format!("the {expected} bytes that its header promises ({count} {samples}); replace it");
    match bytes.len() {
        length if length < expected => Err(format!("is {length} bytes long, shorter than {}", promise())),
        length if length > expected => Err(format!("is longer than {}", promise())),
        _ => Ok(()),
    }
}

/// The big-endian word at position `index` of a header whose length has been checked.
fn word(bytes: &[u8], index: usize) -> u32 {
    let at = index * 4;
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn write(path: &Path, header: &[u8], body: &[u8]) -> Result<(), Error> {
    let mut file = File::create(path).map_err(Error::io("create", path))?;
    file.write_all(header)
        .and_then(|()| file.write_all(body))
        .and_then(|()| file.sync_all())
        .map_err(Error::io("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_written_as_the_format_says() {
        let dir = tempfile::tempdir().unwrap();
        write_idx(dir.path(), Split::Train, &[7; 2 * PIXELS], &[3, 9]).unwrap();
        let images = fs::read(dir.path().join("train-images-idx3-ubyte")).unwrap();
        assert_eq!(images[..17], [0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 28, 0, 0, 0, 28, 7]);
        assert_eq!(images.len(), 16 + 2 * 784);
        let labels = fs::read(dir.path().join("train-labels-idx1-ubyte")).unwrap();
        assert_eq!(labels, [0, 0, 8, 1, 0, 0, 0, 2, 3, 9]);
    }
}
