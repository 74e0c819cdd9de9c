//! A dataset is a list of labelled 28 by 28 grey images: MNIST, anything in the same four IDX files or in the `.npz`
//! file that Keras keeps it in, or digits that the program draws itself where MNIST cannot be had.
//!
//! This crate owns everything from "which directory" to "these bytes are what they claim to be": [`provide()`]
//! finds, downloads or draws the files, [`load()`] verifies and reads one half of them. Nothing unverified ever
//! leaves it. It knows no sockets beyond a download, and no tensors.

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
mod lock;
mod mirror;
mod npm;
pub mod npz;
mod page;
mod place;
mod provide;
mod raw_mnist;
mod split;
mod tar;

use std::ops::ControlFlow;

pub use crate::{
    checksums::Checksums,
    error::Error,
    idx::{check_images, check_labels, images, is_images, unpack as unpack_idx, write_idx},
    load::{Dataset, load},
    provide::{Choice, Provided, Sources, default_dir, provide},
    split::{FILES, Split},
};

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

/// Is told of progress, and may break the work off.
pub type OnProgress<'a> = &'a mut dyn FnMut(Progress) -> ControlFlow<()>;
