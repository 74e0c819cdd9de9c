//! Samples in NumPy's files, as the Python original keeps them.

use std::io::{Cursor, Write};

use zip::write::{SimpleFileOptions, ZipWriter};

/// Samples of the file that [`npy`] puts labels into.
const SAMPLES: usize = 3;

/// An `.npz` file.
///
/// # Panics
/// When what was read has not one label, below 10, and 784 pixels a sample.
pub fn npz(data: &[u8]) -> bool {
    ::npz::read(data).is_ok_and(|samples| {
        assert_eq!(samples.images.len(), samples.labels.len() * 784);
        assert!(samples.labels.iter().all(|&label| label < 10));
        !samples.labels.is_empty()
    })
}

/// The array of labels in an `.npz` file of three samples that is whole otherwise.
///
/// # Panics
/// As [`npz()`].
pub fn npy(data: &[u8]) -> bool {
    let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({SAMPLES}, 28, 28), }}\n");
    let length = (header.len() as u16).to_le_bytes();
    let images = [b"\x93NUMPY\x01\0", &length[..], header.as_bytes(), &[0; SAMPLES * 784]].concat();
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, content) in [("images.npy", &images[..]), ("labels.npy", data)] {
        zip.start_file(name, options).and_then(|()| Ok(zip.write_all(content)?)).expect("memory takes any file");
    }
    npz(&zip.finish().expect("memory takes any file").into_inner())
}
