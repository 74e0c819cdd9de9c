//! Makes a dataset be there: found, else downloaded from a mirror or through npm, else drawn. [`provide()`] decides which. What
//! its files must hold, the crate `dataset` says.

#![forbid(unsafe_code)]

mod error;
#[cfg(test)]
mod fake_mirror;
#[cfg(test)]
mod fake_npm;
mod fetch;
mod mirror;
mod npm;
mod provide;

use std::ops::ControlFlow;

pub use crate::{
    error::Error,
    fetch::{Mirrors, fetch},
    mirror::Limits,
    npm::Npm,
    provide::{Choice, Provided, Sources, provide},
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
