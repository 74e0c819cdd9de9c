//! Pictures from files: PNG and JPEG, of any colours, with or without transparency, upright as the camera was held.

use std::io::Cursor;

use image::{DynamicImage, GrayAlphaImage, ImageDecoder, ImageFormat, ImageReader};
use thiserror::Error;

use crate::Picture;

/// The most pixels of a picture: more than any phone's camera has, and 256 MB once they are unpacked in colour.
const MAX_PIXELS: u64 = 64_000_000;

/// Why bytes are no picture.
#[derive(Debug, Error)]
pub enum Error {
    /// They are something else.
    #[error("it is no PNG or JPEG file")]
    Format,
    /// The file's header says that it is too large. No memory was reserved for it.
    #[error("it has {width} by {height} pixels, more than the {MAX_PIXELS} that are read; make it smaller")]
    TooLarge {
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// They begin like a picture.
    #[error("it is damaged: {0}")]
    Damaged(#[from] image::ImageError),
}

/// The picture in the bytes of a PNG or JPEG file, in grey. Where it is transparent there is paper, white or black,
/// whichever the rest can be seen on.
///
/// # Errors
/// When it is neither, damaged, or too large.
pub fn read(bytes: &[u8]) -> Result<Picture, Error> {
    let format = image::guess_format(bytes).map_err(|_| Error::Format)?;
    if !matches!(format, ImageFormat::Png | ImageFormat::Jpeg) {
        return Err(Error::Format);
    }
    let mut decoder = ImageReader::with_format(Cursor::new(bytes), format).into_decoder()?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(Error::TooLarge { width, height });
    }
    let orientation = decoder.orientation()?;
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(orientation);
    let (width, height) = (image.width() as usize, image.height() as usize);
    let pixels =
        if image.color().has_alpha() { on_paper(&image.into_luma_alpha8()) } else { image.into_luma8().into_raw() };
    Ok(Picture::new(width, height, pixels))
}

/// The picture on paper of the colour that is farther from what can be seen of it.
fn on_paper(image: &GrayAlphaImage) -> Vec<u8> {
    let (mut opaque, mut bright) = (0, 0);
    for [grey, alpha] in image.pixels().map(|pixel| pixel.0) {
        opaque += u64::from(alpha);
        bright += u64::from(alpha) * u64::from(grey);
    }
    let paper = if bright < opaque * 128 { 255 } else { 0 };
    let mix = |[grey, alpha]: [u8; 2]| (u32::from(grey) * u32::from(alpha) + paper * (255 - u32::from(alpha))) / 255;
    image.pixels().map(|pixel| mix(pixel.0) as u8).collect()
}

#[cfg(test)]
mod tests {
    use image::{ExtendedColorType, ImageEncoder, codecs::jpeg::JpegEncoder, codecs::png::PngEncoder};

    use super::*;

    fn png(width: u32, height: u32, pixels: &[u8], colors: ExtendedColorType) -> Vec<u8> {
        let mut bytes = Vec::new();
        PngEncoder::new(&mut bytes).write_image(pixels, width, height, colors).unwrap();
        bytes
    }

    #[test]
    fn colours_and_depths_become_grey() {
        for (pixels, colors) in [
            (&[255, 255, 255, 0, 0, 0][..], ExtendedColorType::Rgb8),
            (&[0xff, 0xff, 0, 0], ExtendedColorType::L16),
            (&[255, 255, 255, 255, 0, 0, 0, 255], ExtendedColorType::Rgba8),
        ] {
            let picture = read(&png(2, 1, pixels, colors)).unwrap();
            assert_eq!(picture, Picture::new(2, 1, vec![255, 0]), "{colors:?}");
        }
    }

    #[test]
    fn ink_on_nothing_is_ink_on_paper_that_shows_it() {
        let two = |ink| read(&png(2, 1, &[ink, 255, 0, 0], ExtendedColorType::La8)).unwrap();
        assert_eq!(two(0), Picture::new(2, 1, vec![0, 255]));
        assert_eq!(two(255), Picture::new(2, 1, vec![255, 0]));
    }

    #[test]
    fn a_photo_is_turned_as_its_camera_was() {
        let mut bytes = Vec::new();
        let bright_left: Vec<u8> = (0..16 * 16).map(|pixel| if pixel % 16 < 8 { 255 } else { 0 }).collect();
        JpegEncoder::new_with_quality(&mut bytes, 100)
            .write_image(&bright_left, 16, 16, ExtendedColorType::L8)
            .unwrap();
        assert_eq!(read(&bytes).unwrap().pixels()[..2], [255, 255]);
        // Orientation 6: what is on the left belongs to the top. The camera writes it into an Exif segment.
        let exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        let segment = [&[0xff, 0xe1][..], &(exif.len() as u16 + 2).to_be_bytes(), exif].concat();
        bytes.splice(2..2, segment);
        let turned = read(&bytes).unwrap();
        assert_eq!((turned.pixels()[0], turned.pixels()[15], turned.pixels()[16 * 15]), (255, 255, 0));
    }

    #[test]
    fn what_is_no_picture_is_told_from_what_is_damaged_or_too_large() {
        let whole = png(4, 4, &[7; 16], ExtendedColorType::L8);
        assert!(matches!(read(b"hello"), Err(Error::Format)));
        assert!(matches!(read(b"GIF89a\x01\0\x01\0\0\0\0"), Err(Error::Format)));
        for length in 16..whole.len() - 12 {
            assert!(matches!(read(&whole[..length]), Err(Error::Damaged(_))), "{length}");
        }
        // A header alone, for 100,000 by 100,000 pixels.
        let mut huge = whole;
        huge[16..24].copy_from_slice(&[0, 1, 0x86, 0xa0, 0, 1, 0x86, 0xa0]);
        let sum = crc32(&huge[12..29]);
        huge[29..33].copy_from_slice(&sum.to_be_bytes());
        let error = read(&huge).unwrap_err();
        let expect = "it has 100000 by 100000 pixels, more than the 64000000 that are read; make it smaller";
        assert_eq!(error.to_string(), expect);
    }

    /// The checksum of PNG.
    fn crc32(bytes: &[u8]) -> u32 {
        let step = |sum: u32, _| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 };
        !bytes.iter().fold(!0, |sum, &byte| (0..8).fold(sum ^ u32::from(byte), step))
    }
}
