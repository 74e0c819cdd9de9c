//! MNIST's four raw files, read by the `mnist` crate where they lie.
//!
//! The crate panics on any other files, and takes whatever bytes follow a header. So it reads a folder only if lengths,
//! headers and labels are MNIST's, and what it has read counts only if its checksums are MNIST's too: a file that changes
//! meanwhile is never taken for MNIST. A folder that is refused here is read as any other dataset is.
//!
//! Whichever samples are wanted, the crate reads all four files. It is asked for those to train on; for the test set it
//! would read eight times what that takes.

use std::{
    fs::{self, File},
    io::Read,
    panic,
    path::Path,
};

use mnist::MnistBuilder;
use sample::Samples;
use sha2::{Digest, Sha256};

use crate::{
    Checksums, FILES,
    idx::{IMAGES, LABELS},
    place::Place,
};

/// Samples to train on and to test with.
const COUNTS: [u32; 2] = [60_000, 10_000];

/// The samples to train on, if this is the folder of a dataset that has these checksums and that the crate can read.
pub(crate) fn read_train(place: &Place, checksums: &Checksums) -> Option<Samples> {
    let files = place.files.as_ref()?;
    let as_published = FILES.map(|name| place.path.join(name));
    if !files.iter().flatten().eq(&as_published) || !(0..FILES.len()).all(|file| is_whole(&as_published[file], file)) {
        return None;
    }
    if place.read(1).ok()?.sha256 != checksums.0[1] {
        return None;
    }
    let samples = read(place.path.to_str()?)?;
    let sums = [(IMAGES, &samples.images), (LABELS, &samples.labels)].map(|(kind, body)| {
        <[u8; 32]>::from(Sha256::new().chain_update(kind.header(COUNTS[0])).chain_update(body).finalize())
    });
    (sums == checksums.0[..2]).then_some(samples)
}

/// Whether this file has the length and the header of MNIST's at this position of [`FILES`].
fn is_whole(path: &Path, file: usize) -> bool {
    let (kind, count) = ([IMAGES, LABELS][file % 2], COUNTS[file / 2]);
    let (header, body) = (kind.header(count), count as usize * kind.sample);
    let mut found = vec![0; header.len()];
    fs::metadata(path).is_ok_and(|metadata| metadata.len() == (header.len() + body) as u64)
        && File::open(path).and_then(|mut file| file.read_exact(&mut found)).is_ok()
        && found == header
}

/// What the crate reads; `None` if a file that changed meanwhile made it panic.
fn read(dir: &str) -> Option<Samples> {
    let read = || {
        MnistBuilder::new()
            .base_path(dir)
            .label_format_digit()
            .training_set_length(COUNTS[0])
            .validation_set_length(0)
            .test_set_length(0)
            .finalize()
    };
    let mnist = panic::catch_unwind(read).ok()?;
    let mut samples = Samples { labels: mnist.trn_lbl, images: mnist.trn_img };
    samples.images.shrink_to_fit(); // The test set was behind them.
    Some(samples)
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;

    use sample::PIXELS;

    use super::*;

    #[test]
    fn what_is_not_mnist_to_the_bit_is_refused_without_a_panic() {
        let root = tempfile::tempdir().unwrap();
        let path = |file: usize| root.path().join(FILES[file]);
        let resize = |file: usize, length: u64| {
            OpenOptions::new().write(true).open(path(file)).unwrap().set_len(length).unwrap();
        };
        let headers = COUNTS.map(|count| [IMAGES, LABELS].map(|kind| kind.header(count)));
        let lengths = [47_040_016, 60_008, 7_840_016, 10_008];
        for (file, header) in headers.as_flattened().iter().enumerate() {
            fs::write(path(file), header).unwrap();
            resize(file, lengths[file]);
        }
        let sums = [0, 1].map(|file| Sha256::digest(fs::read(path(file)).unwrap()).into());
        let black = Checksums([sums[0], sums[1], [0; 32], [0; 32]]);
        let read_train = |checksums: &Checksums| read_train(&Place::find(root.path()).unwrap(), checksums);
        let samples = read_train(&black).unwrap();
        assert_eq!((samples.len(), samples.images.len()), (60_000, 60_000 * PIXELS));
        assert_eq!(read_train(&Checksums([[7; 32], sums[1], [0; 32], [0; 32]])), None);
        assert_eq!(read_train(&Checksums::mnist()), None);

        for (file, (header, length)) in headers.as_flattened().iter().zip(lengths).enumerate() {
            resize(file, length - 1);
            assert_eq!(read_train(&black), None, "{file} is short");
            resize(file, 4);
            assert_eq!(read(root.path().to_str().unwrap()), None, "{file} was cut after it was looked at");
            resize(file, length);
            assert_eq!(read_train(&black), None, "{file} has another header");
            fs::write(path(file), header).unwrap();
            resize(file, length);
        }
        fs::rename(path(3), root.path().join("t10k-labels.idx1-ubyte")).unwrap();
        assert_eq!(read_train(&black), None, "the crate knows no other names");
    }
}
