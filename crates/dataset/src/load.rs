//! Loading turns two files on disk into one [`Dataset`] in memory: unpack, check, recognise, then read.
//!
//! The reading itself is the `mnist` crate's. It insists on four raw files with exactly 60,000 and 10,000 samples in their
//! headers, panics on anything else, and then takes whatever bytes follow the header. So it never sees the user's files:
//! what has been checked is handed to it through pipes, which have paths too, under headers that it accepts, beside two
//! empty files in place of the split that nobody asked for. Whatever a user's file holds, however it changes meanwhile, and
//! whatever its size, there is then nothing left to panic about; and no file is written for it.

use std::{
    fs::File,
    io::{self, PipeReader, Write},
    path::Path,
    thread,
};

use mnist::{Mnist, MnistBuilder};
use sha2::{Digest, Sha256};

use crate::{
    Error, PIXELS, Split, checksums,
    idx::{self, FILES, IMAGES_HEADER, LABELS_HEADER, Unpacked},
};

/// A labelled set of images, by column.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// `mnist` if it is that to the bit, else the name of its directory.
    pub name: String,
    /// Row-major grey values, [`PIXELS`] bytes per image, one image after the other.
    pub images: Vec<u8>,
    /// One label below [`CLASSES`](crate::CLASSES) per image.
    pub labels: Vec<u8>,
    digest: [u8; 32],
}

