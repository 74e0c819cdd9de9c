//! Checksums are how a dataset is recognised: MNIST is not a directory of that name but four files of known
//! content, so that a run which says `mnist` is comparable with every other one that does.

use hex::FromHex;

use crate::{
    Error, FILES, Split,
    place::{Place, Unpacked},
};

pub(crate) const MNIST: &str = "mnist";

/// SHA-256 of the four files of a dataset, unpacked, in the order of [`FILES`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checksums(pub [[u8; 32]; 4]);

impl Checksums {
    /// MNIST, as published by its authors.
    pub fn mnist() -> Self {
        let sha256 = |digits| <[u8; 32]>::from_hex(digits).expect("64 hexadecimal digits");
        Self([
            sha256("ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
            sha256("65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
            sha256("0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
            sha256("ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
        ])
    }

    /// Fails unless all four files are MNIST's, or whatever is meant by these sums.
    ///
    /// # Errors
    /// When one of them is another, or cannot be read.
    pub fn verify_all(&self, place: &Place) -> Result<(), Error> {
        let what = "is not MNIST's file of that name, and `--dataset mnist` takes no other; leave it out, or name a folder \
                    with MNIST's files by `--data`";
        (0..FILES.len()).try_for_each(|file| self.compare(place, file, what))
    }

    /// Fails unless the labels are the ones meant. They tell one dataset from another, and take no time.
    ///
    /// # Errors
    /// As [`Checksums::verify_all`].
    pub fn verify_labels(&self, place: &Place) -> Result<(), Error> {
        [Split::Train, Split::Test].into_iter().try_for_each(|split| self.verify(place, split.files()[1]))
    }

    /// Fails unless the file at position `file` of [`FILES`] is the one meant.
    ///
    /// # Errors
    /// As [`Checksums::verify_all`].
    pub fn verify(&self, place: &Place, file: usize) -> Result<(), Error> {
        self.compare(place, file, FOREIGN)
    }

    fn compare(&self, place: &Place, file: usize, what: &str) -> Result<(), Error> {
        let found = place.read(file)?;
        if found.sha256 == self.0[file] { Ok(()) } else { Err(Error::unusable(found.path, what)) }
    }
}

/// Of a file that lies where only MNIST's may. It is the user's and may exist once only, so nobody is told to delete it.
const FOREIGN: &str = "is not MNIST's file of that name; move it elsewhere: another dataset is read from a folder of another \
                       name, by `--data`, and MNIST's files are downloaded into `data/mnist` where they are missing";

/// Of a file that lies beside one of MNIST's.
const MIXED: &str = "is not MNIST's file of that name, but a file beside it is MNIST's; put MNIST's in its place, or keep the \
                     two datasets in folders of their own";

/// The name of the dataset in this place, of which `images` and `labels` of `split` have been read: `mnist` if they are
/// MNIST's, else the name of the directory.
/// Where neither is MNIST's, it is still a damaged MNIST and no dataset of its own if the directory is called
/// that, or if a file of the other split is MNIST's.
pub(crate) fn name(place: &Place, split: Split, images: &Unpacked, labels: &Unpacked) -> Result<String, Error> {
    let Checksums(mnist) = Checksums::mnist();
    let [images_file, labels_file] = split.files();
    match (images.sha256 == mnist[images_file], labels.sha256 == mnist[labels_file]) {
        (true, true) => return Ok(MNIST.to_owned()),
        (true, false) => return Err(Error::unusable(&labels.path, MIXED)),
        (false, true) => return Err(Error::unusable(&images.path, MIXED)),
        (false, false) => {}
    }
    let is_other_file_of_mnist = |file: usize| place.read(file).is_ok_and(|found| found.sha256 == mnist[file]);
    if split.other().files().into_iter().any(is_other_file_of_mnist) {
        return Err(Error::unusable(&images.path, MIXED));
    }
    let name = place.name()?;
    if is_mnist(&name) { Err(Error::unusable(&images.path, FOREIGN)) } else { Ok(name) }
}

/// Whether a place of this name claims to hold MNIST.
pub fn is_mnist(name: &str) -> bool {
    name.eq_ignore_ascii_case(MNIST)
}
