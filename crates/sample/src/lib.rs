//! A sample is a 28 by 28 grey image and its label. This crate holds what every other crate must agree on: the sizes,
//! [`Samples`] by column, [`Extent`], which says what samples a stream holds, [`Share`], which deals them out, and
//! [`random::Stream`], the one source of random numbers, because the same seed must give the same bits everywhere.

#![forbid(unsafe_code)]

mod extent;
pub mod random;
mod samples;
mod share;

pub use extent::{Extent, MAX_SEQ};
pub use samples::{SampleSlice, Samples};
pub use share::Share;

/// Height of an image in pixels.
pub const ROWS: usize = 28;
/// Width of an image in pixels.
pub const COLS: usize = 28;
/// Bytes of an image: one per pixel, row by row, 0 is background and 255 is ink.
pub const PIXELS: usize = ROWS * COLS;
/// Number of classes; a label is below it.
pub const CLASSES: usize = 10;