impl Dataset {
    /// Number of samples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no sample at all.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The [`PIXELS`] bytes of image `i`.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn image(&self, i: usize) -> &[u8] {
        &self.images[i * PIXELS..][..PIXELS]
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
/// Fails with [`Error::Missing`] if the directory or one of the split's two files is absent, and with
/// [`Error::Corrupt`] if one of them is not a whole, well-formed file, if they do not belong together, or if the
/// dataset is MNIST with a damaged file.
pub fn load(dir: &Path, split: Split) -> Result<Dataset, Error> {
    check(dir, split)?.read()
}

/// One split of a dataset that has been unpacked and checked, but not read.
pub struct Checked {
    /// As that of a [`Dataset`].
    pub name: String,
    /// As [`Dataset::digest`].
    pub digest: [u8; 32],
    /// Number of samples.
    pub count: usize,
    images: Unpacked,
    labels: Unpacked,
}

/// Unpacks and checks one split of the dataset in `dir`, which is most of what [`load()`] does and fails as it does.
///
/// # Errors
/// As [`load()`].
pub fn check(dir: &Path, split: Split) -> Result<Checked, Error> {
    let [images_file, labels_file] = split.files();
    let images = idx::read(dir, FILES[images_file])?;
    let labels = idx::read(dir, FILES[labels_file])?;
    let image_count = idx::check_images(&images)?;
    let label_count = idx::check_labels(&labels)?;
    if image_count != label_count {
        let what = format!("holds {label_count} labels, but there are {image_count} images; replace both files");
        return Err(Error::corrupt(labels.path, what));
    }
    let name = checksums::name(dir, split, &images, &labels)?;
    let digest = Sha256::new().chain_update(images.sha256).chain_update(labels.sha256).finalize().into();
    Ok(Checked { name, digest, count: image_count, images, labels })
}

impl Checked {
    fn read(self) -> Result<Dataset, Error> {
        let Self {
            name,
            digest,
            images: Unpacked { bytes: mut images, .. },
            labels: Unpacked { bytes: mut labels, .. },
            ..
        } = self;
        // Without pipes that have a path, as in a sandbox without /dev/fd, the checked bytes are what there is to read.
        let (images, labels) = read_checked(&images, &labels)
            .unwrap_or_else(|_| (images.split_off(IMAGES_HEADER), labels.split_off(LABELS_HEADER)));
        Ok(Dataset { name, images, labels, digest })
    }
}

/// Reads the samples of two checked files with the `mnist` crate, of which it hands out so many at once.
fn read_checked(images: &[u8], labels: &[u8]) -> io::Result<(Vec<u8>, Vec<u8>)> {
    const AT_ONCE: usize = 70_000;
    let (images, labels) = (&images[IMAGES_HEADER..], &labels[LABELS_HEADER..]);
    let mut read = (Vec::new(), Vec::new());
    for (images, labels) in images.chunks(AT_ONCE * PIXELS).zip(labels.chunks(AT_ONCE)) {
        let Mnist { mut trn_img, mut trn_lbl, .. } = read_piped(images, labels)?;
        if read.1.is_empty() {
            read = (trn_img, trn_lbl); // Mostly that is all.
        } else {
            read.0.append(&mut trn_img);
            read.1.append(&mut trn_lbl);
        }
    }
    Ok(read)
}

/// Has the `mnist` crate read these samples as the training set of a dataset without a test set.
fn read_piped(images: &[u8], labels: &[u8]) -> io::Result<Mnist> {
    thread::scope(|scope| {
        let pipe = |header: Vec<u8>, body| {
            let (reader, mut writer) = io::pipe()?;
            scope.spawn(move || writer.write_all(&header).and_then(|()| writer.write_all(body)));
            Pipe::new(reader)
        };
        let train_images = pipe(idx::images_header(60_000).into(), images)?;
        let train_labels = pipe(idx::labels_header(60_000).into(), labels)?;
        let test_images = pipe(idx::images_header(10_000).into(), &[])?;
        let test_labels = pipe(idx::labels_header(10_000).into(), &[])?;
        Ok(MnistBuilder::new()
            .base_path("")
            .training_images_filename(&train_images.path)
            .training_labels_filename(&train_labels.path)
            .test_images_filename(&test_images.path)
            .test_labels_filename(&test_labels.path)
            .label_format_digit()
            .training_set_length(labels.len() as u32)
            .validation_set_length(0)
            .test_set_length(0)
            .finalize())
    })
}

/// The reading end of a pipe, which has this path as long as it is open. Closing it also ends the thread that writes.
struct Pipe {
    path: String,
    _reader: PipeReader,
}

impl Pipe {
    /// Fails where a pipe cannot be opened by a path, on which the `mnist` crate would panic.
    fn new(reader: PipeReader) -> io::Result<Self> {
        #[cfg(unix)]
        let path = format!("/dev/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader));
        #[cfg(not(unix))]
        let path = String::new();
        File::open(&path)?;
        Ok(Self { path, _reader: reader })
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use flate2::{Compression, write::GzEncoder};

    use super::*;
    use crate::write_idx;

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

    /// Changes the bytes of one file of a tiny dataset and expects this error when its split is read.
    #[track_caller]
    fn check(file: &str, change: impl FnOnce(&mut Vec<u8>), expect: &str) {
        let (_root, dir) = tiny();
        let path = dir.join(file);
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        fs::write(&path, bytes).unwrap();
        let split = if file.starts_with("train") { Split::Train } else { Split::Test };
        let error = load(&dir, split).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
        assert_eq!(error.to_string(), format!("`{}` {expect}", path.display()));
    }

    fn gzip(path: &Path) {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&fs::read(path).unwrap()).unwrap();
        fs::write(format!("{}.gz", path.display()), encoder.finish().unwrap()).unwrap();
        fs::remove_file(path).unwrap();
    }

    /// `$MNIST_DIR`, else `data/mnist`, both as seen from the workspace root.
    fn mnist_dir() -> PathBuf {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let dir = workspace.join(std::env::var_os("MNIST_DIR").unwrap_or("data/mnist".into()));
        assert!(dir.is_dir(), "`{}` is missing; set MNIST_DIR to a directory with the four MNIST files", dir.display());
        dir
    }

    #[test]
    fn both_splits_come_back_as_written_raw_or_compressed() {
        let (_root, dir) = tiny();
        let raw = [Split::Train, Split::Test].map(|split| load(&dir, split).unwrap());
        for (dataset, first) in raw.iter().zip([0, 100]) {
            assert_eq!((dataset.name.as_str(), dataset.len()), ("tiny", 3));
            assert_eq!(dataset.labels, [9, 0, 4]);
            // Pixel 784 is image 1's first, and 784 is a multiple of 7.
            assert_eq!(dataset.image(1)[..9], [1, 2, 3, 4, 5, 6, 7, 1, 2].map(|pixel| first + pixel));
        }
        assert_ne!(raw[0].digest(), raw[1].digest());

        FILES.iter().for_each(|file| gzip(&dir.join(file)));
        let packed = load(&dir, Split::Train).unwrap();
        assert_eq!((packed.images, packed.digest), (raw[0].images.clone(), raw[0].digest));
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 4, "nothing is unpacked beside the user's files");
    }

    #[test]
    fn one_split_needs_only_its_own_two_files() {
        let (_root, dir) = tiny();
        fs::remove_file(dir.join(FILES[0])).unwrap();
        assert_eq!(load(&dir, Split::Test).unwrap().len(), 3);
        let error = load(&dir, Split::Train).unwrap_err();
        assert!(matches!(error, Error::Missing { ref path, .. } if *path == dir.join(FILES[0])), "{error:?}");
        let error = load(&dir.join("nowhere"), Split::Train).unwrap_err();
        assert!(matches!(error, Error::Missing { ref path, .. } if *path == dir.join("nowhere")), "{error:?}");
    }

