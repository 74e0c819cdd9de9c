//! A dataset is a list of labelled 28 by 28 grey images: MNIST, anything in the same four IDX files or in the `.npz`
//! file that Keras keeps it in, or digits that the program draws itself where MNIST cannot be had.
//!
//! This crate owns everything from "which directory" to "these bytes are what they claim to be": [`Place`] finds the files,
//! [`load()`] verifies and reads one half of them, [`draw_all`] makes some. Nothing unverified ever leaves it. A [`Supply`]
//! is what is sent of one, as its [`Drift`] changes it. It knows no
//! sockets (MNIST is downloaded by the crate `download`), and no tensors.

#![forbid(unsafe_code)]

mod checksums;
mod digits;
mod drift;
mod error;
mod glyphs;
mod idx;
mod load;
pub mod npz;
mod page;
mod place;
mod raw_mnist;
mod split;
mod supply;
mod turn;

pub use crate::{
    checksums::{Checksums, is_mnist},
    digits::draw_all,
    drift::Drift,
    error::Error,
    idx::{check_images, check_labels, images, is_images, unpack as unpack_idx, write_idx},
    load::{Dataset, check, load},
    place::{Place, default_dir, environment},
    split::{FILES, Split},
    supply::Supply,
};
