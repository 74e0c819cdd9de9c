//! Loading turns the two files of a split into one [`Dataset`] in memory: find, unpack, check, recognise.

use std::path::Path;

use sample::Samples;
use sha2::{Digest, Sha256};

use crate::{
    Checksums, Error, Split, checksums,
    idx::{self, IMAGES, LABELS},
    place::{Place, Unpacked},
    raw_mnist,
};

/// A split of a dataset in memory.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// `mnist` if it is that to the bit, else the name of its directory.
    pub name: String,
    /// Its samples, with labels below [`CLASSES`](sample::CLASSES).
    pub samples: Samples,
    digest: [u8; 32],
}

impl Dataset {
    fn new(name: String, samples: Samples, sums: [[u8; 32]; 2]) -> Self {
        Self { name, samples, digest: Sha256::digest(sums.as_flattened()).into() }
    }

    /// What names this data in the protocol and in the chunk directory: SHA-256 over the SHA-256 of the unpacked
    /// images file and that of the unpacked labels file.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }
}

/// Reads one split of the dataset in `dir`: a folder that holds the four IDX files, packed or not, under any of the names
/// that people have them under, or a root that holds one such folder; or an `.npz` file with the four arrays of Keras' MNIST.
///
/// # Errors
/// [`Error::Unusable`] if the directory or one of the split's two files is absent, if one of them is not
/// a whole, well-formed file, if they do not belong together, or if the dataset is MNIST with a damaged file.
pub fn load(dir: &Path, split: Split) -> Result<Dataset, Error> {
    let place = Place::find(dir)?;
    if split == Split::Train
        && let Some(samples) = raw_mnist::read_train(&place, &Checksums::mnist())
    {
        let [images, labels, ..] = Checksums::mnist().0;
        return Ok(Dataset::new(checksums::MNIST.to_owned(), samples, [images, labels]));
    }
    let [mut images, mut labels] = read(&place, split)?;
    let name = checksums::name(&place, split, &images, &labels)?;
    images.bytes.drain(..IMAGES.start);
    labels.bytes.drain(..LABELS.start);
    let samples = Samples { labels: labels.bytes, images: images.bytes };
    Ok(Dataset::new(name, samples, [images.sha256, labels.sha256]))
}

/// Checks the files of both splits as [`load`] does, but for whose they are.
///
/// # Errors
/// [`Error::Unusable`] if one of the files is absent or not whole and well-formed, or two do not belong together.
pub fn check(place: &Place) -> Result<(), Error> {
    [Split::Train, Split::Test].into_iter().try_for_each(|split| read(place, split).map(drop))
}

