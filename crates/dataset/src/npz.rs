//! An `.npz` file holds arrays of NumPy's: it is a zip archive, made by `numpy.savez` or `numpy.savez_compressed`. Samples come
//! in two kinds of it: a chunk, as the Python original keeps them, has the arrays `images` and `labels`; a whole dataset, as
//! Keras keeps MNIST, has `x_train`, `y_train`, `x_test` and `y_test`.
//!
//! Images are `[n, 28, 28]`, `[n, 1, 28, 28]`, `[n, 28, 28, 1]` or `[n, 784]`, of uint8, or of floats that are exactly k/255, as
//! they become when images are scaled for training. Labels are `[n]`, of any integer type.
//!
//! Such a file may come from anywhere, so everything that it says about sizes is checked before memory is reserved for it,
//! and arrays of Python objects, which are pickles that could run any code, are refused.

mod array;
mod header;

use std::{
    fs::File,
    io::{BufReader, Cursor, Read, Seek},
    path::Path,
};

use sample::{PIXELS, Samples};
use zip::ZipArchive;

use self::{
    array::{images, labels},
    header::Header,
};
use crate::{
    Error as DatasetError,
    idx::{IMAGES, LABELS},
};

/// The arrays of a whole dataset, in the order of [`FILES`](crate::FILES).
const DATASET: [&str; 4] = ["x_train", "y_train", "x_test", "y_test"];

/// Why a file holds no usable samples.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

/// Reads the samples in the bytes of a chunk. Other arrays in it are not looked at.
///
/// # Errors
/// When the bytes are not such a file.
pub fn read(bytes: &[u8]) -> Result<Samples, Error> {
    const ADVICE: &str = "save it by `numpy.savez(file, images=images, labels=labels)`";
    let mut archive = open(Cursor::new(bytes))?;
    let mut images = array(&mut archive, "images", ADVICE, images)?;
    let labels = array(&mut archive, "labels", ADVICE, labels)?;
    images.drain(..IMAGES.start);
    if images.len() != labels.len() * PIXELS {
        let what = format!("has {} labels for {} images", labels.len(), images.len() / PIXELS);
        return Err(wrong("labels", what));
    }
    Ok(Samples { labels, images })
}

/// What stands in place of the file at this position of [`FILES`](crate::FILES), header included, in the bytes of a whole
/// dataset: the same bytes as the IDX file with these samples has.
///
/// # Errors
/// When the bytes are not such a file.
#[doc(hidden)]
pub fn read_idx(bytes: &[u8], file: usize) -> Result<Vec<u8>, Error> {
    idx_file_in(&mut open(Cursor::new(bytes))?, file)
}

pub(crate) fn idx_file(path: &Path, file: usize) -> Result<Vec<u8>, DatasetError> {
    let mut archive = open_file(path)?;
    idx_file_in(&mut archive, file).map_err(|error| DatasetError::unusable(path, format!("cannot be used: {error}")))
}

/// Fails unless the file at `path` has the arrays of a whole dataset. What is in them is looked at when they are read.
pub(crate) fn require_dataset(path: &Path) -> Result<(), DatasetError> {
    let archive = open_file(path)?;
    for name in DATASET {
        entry(&archive, name, DATASET_ADVICE)
            .map_err(|error| DatasetError::unusable(path, format!("cannot be used: {error}")))?;
    }
    Ok(())
}

const DATASET_ADVICE: &str = "as a dataset it needs `x_train`, `y_train`, `x_test` and `y_test`, as Keras' mnist.npz has them; \
                              chunks with `images` and `labels` are taken in by `trainer import`";

fn open_file(path: &Path) -> Result<ZipArchive<BufReader<File>>, DatasetError> {
    let file = File::open(path).map_err(DatasetError::io("open", path))?;
    let what = |error| {
        format!("cannot be used as a dataset: {error}; name an .npz file, or the folder with the four IDX files")
    };
    open(BufReader::new(file)).map_err(|error| DatasetError::unusable(path, what(error)))
}

fn open<R: Read + Seek>(file: R) -> Result<ZipArchive<R>, Error> {
    ZipArchive::new(file).map_err(|error| Error(format!("not a readable .npz file: {error}")))
}

fn idx_file_in<R: Read + Seek>(archive: &mut ZipArchive<R>, file: usize) -> Result<Vec<u8>, Error> {
    let name = DATASET[file];
    if file.is_multiple_of(2) {
        return array(archive, name, DATASET_ADVICE, images);
    }
    let labels = array(archive, name, DATASET_ADVICE, labels)?;
    Ok([LABELS.header(labels.len() as u32), labels].concat())
}

fn wrong(array: &str, what: String) -> Error {
    Error(format!("its array `{array}` {what}"))
}

fn entry<R: Read + Seek>(archive: &ZipArchive<R>, name: &str, advice: &str) -> Result<usize, Error> {
    archive.index_for_name(&format!("{name}.npy")).ok_or_else(|| Error(format!("it has no array `{name}`; {advice}")))
}

/// Reads one array as `parse` does, which is told its packed size, and checks that nothing follows it.
fn array<R: Read + Seek, T>(
    archive: &mut ZipArchive<R>,
    name: &str,
    advice: &str,
    parse: impl FnOnce(&Header, &mut dyn Read, u64) -> Result<T, String>,
) -> Result<T, Error> {
    let wrong = |what: String| wrong(name, what);
    let unreadable = |error: &dyn std::fmt::Display| wrong(format!("cannot be read: {error}"));
    let index = entry(archive, name, advice)?;
    let mut entry = archive.by_index(index).map_err(|error| unreadable(&error))?;
    let header = Header::read(&mut entry).map_err(&wrong)?;
    let packed = entry.compressed_size();
    let parsed = parse(&header, &mut entry, packed).map_err(&wrong)?;
    // The archive's checksum is compared where the entry ends.
    match entry.read(&mut [0]).map_err(|error| unreadable(&error))? {
        0 => Ok(parsed),
        _ => Err(wrong("is longer than its shape".into())),
    }
}

#[cfg(test)]
mod tests;
