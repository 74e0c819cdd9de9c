//! An IDX file is MNIST's file format: a big-endian header (magic, count, and for images rows and columns), then
//! one byte per pixel or label. A dataset is four of them, raw or gzip-compressed.
//!
//! This module unpacks, checks and writes such files.

use std::{
    cmp::Ordering,
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

/// One of the two kinds of files that a dataset is made of.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    /// What errors call it.
    name: &'static str,
    magic: u32,
    /// Bytes of the header.
    pub(crate) start: usize,
    /// Bytes of a sample.
    pub(crate) sample: usize,
}

pub(crate) const IMAGES: Kind = Kind { name: "an images file", magic: 0x0803, start: 16, sample: PIXELS };
pub(crate) const LABELS: Kind = Kind { name: "a labels file", magic: 0x0801, start: 8, sample: 1 };

impl Kind {
    /// The header of a file with so many samples.
    pub(crate) fn header(&self, count: u32) -> Vec<u8> {
        let words = [self.magic, count, ROWS as u32, COLS as u32].map(u32::to_be_bytes);
        words.as_flattened()[..self.start].to_vec()
    }

    /// Checks header and length of the bytes of such a file; returns the number of samples.
    fn check(&self, bytes: &[u8]) -> Result<usize, String> {
        let Kind { name, magic, start, sample } = *self;
        let too_short = || format!("is {} bytes long, too short for {name}; replace it", bytes.len());
        let [found, count] = words(bytes).ok_or_else(too_short)?;
        if found != magic {
            return Err(format!("begins with {found:#010x} instead of {magic:#010x}, so it is not {name}; replace it"));
        }
        let count = count as usize;
        if count > MAX_SAMPLES {
            return Err(format!("claims to hold {count} samples; at most {MAX_SAMPLES} can be read"));
        }
        let header = bytes.get(..start).ok_or_else(too_short)?;
        if let Some([_, _, rows, columns]) = words(header).filter(|size| size[2..] != [ROWS as u32, COLS as u32]) {
            return Err(format!("holds images of {rows} by {columns} pixels instead of {ROWS} by {COLS}"));
        }
        let (length, expected) = (bytes.len(), start + count * sample);
        let samples = if count == 1 { "sample" } else { "samples" };
        let promise = format!("the {expected} bytes that its header promises ({count} {samples}); replace it");
        match length.cmp(&expected) {
            Ordering::Less => Err(format!("is {length} bytes long, shorter than {promise}")),
            Ordering::Greater => Err(format!("is longer than {promise}")),
            Ordering::Equal => Ok(count),
        }
    }
}

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
    content.take(LABELS.start as u64).read_to_end(&mut bytes)?;
    let Some([magic, count]) = words(&bytes).filter(|[_, count]| *count as usize <= MAX_SAMPLES) else {
        return Ok(bytes);
    };
    let Some(kind) = [IMAGES, LABELS].into_iter().find(|kind| kind.magic == magic) else { return Ok(bytes) };
    let whole = (kind.start + count as usize * kind.sample) as u64;
    if whole > room {
        let what =
            format!("its header promises {whole} bytes, more than a hundred times its size; if it is sound, unpack it");
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    bytes.reserve_exact(likely.min(whole + 1) as usize); // One step, for growing by doubling would need three times as much.
    content.take(whole - LABELS.start as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Checks header and length of the bytes of an images file; returns the number of images.
#[doc(hidden)] // For those who try to break it, as `check_labels` is.
pub fn check_images(bytes: &[u8]) -> Result<usize, String> {
    IMAGES.check(bytes)
}

/// Checks header, length and labels of the bytes of a labels file; returns the number of labels.
#[doc(hidden)]
pub fn check_labels(bytes: &[u8]) -> Result<usize, String> {
    let count = LABELS.check(bytes)?;
    let labels = &bytes[LABELS.start..];
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
    bytes.drain(..IMAGES.start);
    Ok(bytes)
}

/// Whether these bytes begin as an IDX file of images does, raw or gzip-compressed.
pub fn is_images(bytes: &[u8]) -> bool {
    is_gzip(bytes) || bytes.starts_with(&IMAGES.magic.to_be_bytes())
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
    fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
    for (file, (kind, samples)) in split.files().into_iter().zip([(IMAGES, images), (LABELS, labels)]) {
        let path = dir.join(FILES[file]);
        let mut file = File::create(&path).map_err(Error::io("create", &path))?;
        let written = file.write_all(&kind.header(count)).and_then(|()| file.write_all(samples));
        written.and_then(|()| file.sync_all()).map_err(Error::io("write", &path))?;
    }
    Ok(())
}

/// The first big-endian words, if there are as many.
fn words<const N: usize>(bytes: &[u8]) -> Option<[u32; N]> {
    Some(bytes.as_chunks().0.first_chunk::<N>()?.map(u32::from_be_bytes))
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
