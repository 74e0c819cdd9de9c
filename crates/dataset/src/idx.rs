//! An IDX file is MNIST's file format: a big-endian header (magic, count, and for images rows and columns), then
//! one byte per pixel or label. A dataset is four of them, raw or gzip-compressed.
//!
//! This module finds, unpacks, checks and writes such files. The checks are here because the `mnist` crate, which
//! reads them afterwards, panics on a bad file and does not notice one that is too short.

use std::{
    fs::{self, File},
    io::{Read, Write},
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};

use crate::{CLASSES, COLS, Error, PIXELS, ROWS, Split};

/// The four files of a dataset: images and labels to train on, then images and labels to test with.
pub const FILES: [&str; 4] =
    ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

/// The most images in a file, which is the most that the `mnist` crate hands out. It also bounds the memory
/// that a hostile gzip file can make us use.
const MAX_COUNT: usize = 70_000;

pub(crate) const IMAGES_HEADER: usize = 16;
pub(crate) const LABELS_HEADER: usize = 8;
const MAX_BYTES: usize = IMAGES_HEADER + MAX_COUNT * PIXELS;

const IMAGES_MAGIC: u32 = 0x0803;
const LABELS_MAGIC: u32 = 0x0801;

impl Split {
    /// Positions of this split's images and labels in [`FILES`].
    pub(crate) fn files(self) -> [usize; 2] {
        match self {
            Self::Train => [0, 1],
            Self::Test => [2, 3],
        }
    }

    pub(crate) fn other(self) -> Self {
        match self {
            Self::Train => Self::Test,
            Self::Test => Self::Train,
        }
    }
}

/// A file that has been read and unpacked.
pub(crate) struct Unpacked {
    pub(crate) path: PathBuf,
    /// The bytes of the raw file, header included.
    pub(crate) bytes: Vec<u8>,
    pub(crate) sha256: [u8; 32],
}

/// Where the file `name` lies in `dir`: raw or, failing that, with `.gz` appended.
pub(crate) fn find(dir: &Path, name: &str) -> Option<PathBuf> {
    [dir.join(name), dir.join(format!("{name}.gz"))].into_iter().find(|path| path.is_file())
}

/// Fails with the first thing that is missing, if `dir` does not hold all four files.
pub(crate) fn require_all(dir: &Path) -> Result<(), Error> {
    FILES.iter().try_for_each(|name| require(dir, name).map(drop))
}

/// Reads and unpacks the file `name` in `dir`.
pub(crate) fn read(dir: &Path, name: &str) -> Result<Unpacked, Error> {
    let path = require(dir, name)?;
    let file = File::open(&path).map_err(Error::io("open", &path))?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(Error::io("read", &path))?;
    if path.extension().is_some_and(|extension| extension == "gz") {
        bytes = unpack(&bytes).map_err(|what| Error::corrupt(&path, what))?;
    }
    let sha256 = Sha256::digest(&bytes).into();
    Ok(Unpacked { path, bytes, sha256 })
}

/// Unpacks gzip `packed` in memory. Fails, with the reason, on a damaged file and on one that would not fit a
/// dataset, of which no more than that is unpacked.
#[doc(hidden)]
pub fn unpack(packed: &[u8]) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    MultiGzDecoder::new(packed)
        .take(MAX_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("is not a whole gzip file ({error}); replace it"))?;
    if bytes.len() > MAX_BYTES {
        return Err(format!("unpacks to more than the {MAX_BYTES} bytes of {MAX_COUNT} images; replace it"));
    }
    Ok(bytes)
}

/// Checks header and length of an images file; returns the number of images.
pub(crate) fn check_images(file: &Unpacked) -> Result<usize, Error> {
    let count = check_header(file, "an images file", IMAGES_MAGIC, IMAGES_HEADER)?;
    let (rows, columns) = (word(&file.bytes, 2), word(&file.bytes, 3));
    if (rows, columns) != (ROWS as u32, COLS as u32) {
        let what = format!("holds images of {rows} by {columns} pixels instead of {ROWS} by {COLS}");
        return Err(Error::corrupt(&file.path, what));
    }
    check_length(file, count, IMAGES_HEADER + count * PIXELS)?;
    Ok(count)
}

