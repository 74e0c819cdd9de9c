//! A dataset is a list of labelled 28 by 28 grey images: MNIST, anything in the same four IDX files or in the `.npz`
//! file that Keras keeps it in, or digits that the program draws itself where MNIST cannot be had.
//!
//! This crate owns everything from "which directory" to "these bytes are what they claim to be": [`provide()`]
//! finds, downloads or draws the files, [`load()`] verifies and reads one half of them. Nothing unverified ever
//! leaves it. It also holds the project's one random generator, [`random::Stream`], because drawn digits must be
//! the same bits everywhere. It knows no sockets beyond a download, and no tensors.

#![forbid(unsafe_code)]

mod checksums;
mod digits;
pub mod download;
mod error;
#[cfg(test)]
mod fake_mirror;
#[cfg(test)]
mod fake_npm;
mod glyphs;
mod idx;
mod layout;
mod load;
mod npm;
pub mod npz;
mod page;
mod provide;
pub mod random;

pub use crate::{
    checksums::Checksums,
    error::Error,
    idx::{FILES, Kind, check_idx, images, is_images, unpack as unpack_idx, write_idx},
    load::{Checked, Dataset, check, load},
    provide::{Choice, Provided, Sources, provide},
};

/// Height of an image in pixels.
pub const ROWS: usize = 28;
/// Width of an image in pixels.
pub const COLS: usize = 28;
/// Bytes of an image: one per pixel, row by row, 0 is background and 255 is ink.
pub const PIXELS: usize = ROWS * COLS;
/// Number of classes; a label is below it.
pub const CLASSES: usize = 10;

/// Which half of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// What a model learns from (`train-*`, 60,000 images in MNIST).
    Train,
    /// What a model is judged by, and never learns from (`t10k-*`, 10,000 images in MNIST).
    Test,
}

/// How far a long piece of work has come; enough to draw a bar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// A file is arriving from a mirror or through npm. A retry starts again at zero.
    Downloading {
        /// Name of the file, without its directory.
        file: String,
        /// Bytes that have arrived.
        done: u64,
        /// Bytes to expect, where that is known.
        total: Option<u64>,
    },
    /// Digits are being drawn, train and test split together.
    Drawing {
        /// Images drawn.
        done: u64,
        /// Images to draw.
        total: u64,
    },
}
