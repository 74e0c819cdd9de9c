//! An `.npz` chunk is a file of samples as the Python original keeps them: a zip archive, made by `numpy.savez` or
//! `numpy.savez_compressed`, with the arrays `images`, `[n, 28, 28]` of uint8, and `labels`, `[n]` of any integer type.
//!
//! Such a file may come from anywhere, so everything that it says about sizes is checked before memory is reserved for it,
//! and arrays of Python objects, which are pickles that could run any code, are refused.

#![forbid(unsafe_code)]

mod header;

use std::io::{Cursor, Read};

use dataset::{CLASSES, COLS, PIXELS, ROWS};
use zip::ZipArchive;

use crate::header::Header;

/// The most samples of a file: more than MNIST has, of 51 MB. The original writes 1,000.
const MAX_SAMPLES: u64 = 1 << 16;

/// The samples of a file, by column.
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
    #[error("it has no array `{0}`; save it by `numpy.savez(file, images=images, labels=labels)`")]
    Missing(&'static str),
    /// An array is not what it must be.
    #[error("its array `{array}` {what}")]
    Array {
        /// Its name.
        array: &'static str,
        /// A clause.
        what: String,
    },
}

/// Reads the samples in the bytes of a file. Other arrays in it are not looked at.
///
/// # Errors
/// When the bytes are not such a file.
pub fn read(bytes: &[u8]) -> Result<Samples, Error> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|error| Error::Archive(error.to_string()))?;
    let images = array(&mut archive, "images", images)?;
    let labels = array(&mut archive, "labels", labels)?;
    if images.len() != labels.len() * PIXELS {
        let what = format!("has {} labels for {} images", labels.len(), images.len() / PIXELS);
        return Err(Error::Array { array: "labels", what });
    }
    Ok(Samples { labels, images })
}

/// Reads one array as `parse` does, and checks that nothing follows it.
fn array<T>(
    archive: &mut ZipArchive<Cursor<&[u8]>>,
    name: &'static str,
    parse: impl FnOnce(&Header, &mut dyn Read) -> Result<T, String>,
) -> Result<T, Error> {
    let wrong = |what: String| Error::Array { array: name, what };
    let unreadable = |error: &dyn std::fmt::Display| wrong(format!("cannot be read: {error}"));
    let index = archive.index_for_name(&format!("{name}.npy")).ok_or(Error::Missing(name))?;
    let mut entry = archive.by_index(index).map_err(|error| unreadable(&error))?;
    let header = Header::read(&mut entry).map_err(&wrong)?;
    let parsed = parse(&header, &mut entry).map_err(&wrong)?;
    // The archive's checksum is compared where the entry ends.
    match entry.read(&mut [0]).map_err(|error| unreadable(&error))? {
        0 => Ok(parsed),
        _ => Err(wrong("is longer than its shape".into())),
    }
}

fn images(header: &Header, content: &mut dyn Read) -> Result<Vec<u8>, String> {
    if header.element != (b'u', 1) {
        return Err(format!("has elements of type {}, not uint8", header.type_name()));
    }
    match header.shape[..] {
        [count, rows, cols] if (rows, cols) == (ROWS as u64, COLS as u64) => exactly(content, count, PIXELS),
        _ => Err(format!("has the shape {:?}, not [n, 28, 28]", header.shape)),
    }
}

fn labels(header: &Header, content: &mut dyn Read) -> Result<Vec<u8>, String> {
    let (b'i' | b'u', size @ (1 | 2 | 4 | 8)) = header.element else {
        return Err(format!("has elements of type {}, not integers", header.type_name()));
    };
    let [count] = header.shape[..] else { return Err(format!("has the shape {:?}, not [n]", header.shape)) };
    let bytes = exactly(content, count, size)?;
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

/// The bytes of so many elements.
fn exactly(content: &mut dyn Read, count: u64, size: usize) -> Result<Vec<u8>, String> {
    if count > MAX_SAMPLES {
        return Err(format!("has {count} samples, more than the {MAX_SAMPLES} that a file may have"));
    }
    let mut bytes = vec![0; count as usize * size];
    content.read_exact(&mut bytes).map_err(|error| format!("cannot be read: {error}"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use zip::{
        CompressionMethod,
        write::{SimpleFileOptions, ZipWriter},
    };

    use super::*;

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
            (npy("|u1", "(1, 784)", &[0; PIXELS]), "has the shape [1, 784], not [n, 28, 28]"),
            (npy("<f4", "(1, 28, 28)", &[0; 4 * PIXELS]), "has elements of type <f4, not uint8"),
            (npy("|u1", "(1, 28, 28)", &[0; PIXELS + 1]), "is longer than its shape"),
            (npy("|u1", "(1, 28, 28)", &[0; PIXELS - 1]), "cannot be read: failed to fill whole buffer"),
            (npy("|u1", "(65537, 28, 28)", &[]), "has 65537 samples, more than the 65536 that a file may have"),
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