/// Checks header, length and labels of a labels file; returns the number of labels.
pub(crate) fn check_labels(file: &Unpacked) -> Result<usize, Error> {
    let count = check_header(file, "a labels file", LABELS_MAGIC, LABELS_HEADER)?;
    check_length(file, count, LABELS_HEADER + count)?;
    let labels = &file.bytes[LABELS_HEADER..];
    if let Some(index) = labels.iter().position(|&label| usize::from(label) >= CLASSES) {
        let what = format!("holds label {} at position {index}; labels are below {CLASSES}; replace it", labels[index]);
        return Err(Error::corrupt(&file.path, what));
    }
    Ok(count)
}

/// The images in an IDX file of these bytes, raw or gzip-compressed: [`PIXELS`] bytes each. `path` names the file in errors.
///
/// # Errors
/// When it is not a whole, well-formed images file.
pub fn images(path: &Path, bytes: Vec<u8>) -> Result<Vec<u8>, Error> {
    let bytes = if is_gzip(&bytes) { unpack(&bytes).map_err(|what| Error::corrupt(path, what))? } else { bytes };
    let mut file = Unpacked { path: path.to_owned(), bytes, sha256: [0; 32] };
    check_images(&file)?;
    Ok(file.bytes.split_off(IMAGES_HEADER))
}

/// Whether these bytes begin as an IDX file of images does, raw or gzip-compressed.
pub fn is_images(bytes: &[u8]) -> bool {
    is_gzip(bytes) || bytes.starts_with(&IMAGES_MAGIC.to_be_bytes())
}

fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
}

/// Which of the two kinds of file.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Images,
    Labels,
}

/// The number of samples in the bytes of an unpacked file, for those who try to break the checks.
#[doc(hidden)]
pub fn check_idx(bytes: Vec<u8>, kind: Kind) -> Result<usize, Error> {
    let file = Unpacked { path: PathBuf::new(), bytes, sha256: [0; 32] };
    match kind {
        Kind::Images => check_images(&file),
        Kind::Labels => check_labels(&file),
    }
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

fn require(dir: &Path, name: &str) -> Result<PathBuf, Error> {
    if !dir.is_dir() {
        return Err(Error::missing(dir, "is not a directory; pass one that holds the four IDX files of a dataset"));
    }
    let what = "is missing, raw or with `.gz`; put it there, or pass the directory that holds all four files";
    find(dir, name).ok_or_else(|| Error::missing(dir.join(name), what))
}

fn check_header(file: &Unpacked, kind: &str, magic: u32, header: usize) -> Result<usize, Error> {
    if file.bytes.len() < header {
        let what = format!("is {} bytes long, too short for {kind}; replace it", file.bytes.len());
        return Err(Error::corrupt(&file.path, what));
    }
    let found = word(&file.bytes, 0);
    if found != magic {
        let what = format!("begins with {found:#010x} instead of {magic:#010x}, so it is not {kind}; replace it");
        return Err(Error::corrupt(&file.path, what));
    }
    let count = word(&file.bytes, 1) as usize;
    if count > MAX_COUNT {
        let what = format!("claims to hold {count} samples; at most {MAX_COUNT} can be read");
        return Err(Error::corrupt(&file.path, what));
    }
    Ok(count)
}

fn check_length(file: &Unpacked, count: usize, expected: usize) -> Result<(), Error> {
    if file.bytes.len() != expected {
        let what = format!(
            "is {} bytes long instead of the {expected} that its header promises ({count} samples); replace it",
            file.bytes.len()
        );
        return Err(Error::corrupt(&file.path, what));
    }
    Ok(())
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
