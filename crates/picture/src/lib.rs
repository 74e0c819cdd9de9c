//! A picture is a rectangle of grey pixels, 0 black and 255 white, row by row. Digits become pictures so that people can
//! look at them, and pictures from elsewhere become digits.

#![forbid(unsafe_code)]

mod bmp;
mod comparison;
mod component;
mod digit;
mod file;
mod formats;
mod layout;
mod line;
mod paper;
mod raster;
mod resize;
mod ruling;
mod window;

pub use crate::{
    comparison::comparison,
    digit::{Digit, Place, SIDE, digits},
    file::read,
    raster::Error,
};

/// A grey picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Picture {
    /// A picture of these pixels, row by row.
    ///
    /// # Panics
    /// If there are not `width * height` of them, or none.
    pub fn new(width: usize, height: usize, pixels: Vec<u8>) -> Self {
        assert!(width > 0 && height > 0 && pixels.len() == width * height, "{width} by {height} pixels");
        Self { width, height, pixels }
    }

    /// Pixels in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// All pixels, row by row.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// What is at this place, and a `margin` around it as far as the picture goes.
    ///
    /// # Panics
    /// If the place is not in the picture.
    pub fn cut_out(&self, place: Place, margin: usize) -> Self {
        let columns = place.x.saturating_sub(margin)..(place.x + place.width + margin).min(self.width);
        let rows = place.y.saturating_sub(margin)..(place.y + place.height + margin).min(self.height);
        let pixels = rows.clone().flat_map(|row| &self.pixels[row * self.width..][columns.clone()]).copied().collect();
        Self::new(columns.len(), rows.len(), pixels)
    }

    pub(crate) fn negative(&self) -> Self {
        let pixels = self.pixels.iter().map(|pixel| 255 - pixel).collect();
        Self { pixels, ..*self }
    }

    pub(crate) fn transposed(&self) -> Self {
        Self::new(self.height, self.width, paper::transposed(self.width, &self.pixels))
    }

    /// The bytes of a PNG file.
    ///
    /// # Panics
    /// If a side is longer than 2³¹ - 1 pixels.
    pub fn png(&self) -> Vec<u8> {
        let side = |pixels| u32::try_from(pixels).expect("a side of a picture");
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, side(self.width), side(self.height));
        encoder.set_color(png::ColorType::Grayscale);
        let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(&self.pixels));
        written.expect("memory takes whatever is written");
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_png_holds_the_pixels() {
        let picture = Picture::new(3, 2, vec![0, 50, 100, 150, 200, 255]);
        assert_eq!(read(&picture.png()).unwrap(), picture);
    }
}