    #[test]
    fn an_empty_split_is_a_dataset_without_samples() {
        let (_root, dir) = tiny();
        write_idx(&dir, Split::Test, &[], &[]).unwrap();
        assert!(load(&dir, Split::Test).unwrap().is_empty());
    }

    #[test]
    fn each_malformed_file_is_refused_with_its_reason() {
        let images = "t10k-images-idx3-ubyte";
        let labels = "t10k-labels-idx1-ubyte";
        check(images, |bytes| bytes.truncate(15), "is 15 bytes long, too short for an images file; replace it");
        check(
            images,
            |bytes| bytes[3] = 1,
            "begins with 0x00000801 instead of 0x00000803, so it is not an images file; replace it",
        );
        check(images, |bytes| bytes[11] = 32, "holds images of 32 by 28 pixels instead of 28 by 28");
        check(
            images,
            |bytes| bytes.truncate(2_000),
            "is 2000 bytes long, shorter than the 2368 bytes that its header promises (3 samples); replace it",
        );
        check(
            "train-images-idx3-ubyte",
            |bytes| bytes.push(0),
            "is longer than the 2368 bytes that its header promises (3 samples); replace it",
        );
        check(images, |bytes| bytes[4..8].fill(0xff), "claims to hold 4294967295 samples; at most 1000000 can be read");
        check(labels, |bytes| bytes[9] = 10, "holds label 10 at position 1; labels are below 10; replace it");
        check(
            labels,
            |bytes| {
                bytes[7] = 2;
                bytes.truncate(10);
            },
            "holds 2 labels, but there are 3 images; replace both files",
        );
        check(labels, Vec::clear, "is 0 bytes long, too short for a labels file; replace it");
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
            assert!(matches!(error, Error::Corrupt { ref path, .. } if *path == packed), "{error:?}");
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
        assert!(bomb(&idx::images_header(3)).contains("is longer than the 2368 bytes that its header promises"));
        let large = bomb(&idx::images_header(900_000));
        assert!(large.contains("its header promises 705600016 bytes, more than a hundred times its size"), "{large}");
        assert!(bomb(&idx::images_header(1_000_001)).contains("claims to hold 1000001 samples"));
    }

    #[test]
    fn more_samples_than_mnist_has_are_read() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("many");
        let count = 70_001;
        let mut images = vec![0; count * PIXELS];
        *images.last_mut().unwrap() = 200;
        let mut labels = vec![1; count];
        labels[count - 1] = 9;
        write_idx(&dir, Split::Train, &images, &labels).unwrap();
        for packed in [false, true] {
            if packed {
                FILES[..2].iter().for_each(|file| gzip(&dir.join(file)));
            }
            let dataset = load(&dir, Split::Train).unwrap();
            assert!(dataset.images == images && dataset.labels == labels, "packed: {packed}");
        }
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
        let train = load(&mnist_dir(), Split::Train).unwrap();
        let test = load(&mnist_dir(), Split::Test).unwrap();
        assert_eq!(
            (train.name.as_str(), train.len(), test.name.as_str(), test.len()),
            ("mnist", 60_000, "mnist", 10_000)
        );
        // Known from any other reader of MNIST: the first labels, and the mean that preprocessing subtracts.
        assert_eq!((&train.labels[..5], &test.labels[..5]), (&[5, 0, 4, 1, 9][..], &[7, 2, 1, 0, 4][..]));
        let mean = train.images.iter().map(|&pixel| u64::from(pixel)).sum::<u64>() as f64 / (255.0 * 47_040_000.0);
        assert!((mean - 0.1307).abs() < 0.0001, "mean {mean}");
        // Image and label of the same index belong together: the last image, read from the raw bytes.
        let raw = idx::read(&mnist_dir(), FILES[0]).unwrap().bytes;
        assert_eq!(train.image(59_999), &raw[raw.len() - PIXELS..]);
    }

    #[test]
    #[ignore = "needs the real MNIST"]
    fn a_damaged_real_mnist_never_passes_for_another_dataset() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("other");
        fs::create_dir(&dir).unwrap();
        // Well-formed throughout, so that only the checksums can tell.
        let damage = |file: usize| {
            let mut bytes = idx::read(&mnist_dir(), FILES[file]).unwrap().bytes;
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(dir.join(FILES[file]), bytes).unwrap();
        };
        let mend = |file: usize| {
            fs::write(dir.join(FILES[file]), idx::read(&mnist_dir(), FILES[file]).unwrap().bytes).unwrap();
        };
        let damaged_file = || match load(&dir, Split::Test) {
            Ok(dataset) => dataset.name,
            Err(Error::Corrupt { path, .. }) => path.file_name().unwrap().to_string_lossy().into_owned(),
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
