//! A raster is a picture as a decoder leaves it: pixels of any colours, held as the camera was. Its size is checked first.

use std::fmt::Display;

/// The most pixels of a picture: more than any phone's camera has, and 256 MB once they are unpacked in colour.
const MAX_PIXELS: u64 = 64_000_000;

/// The most memory that a decoder may reserve.
pub(crate) const MAX_MEMORY: usize = 8 * MAX_PIXELS as usize;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) width: usize,
    pub(crate) height: usize,
}

/// A picture as a decoder leaves it: 8 bits a sample.
pub(crate) struct Raster {
    pub(crate) size: Size,
    /// Grey, grey and opacity, red, green and blue, or these and opacity: as many samples as each pixel has.
    pub(crate) samples: Vec<u8>,
    /// How the camera was held, as Exif numbers it, from 1.
    pub(crate) orientation: u16,
}

/// Why bytes are no picture.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// They are something else.
    #[error("it is no picture of a known format")]
    Format,
    /// They are a picture, but of a format or kind that is not read.
    #[error("it is {0}, which is not read; save it as PNG")]
    Foreign(&'static str),
    /// The file's header says that it is too large. No memory was reserved for it.
    #[error("it has {width} by {height} pixels, more than the {most} that are read; make it smaller")]
    TooLarge {
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
        /// The most pixels that are read.
        most: u64,
    },
    /// They begin like a picture.
    #[error("it is damaged: {0}")]
    Damaged(String),
}

impl Size {
    /// A picture's size, if it is one and not too large.
    pub(crate) fn checked(width: u32, height: u32) -> Result<Self, Error> {
        match u64::from(width) * u64::from(height) {
            0 => Err(Error::Damaged("it has no pixels".into())),
            1..=MAX_PIXELS => Ok(Self { width: width as usize, height: height as usize }),
            _ => Err(Error::TooLarge { width, height, most: MAX_PIXELS }),
        }
    }

    pub(crate) fn pixels(self) -> usize {
        self.width * self.height
    }
}

pub(crate) fn damaged(error: impl Display) -> Error {
    Error::Damaged(error.to_string())
}
