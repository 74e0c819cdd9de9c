//! An `.npz` file holds arrays of NumPy's: it is a zip archive, made by `numpy.savez` or `numpy.savez_compressed`. Samples come
//! in two kinds of it: a chunk, as the Python original keeps them, has the arrays `images` and `labels`; a whole dataset, as
//! Keras keeps MNIST, has `x_train`, `y_train`, `x_test` and `y_test`.
//!
//! Images are `[n, 28, 28]`, `[n, 1, 28, 28]`, `[n, 28, 28, 1]` or `[n, 784]`, of uint8, or of floats that are exactly k/255, as
//! they become when images are scaled for training. Labels are `[n]`, of any integer type.
//!
//! Such a file may come from anywhere, so everything that it says about sizes is checked before memory is reserved for it,
//! and arrays of Python objects, which are pickles that could run any code, are refused.

mod header;

use std::{
    fs::File,
    io::{BufReader, Cursor, Read, Seek},
    path::Path,
};

use zip::ZipArchive;

use self::header::Header;
use crate::{
    CLASSES, COLS, Error as DatasetError, PIXELS, ROWS,
    idx::{self, IMAGES_HEADER, MAX_SAMPLES},
};

/// The arrays of a whole dataset, in the order of [`FILES`](crate::FILES).
const DATASET: [&str; 4] = ["x_train", "y_train", "x_test", "y_test"];

/// The samples of a chunk, by column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Samples {
    /// One label a sample, below 10.
    pub labels: Vec<u8>,
    /// 784 pixels a sample, row by row.
    pub images: Vec<u8>,
}

/// Why a file holds no usable samples.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is no zip archive that can be read.
    #[error("not a readable .npz file: {0}")]
    Archive(String),
    /// It lacks an array.
    #[error("it has no array `{0}`; {1}")]
    Missing(&'static str, &'static str),
    /// An array is not what it must be.
    #[error("its array `{array}` {what}")]
    Array {
        /// Its name.
        array: &'static str,
        /// A clause.
        what: String,
    },
}

