//! Samples in NumPy's files: chunks as the Python original keeps them, and whole datasets as Keras does.

use crate::weights::stored;

const SAMPLES: usize = 3;

/// An `.npz` file, be it a chunk or a dataset.
/// Panics when what was read has not one label, below 10, and 784 pixels a sample.
pub fn npz(data: &[u8]) -> bool {
    chunk(data) || (0..4).all(|file| part(data, file))
}

fn chunk(data: &[u8]) -> bool {
    dataset::npz::read(data).is_ok_and(|samples| {
        assert_eq!(samples.images.len(), samples.labels.len() * 784);
        assert!(samples.labels.iter().all(|&label| label < 10));
        !samples.labels.is_empty()
    })
}

/// One of the four parts of a dataset, which is an IDX file.
fn part(data: &[u8], file: usize) -> bool {
    dataset::npz::read_idx(data, file).is_ok_and(|bytes| {
        let check = if file.is_multiple_of(2) { dataset::check_images } else { dataset::check_labels };
        check(&bytes).expect("what is read from an array is a whole file") > 0
    })
}

/// The array of labels in an `.npz` file of three samples that is whole otherwise.
/// Panics as [`npz()`].
pub fn npy(data: &[u8]) -> bool {
    let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({SAMPLES}, 28, 28), }}\n");
    let length = (header.len() as u16).to_le_bytes();
    let images = [b"\x93NUMPY\x01\0", &length[..], header.as_bytes(), &[0; SAMPLES * 784]].concat();
    npz(&stored([("images.npy", &images[..]), ("labels.npy", data)]))
}
