//! A dataset has two splits, and each split two files: its images and its labels.

/// The four files of a dataset: images and labels to train on, then images and labels to test with.
pub const FILES: [&str; 4] =
    ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

/// Which half of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// What a model learns from (`train-*`, 60,000 images in MNIST).
    Train,
    /// What a model is judged by, and never learns from (`t10k-*`, 10,000 images in MNIST).
    Test,
}

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