/// The images file and the labels file of a split, whole and well-formed.
fn read(place: &Place, split: Split) -> Result<[Unpacked; 2], Error> {
    let [images, labels] = split.files();
    let (images, labels) = (place.read(images)?, place.read(labels)?);
    let image_count = images.check(idx::check_images)?;
    let label_count = labels.check(idx::check_labels)?;
    if image_count != label_count {
        let what = format!("holds {label_count} labels, but there are {image_count} images; replace both files");
        return Err(Error::unusable(labels.path, what));
    }
    Ok([images, labels])
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write, path::PathBuf};

    use flate2::{Compression, write::GzEncoder};
    use sample::PIXELS;

    use super::*;
    use crate::{FILES, default_dir, write_idx};

    /// A dataset of three samples per split, in a directory called `tiny`.
    fn tiny() -> (tempfile::TempDir, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("tiny");
        for (split, first) in [(Split::Train, 0), (Split::Test, 100)] {
            let images: Vec<u8> = (0..3 * PIXELS).map(|i| (first + i / PIXELS + i % 7) as u8).collect();
            write_idx(&dir, split, &images, &[9, 0, 4]).unwrap();
        }
        (root, dir)
    }

    fn gzip(path: &Path) {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&fs::read(path).unwrap()).unwrap();
        fs::write(format!("{}.gz", path.display()), encoder.finish().unwrap()).unwrap();
        fs::remove_file(path).unwrap();
    }

    /// The real MNIST, as seen from the workspace root.
    fn mnist_dir() -> PathBuf {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(default_dir("mnist"));
        assert!(dir.is_dir(), "`{}` is missing; set MNIST_DIR to a directory with the four MNIST files", dir.display());
        dir
    }

    fn mnist_file(file: usize) -> Vec<u8> {
        Place::find(&mnist_dir()).unwrap().read(file).unwrap().bytes
    }

    #[test]
    fn both_splits_come_back_as_written_raw_or_compressed() {
        let (_root, dir) = tiny();
        let raw = [Split::Train, Split::Test].map(|split| load(&dir, split).unwrap());
        for (dataset, first) in raw.iter().zip([0, 100]) {
            assert_eq!((dataset.name.as_str(), dataset.samples.len()), ("tiny", 3));
            assert_eq!(dataset.samples.labels, [9, 0, 4]);
            // Pixel 784 is image 1's first, and 784 is a multiple of 7.
            assert_eq!(dataset.samples.image(1)[..9], [1, 2, 3, 4, 5, 6, 7, 1, 2].map(|pixel| first + pixel));
        }
        assert_ne!(raw[0].digest(), raw[1].digest());

        FILES.iter().for_each(|file| gzip(&dir.join(file)));
        let packed = load(&dir, Split::Train).unwrap();
        assert_eq!((&packed.samples, packed.digest), (&raw[0].samples, raw[0].digest));
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 4, "nothing is unpacked beside the user's files");
    }

    #[test]
    fn one_split_needs_only_its_own_two_files_and_may_be_empty() {
        let (_root, dir) = tiny();
        fs::remove_file(dir.join(FILES[0])).unwrap();
        assert_eq!(load(&dir, Split::Test).unwrap().samples.len(), 3);
        let error = load(&dir, Split::Train).unwrap_err();
        assert!(matches!(error, Error::Unusable { ref path, .. } if *path == dir.join(FILES[0])), "{error:?}");
        let error = load(&dir.join("nowhere"), Split::Train).unwrap_err();
        assert!(matches!(error, Error::Unusable { ref path, .. } if *path == dir.join("nowhere")), "{error:?}");
        write_idx(&dir, Split::Test, &[], &[]).unwrap();
        assert!(load(&dir, Split::Test).unwrap().samples.is_empty());
    }

    #[test]
    fn each_malformed_file_is_refused_with_its_reason() {
        // A byte that is changed, and the length that the file is cut or filled up to.
        let (images, labels) = (2, 3);
        for (file, (at, value), length, expect) in [
            (images, (0, 0), 15, "is 15 bytes long, too short for an images file; replace it"),
            (
                images,
                (3, 1),
                2368,
                "begins with 0x00000801 instead of 0x00000803, so it is not an images file; replace it",
            ),
            (images, (11, 32), 2368, "holds images of 32 by 28 pixels instead of 28 by 28"),
            (
                images,
                (0, 0),
                2000,
                "is 2000 bytes long, shorter than the 2368 bytes that its header promises (3 samples); replace it",
            ),
            (images, (0, 0), 2369, "is longer than the 2368 bytes that its header promises (3 samples); replace it"),
            (images, (4, 0xff), 2368, "claims to hold 4278190083 samples; at most 1000000 can be read"),
            (labels, (9, 10), 11, "holds label 10 at position 1; labels are below 10; replace it"),
            (labels, (7, 2), 10, "holds 2 labels, but there are 3 images; replace both files"),
            (labels, (0, 0), 0, "is 0 bytes long, too short for a labels file; replace it"),
        ] {
            let (_root, dir) = tiny();
            let path = dir.join(FILES[file]);
            let mut bytes = fs::read(&path).unwrap();
            bytes[at] = value;
            bytes.resize(length, 0);
            fs::write(&path, bytes).unwrap();
            let error = load(&dir, Split::Test).unwrap_err();
            assert!(matches!(error, Error::Unusable { .. }), "{error:?}");
            assert_eq!(error.to_string(), format!("`{}` {expect}", path.display()));
        }
    }

    #[test]
    fn a_damaged_gzip_file_is_refused_and_a_bomb_is_not_unpacked() {
        let (_root, dir) = tiny();
        let path = dir.join(FILES[2]);
        gzip(&path);
        let packed = dir.join(format!("{}.gz", FILES[2]));
        let whole = fs::read(&packed).unwrap();
        let message = |bytes: &[u8]| {
            fs::write(&packed, bytes).unwrap();
            let error = load(&dir, Split::Test).unwrap_err();
            assert!(matches!(error, Error::Unusable { ref path, .. } if *path == packed), "{error:?}");
            error.to_string()
        };
        assert!(message(&whole[..whole.len() - 1]).contains("is not a whole gzip file"));
        let mut flipped = whole.clone();
        let crc = whole.len() - 8;
        flipped[crc] ^= 1;
        assert!(message(&flipped).contains("is not a whole gzip file"));

        let bomb = |header: &[u8]| {
            let mut bomb = GzEncoder::new(Vec::new(), Compression::fast());
            bomb.write_all(header).unwrap();
            (0..100).for_each(|_| bomb.write_all(&[0; 1 << 20]).unwrap());
            message(&bomb.finish().unwrap())
        };
        assert!(bomb(&[]).contains("begins with 0x00000000 instead of 0x00000803"));
        assert!(bomb(&IMAGES.header(3)).contains("is longer than the 2368 bytes that its header promises"));
        let large = bomb(&IMAGES.header(900_000));
        assert!(large.contains("its header promises 705600016 bytes, more than a hundred times its size"), "{large}");
        assert!(bomb(&IMAGES.header(1_000_001)).contains("claims to hold 1000001 samples"));
    }

    #[test]
    fn the_first_bytes_of_a_file_say_what_it_is_and_not_its_name() {
        let (_root, dir) = tiny();
        let expect = load(&dir, Split::Train).unwrap().digest();
        for file in &FILES[..2] {
            fs::rename(dir.join(file), dir.join(format!("{file}.gz"))).unwrap();
        }
        assert_eq!(load(&dir, Split::Train).unwrap().digest(), expect);
        for file in &FILES[..2] {
            let path = dir.join(file);
            fs::rename(dir.join(format!("{file}.gz")), &path).unwrap();
            gzip(&path);
            fs::rename(dir.join(format!("{file}.gz")), &path).unwrap();
        }
        assert_eq!(load(&dir, Split::Train).unwrap().digest(), expect);
    }

    #[test]
    fn files_of_another_dataset_where_mnist_belongs_are_to_be_moved_and_not_to_be_deleted() {
        let (root, dir) = tiny();
        for folder in ["mnist", "MNIST"] {
            let renamed = root.path().join(folder);
            fs::rename(&dir, &renamed).unwrap();
            let error = load(&renamed, Split::Test).unwrap_err().to_string();
            let path = renamed.join(FILES[2]);
            assert!(
                error.starts_with(&format!("`{}` is not MNIST's file of that name; move it", path.display())),
                "{error}"
            );
            assert!(error.contains("by `--data`") && !error.contains("delete"), "{error}");
            fs::rename(&renamed, &dir).unwrap();
        }
    }

    #[test]
    #[ignore = "needs the real MNIST"]
    fn real_mnist_is_recognised_and_read_to_the_bit() {
        // As it is there; and raw, which the `mnist` crate reads.
        let raw = tempfile::tempdir().unwrap();
        (0..4).for_each(|file| fs::write(raw.path().join(FILES[file]), mnist_file(file)).unwrap());
        for dir in [&mnist_dir(), raw.path()] {
            let [train, test] = [Split::Train, Split::Test].map(|split| load(dir, split).unwrap());
            assert_eq!([&*train.name, &*test.name], ["mnist"; 2]);
            let (train, test) = (train.samples, test.samples);
            assert_eq!((train.len(), test.len()), (60_000, 10_000));
            // Known from any other reader of MNIST: the first labels, and the mean that preprocessing subtracts.
            assert_eq!((&train.labels[..5], &test.labels[..5]), (&[5, 0, 4, 1, 9][..], &[7, 2, 1, 0, 4][..]));
            let mean = train.images.iter().map(|&pixel| u64::from(pixel)).sum::<u64>() as f64 / (255.0 * 47_040_000.0);
            assert!((mean - 0.1307).abs() < 0.0001, "mean {mean}");
            // Image and label of the same index belong together: the last image, read from the raw bytes.
            assert!(mnist_file(0).ends_with(train.image(59_999)));
        }
        let place = Place::find(raw.path()).unwrap();
        assert!(raw_mnist::read_train(&place, &Checksums::mnist()).is_some());
    }

    #[test]
    #[ignore = "needs the real MNIST"]
    fn a_damaged_real_mnist_never_passes_for_another_dataset() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("other");
        fs::create_dir(&dir).unwrap();
        // Well-formed throughout, so that only the checksums can tell.
        let damage = |file: usize| {
            let mut bytes = mnist_file(file);
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(dir.join(FILES[file]), bytes).unwrap();
        };
        let mend = |file: usize| fs::write(dir.join(FILES[file]), mnist_file(file)).unwrap();
        let damaged_file = || match load(&dir, Split::Test) {
            Ok(dataset) => dataset.name,
            Err(Error::Unusable { path, .. }) => path.file_name().unwrap().to_string_lossy().into_owned(),
            Err(error) => panic!("{error:?}"),
        };
        mend(2);
        mend(3);
        assert_eq!(damaged_file(), "mnist");
        damage(2);
        assert_eq!(damaged_file(), FILES[2]);
        mend(2);
        damage(3);
        assert_eq!(damaged_file(), FILES[3]);
        damage(2);
        assert_eq!(damaged_file(), "other", "with no file of MNIST's in it, this could be anything");
        mend(1);
        assert_eq!(damaged_file(), FILES[2]);
        fs::remove_file(dir.join(FILES[1])).unwrap();
        let renamed = root.path().join("MNIST");
        fs::rename(&dir, &renamed).unwrap();
        let error = load(&renamed, Split::Test).unwrap_err().to_string();
        assert!(error.contains("is not MNIST's file of that name; move it elsewhere: "), "{error}");
    }
}