/// Reads the samples in the bytes of a chunk. Other arrays in it are not looked at.
///
/// # Errors
/// When the bytes are not such a file.
pub fn read(bytes: &[u8]) -> Result<Samples, Error> {
    const ADVICE: &str = "save it by `numpy.savez(file, images=images, labels=labels)`";
    let mut archive = open(Cursor::new(bytes))?;
    let mut images = array(&mut archive, "images", ADVICE, images)?;
    let labels = array(&mut archive, "labels", ADVICE, labels)?;
    images.drain(..IMAGES_HEADER);
    if images.len() != labels.len() * PIXELS {
        let what = format!("has {} labels for {} images", labels.len(), images.len() / PIXELS);
        return Err(Error::Array { array: "labels", what });
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

/// As [`read_idx`], of the file at `path`.
pub(crate) fn idx_file(path: &Path, file: usize) -> Result<Vec<u8>, DatasetError> {
    let mut archive = open_file(path)?;
    idx_file_in(&mut archive, file).map_err(|error| DatasetError::corrupt(path, format!("cannot be used: {error}")))
}

/// Fails unless the file at `path` has the arrays of a whole dataset. What is in them is looked at when they are read.
pub(crate) fn require_dataset(path: &Path) -> Result<(), DatasetError> {
    let archive = open_file(path)?;
    for name in DATASET {
        entry(&archive, name, DATASET_ADVICE)
            .map_err(|error| DatasetError::corrupt(path, format!("cannot be used: {error}")))?;
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
    open(BufReader::new(file)).map_err(|error| DatasetError::corrupt(path, what(error)))
}

fn open<R: Read + Seek>(file: R) -> Result<ZipArchive<R>, Error> {
    ZipArchive::new(file).map_err(|error| Error::Archive(error.to_string()))
}

fn idx_file_in<R: Read + Seek>(archive: &mut ZipArchive<R>, file: usize) -> Result<Vec<u8>, Error> {
    let name = DATASET[file];
    if file.is_multiple_of(2) {
        return array(archive, name, DATASET_ADVICE, images);
    }
    let labels = array(archive, name, DATASET_ADVICE, labels)?;
    Ok([&idx::labels_header(labels.len() as u32)[..], &labels].concat())
}

fn entry<R: Read + Seek>(archive: &ZipArchive<R>, name: &'static str, advice: &'static str) -> Result<usize, Error> {
    archive.index_for_name(&format!("{name}.npy")).ok_or(Error::Missing(name, advice))
}

/// Reads one array as `parse` does, which is told its packed size, and checks that nothing follows it.
fn array<R: Read + Seek, T>(
    archive: &mut ZipArchive<R>,
    name: &'static str,
    advice: &'static str,
    parse: impl FnOnce(&Header, &mut dyn Read, u64) -> Result<T, String>,
) -> Result<T, Error> {
    let wrong = |what: String| Error::Array { array: name, what };
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

/// The images, behind the header of an IDX file.
fn images(header: &Header, content: &mut dyn Read, packed: u64) -> Result<Vec<u8>, String> {
    const SIDES: [u64; 2] = [ROWS as u64, COLS as u64];
    let count = match header.shape[..] {
        [count, rows, cols] | [count, 1, rows, cols] | [count, rows, cols, 1] if [rows, cols] == SIDES => count,
        [count, pixels] if pixels == PIXELS as u64 => count,
        _ => {
            let shape = &header.shape;
            return Err(format!(
                "has the shape {shape:?}, not [n, 28, 28], [n, 1, 28, 28], [n, 28, 28, 1] or [n, 784]"
            ));
        }
    };
    let grey: fn(&[u8], bool) -> Result<u8, f64> = match header.element {
        (b'u', 1) => |element, _| Ok(element[0]),
        (b'f', 4) => grey_of_float,
        (b'f', 8) => grey_of_double,
        _ => return Err(format!("has elements of type {}, not uint8, float32 or float64", header.type_name())),
    };
    let size = header.element.1;
    let count = at_most(count)?;
    if (count * PIXELS) as u64 > idx::room(packed) {
        return Err(format!(
            "has {count} images in {packed} bytes; if it is sound, save it by `numpy.savez`, not compressed"
        ));
    }
    let mut image = vec![0; PIXELS * size];
    let mut images = idx::images_header(count as u32).to_vec(); // As long as what has come, whatever the shape says.
    for number in 0..count {
        content.read_exact(&mut image).map_err(|error| format!("cannot be read: {error}"))?;
        for element in image.chunks_exact(size) {
            images.push(grey(element, header.is_big_endian).map_err(|value| {
                format!(
                    "has the value {value} in image {number}, which is none of 0/255 to 255/255; save the images as uint8, 0 to 255"
                )
            })?);
        }
    }
    Ok(images)
}

/// The k of a number that is k/255, to the last bit; or else the number.
fn grey_of_float(element: &[u8], is_big_endian: bool) -> Result<u8, f64> {
    let bytes = element.try_into().expect("a float has four bytes");
    let value = if is_big_endian { f32::from_be_bytes(bytes) } else { f32::from_le_bytes(bytes) };
    let grey = (value * 255.0).round() as u8;
    // Both ways to compute it: in float32, and in float64 and then rounded.
    let is_exact = value == f32::from(grey) / 255.0 || value == (f64::from(grey) / 255.0) as f32;
    if is_exact { Ok(grey) } else { Err(value.into()) }
}

/// As [`grey_of_float`].
fn grey_of_double(element: &[u8], is_big_endian: bool) -> Result<u8, f64> {
    let bytes = element.try_into().expect("a double has eight bytes");
    let value = if is_big_endian { f64::from_be_bytes(bytes) } else { f64::from_le_bytes(bytes) };
    let grey = (value * 255.0).round() as u8;
    if value == f64::from(grey) / 255.0 { Ok(grey) } else { Err(value) }
}

fn labels(header: &Header, content: &mut dyn Read, _packed: u64) -> Result<Vec<u8>, String> {
    let (b'i' | b'u', size @ (1 | 2 | 4 | 8)) = header.element else {
        return Err(format!("has elements of type {}, not integers", header.type_name()));
    };
    let [count] = header.shape[..] else { return Err(format!("has the shape {:?}, not [n]", header.shape)) };
    let mut bytes = vec![0; at_most(count)? * size];
    content.read_exact(&mut bytes).map_err(|error| format!("cannot be read: {error}"))?;
    let label = |(sample, element): (usize, &[u8])| {
        let split = if header.is_big_endian { element.split_last() } else { element.split_first() };
        match split {
            // A negative number has a higher byte that is not zero, or is at least 128.
            Some((&label, higher)) if usize::from(label) < CLASSES && higher.iter().all(|&byte| byte == 0) => Ok(label),
            _ => Err(format!("has a label that is not 0 to 9, of sample {sample}")),
        }
    };
    bytes.chunks_exact(size).enumerate().map(label).collect()
}

/// So many samples, unless a file may not have as many.
fn at_most(count: u64) -> Result<usize, String> {
    if count > MAX_SAMPLES as u64 {
        return Err(format!("has {count} samples, more than the {MAX_SAMPLES} that a file may have"));
    }
    Ok(count as usize)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use zip::{
        CompressionMethod,
        write::{SimpleFileOptions, ZipWriter},
    };

    use super::*;
    use crate::{Split, load, write_idx};

    /// Three samples with labels of type int64, by `numpy.savez_compressed`.
    const SAVED: &[u8] = include_bytes!("../tests/reference/saved.npz");

    /// An array file of format 1.0.
    fn npy(element: &str, shape: &str, content: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '{element}', 'fortran_order': False, 'shape': {shape}, }}\n");
        [b"\x93NUMPY\x01\0", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), content].concat()
    }

    fn archive(entries: &[(&str, Vec<u8>)], method: CompressionMethod) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in entries {
            zip.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
            zip.write_all(content).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    /// Two black images and these labels.
    fn file(labels: Vec<u8>) -> Vec<u8> {
        let images = npy("|u1", "(2, 28, 28)", &[0; 2 * PIXELS]);
        archive(&[("images.npy", images), ("labels.npy", labels)], CompressionMethod::Stored)
    }

    #[track_caller]
    fn check(bytes: &[u8], expect: &str) {
        assert_eq!(read(bytes).unwrap_err().to_string(), expect);
    }

    #[test]
    fn a_file_that_numpy_wrote_holds_its_samples() {
        let samples = read(SAVED).unwrap();
        assert_eq!(samples.labels, [7, 0, 9]);
        let expect = (0..3 * PIXELS).map(|i| (i * 7 % 256) as u8);
        assert!(samples.images.iter().copied().eq(expect));
    }

    #[test]
    fn labels_may_be_any_integers() {
        for (element, content) in [
            ("|u1", &[3, 9][..]),
            ("|i1", &[3, 9]),
            ("<u2", &[3, 0, 9, 0]),
            (">i2", &[0, 3, 0, 9]),
            ("<i4", &[3, 0, 0, 0, 9, 0, 0, 0]),
            (">u8", &[0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 9]),
        ] {
            assert_eq!(read(&file(npy(element, "(2,)", content))).unwrap().labels, [3, 9], "{element}");
        }
    }

    #[test]
    fn labels_that_are_none_are_refused() {
        let label = "its array `labels` has a label that is not 0 to 9, of sample 1";
        check(&file(npy("|u1", "(2,)", &[3, 10])), label);
        check(&file(npy("|i1", "(2,)", &[3, 0xff])), label);
        check(&file(npy("<i2", "(2,)", &[3, 0, 0, 1])), label);
        check(&file(npy(">i2", "(2,)", &[0, 3, 9, 0])), label);
        check(&file(npy("<f4", "(2,)", &[0; 8])), "its array `labels` has elements of type <f4, not integers");
        check(&file(npy("<i3", "(2,)", &[0; 6])), "its array `labels` has elements of type <i3, not integers");
        check(&file(npy("|u1", "(2, 1)", &[3, 9])), "its array `labels` has the shape [2, 1], not [n]");
        check(&file(npy("|u1", "(3,)", &[3, 9, 1])), "its array `labels` has 3 labels for 2 images");
    }

    #[test]
    fn images_of_another_shape_type_or_length_are_refused() {
        let labels = || ("labels.npy", npy("|u1", "(1,)", &[3]));
        let with = |images: Vec<u8>| archive(&[("images.npy", images), labels()], CompressionMethod::Deflated);
        assert!(read(&with(npy("|u1", "(1, 28, 28)", &[0; PIXELS]))).is_ok());
        for (images, expect) in [
            (
                npy("|u1", "(1, 28, 27)", &[0; PIXELS]),
                "has the shape [1, 28, 27], not [n, 28, 28], [n, 1, 28, 28], [n, 28, 28, 1] or [n, 784]",
            ),
            (npy("<i4", "(1, 28, 28)", &[0; 4 * PIXELS]), "has elements of type <i4, not uint8, float32 or float64"),
            (npy("<f2", "(1, 28, 28)", &[0; 2 * PIXELS]), "has elements of type <f2, not uint8, float32 or float64"),
            (npy("|u1", "(1, 28, 28)", &[0; PIXELS + 1]), "is longer than its shape"),
            (npy("|u1", "(1, 28, 28)", &[0; PIXELS - 1]), "cannot be read: failed to fill whole buffer"),
            (npy("|u1", "(1000001, 28, 28)", &[]), "has 1000001 samples, more than the 1000000 that a file may have"),
            (
                npy("|O", "(1, 28, 28)", &[]),
                "has Python objects for elements, which could run any code; save it as an array of integers",
            ),
        ] {
            check(&with(images), &format!("its array `images` {expect}"));
        }
        check(
            &archive(&[labels()], CompressionMethod::Stored),
            "it has no array `images`; save it by `numpy.savez(file, images=images, labels=labels)`",
        );
    }

    /// What `images.npy` must hold so that these are read, or why they are not.
    fn read_images(images: Vec<u8>) -> Result<Vec<u8>, String> {
        let labels = npy("|u1", "(1,)", &[3]);
        let file = archive(&[("images.npy", images), ("labels.npy", labels)], CompressionMethod::Stored);
        read(&file).map(|samples| samples.images).map_err(|error| error.to_string())
    }

    #[test]
    fn images_come_in_every_usual_shape_and_as_floats_that_are_whole_255ths() {
        let greys: Vec<u8> = (0..PIXELS).map(|pixel| (pixel % 256) as u8).collect();
        let each = |bytes: fn(u8) -> Vec<u8>| greys.iter().flat_map(|&grey| bytes(grey)).collect::<Vec<u8>>();
        for shape in ["(1, 28, 28)", "(1, 1, 28, 28)", "(1, 28, 28, 1)", "(1, 784)"] {
            for (element, content) in [
                ("|u1", greys.clone()),
                ("<f4", each(|grey| (f32::from(grey) / 255.0).to_le_bytes().into())),
                ("<f4", each(|grey| ((f64::from(grey) / 255.0) as f32).to_le_bytes().into())),
                (">f4", each(|grey| (f32::from(grey) / 255.0).to_be_bytes().into())),
                ("<f8", each(|grey| (f64::from(grey) / 255.0).to_le_bytes().into())),
                (">f8", each(|grey| (f64::from(grey) / 255.0).to_be_bytes().into())),
            ] {
                assert_eq!(read_images(npy(element, shape, &content)).unwrap(), greys, "{element} {shape}");
            }
        }
    }

    #[test]
    fn other_floats_are_refused_with_the_value() {
        let reason = |value: &str| {
            format!(
                "its array `images` has the value {value} in image 0, which is none of 0/255 to 255/255; save the images as \
                 uint8, 0 to 255"
            )
        };
        for (value, said) in
            [(0.3, "0.30000001192092896"), (-1.0, "-1"), (17.0, "17"), (f32::NAN, "NaN"), (f32::INFINITY, "inf")]
        {
            let content: Vec<u8> =
                [[0.0; PIXELS - 1].as_slice(), &[value]].concat().iter().flat_map(|v| v.to_le_bytes()).collect();
            assert_eq!(read_images(npy("<f4", "(1, 784)", &content)).unwrap_err(), reason(said));
        }
        let next = (1.0_f64 / 255.0).next_up();
        let content: Vec<u8> = [next; PIXELS].iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(read_images(npy("<f8", "(1, 784)", &content)).unwrap_err(), reason(&next.to_string()));
    }

    /// A whole dataset: black images with these labels to train on, and one with label 5 to test with.
    fn dataset(labels: &[u8]) -> Vec<u8> {
        let count = labels.len();
        let train = npy("|u1", &format!("({count}, 28, 28)"), &vec![0; count * PIXELS]);
        archive(
            &[
                ("x_train.npy", train),
                ("y_train.npy", npy("|u1", &format!("({count},)"), labels)),
                ("x_test.npy", npy("|u1", "(1, 28, 28)", &[9; PIXELS])),
                ("y_test.npy", npy("<i8", "(1,)", &[5, 0, 0, 0, 0, 0, 0, 0])),
            ],
            CompressionMethod::Deflated,
        )
    }

    #[test]
    fn a_whole_dataset_is_the_same_as_in_four_files() {
        let root = tempfile::tempdir().unwrap();
        let (file, dir) = (root.path().join("digits.npz"), root.path().join("digits"));
        std::fs::write(&file, dataset(&[3, 9])).unwrap();
        write_idx(&dir, Split::Train, &[0; 2 * PIXELS], &[3, 9]).unwrap();
        write_idx(&dir, Split::Test, &[9; PIXELS], &[5]).unwrap();
        require_dataset(&file).unwrap();
        for split in [Split::Train, Split::Test] {
            let [from_file, from_dir] = [&file, &dir].map(|path| load(path, split).unwrap());
            assert_eq!((&*from_file.name, from_file.digest()), ("digits", from_dir.digest()));
            assert_eq!((from_file.images, from_file.labels), (from_dir.images, from_dir.labels));
        }
    }

    #[test]
    fn a_file_that_is_no_dataset_is_refused_and_named() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("x.npz");
        let message = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            let error = require_dataset(&path).and_then(|()| load(&path, Split::Train).map(drop)).unwrap_err();
            assert_eq!(error.exit_code(), 65);
            error.to_string().strip_prefix(&format!("`{}` cannot be used", path.display())).unwrap().to_owned()
        };
        let chunk = message(SAVED);
        assert!(
            chunk.starts_with(": it has no array `x_train`; ") && chunk.ends_with("by `trainer import`"),
            "{chunk}"
        );
        assert_eq!(message(&dataset(&[3, 10])), ": its array `y_train` has a label that is not 0 to 9, of sample 1");
        let idx = message(&[0, 0, 8, 3]);
        assert!(idx.ends_with("; name an .npz file, or the folder with the four IDX files"), "{idx}");
    }

    #[test]
    fn a_file_that_was_cut_or_changed_is_refused() {
        (0..SAVED.len()).for_each(|at| assert!(read(&SAVED[..at]).is_err(), "{at}"));
        let mut bad = file(npy("|u1", "(2,)", &[3, 9]));
        let pixel = bad.windows(PIXELS).position(|window| window == [0; PIXELS]).unwrap() + 100;
        bad[pixel] = 1;
        check(&bad, "its array `images` cannot be read: Invalid checksum");
        assert!(read(b"").unwrap_err().to_string().starts_with("not a readable .npz file: "));
    }
}
