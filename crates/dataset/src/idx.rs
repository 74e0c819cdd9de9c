//! An IDX file is MNIST's file format: a big-endian header (magic, count, and for images rows and columns), then
//! one byte per pixel or label. A dataset is four of them, raw or gzip-compressed.
//!
//! This module unpacks, checks and writes such files. The checks are here because the `mnist` crate, which
//! reads them afterwards, panics on a bad file and does not notice one that is too short.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
};

use flate2::bufread::MultiGzDecoder;
use sha2::{Digest, Sha256};

use crate::{CLASSES, COLS, Error, PIXELS, ROWS, Split, layout::Place, npz};

/// The four files of a dataset: images and labels to train on, then images and labels to test with.
pub const FILES: [&str; 4] =
    ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

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

/// Where the file `name` lies in `dir`, under any of its spellings.
pub(crate) fn find(dir: &Path, name: &str) -> Option<PathBuf> {
    let files = Place::find(dir).ok()?.files?;
    files.into_iter().zip(FILES).find(|(_, file)| *file == name)?.0
}

/// Fails with the first thing that is missing, if `dir` does not hold all four files.
pub(crate) fn require_all(dir: &Path) -> Result<(), Error> {
    let place = Place::find(dir)?;
    match &place.files {
        Some(files) => (0..FILES.len()).try_for_each(|file| require(&place, files, file).map(drop)),
        None => npz::require_dataset(&place.path),
    }
}

/// Reads and unpacks the file `name` in `dir`.
pub(crate) fn read(dir: &Path, name: &str) -> Result<Unpacked, Error> {
    let place = Place::find(dir)?;
    let file = FILES.iter().position(|file| *file == name).expect("only names of FILES are asked for");
    let (path, bytes) = match &place.files {
        Some(files) => {
            let path = require(&place, files, file)?;
            let bytes = content(&path)?;
            (path, bytes)
        }
        None => {
            let bytes = npz::idx_file(&place.path, file)?;
            (place.path, bytes)
        }
    };
    let sha256 = Sha256::digest(&bytes).into();
    Ok(Unpacked { path, bytes, sha256 })
}

/// The bytes of the file, unpacked if they are packed, whatever its name says.
fn content(path: &Path) -> Result<Vec<u8>, Error> {
    let mut file = BufReader::new(File::open(path).map_err(Error::io("open", path))?);
    let size = file.get_ref().metadata().map_err(Error::io("read", path))?.len();
    if is_gzip(file.fill_buf().map_err(Error::io("read", path))?) {
        unpack_from(file, size).map_err(|what| Error::corrupt(path, what))
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

/// The path of the file at this position of [`FILES`], which must be there.
fn require(place: &Place, files: &[Option<PathBuf>; 4], file: usize) -> Result<PathBuf, Error> {
    let what = "is missing, raw or with `.gz`; put it there, or name the folder that holds all four files";
    files[file].clone().ok_or_else(|| Error::missing(place.path.join(FILES[file]), what))
}

fn check_header(file: &Unpacked, kind: &str, magic: u32, header: usize) -> Result<usize, Error> {
    let bytes = &file.bytes;
    let corrupt = |what: String| Error::corrupt(&file.path, what);
    if bytes.len() >= LABELS_HEADER && word(bytes, 0) != magic {
        let found = word(bytes, 0);
        let what = format!("begins with {found:#010x} instead of {magic:#010x}, so it is not {kind}; replace it");
        return Err(corrupt(what));
    }
    if bytes.len() >= LABELS_HEADER && word(bytes, 1) as usize > MAX_SAMPLES {
        return Err(corrupt(format!("claims to hold {} samples; at most {MAX_SAMPLES} can be read", word(bytes, 1))));
    }
    if bytes.len() < header {
        return Err(corrupt(format!("is {} bytes long, too short for {kind}; replace it", bytes.len())));
    }
    Ok(word(bytes, 1) as usize)
}

fn check_length(file: &Unpacked, count: usize, expected: usize) -> Result<(), Error> {
    let samples = if count == 1 { "sample" } else { "samples" };
    let promise = || format!("the {expected} bytes that its header promises ({count} {samples}); replace it");
    match file.bytes.len() {
        length if length < expected => {
            Err(Error::corrupt(&file.path, format!("is {length} bytes long, shorter than {}", promise())))
        }
        length if length > expected => Err(Error::corrupt(&file.path, format!("is longer than {}", promise()))),
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
