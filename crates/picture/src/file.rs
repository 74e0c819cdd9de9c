//! Pictures from files: PNG, JPEG, WebP, GIF, BMP and TIFF, of any colours, with or without transparency, upright as the
//! camera was held.

use crate::{
    Picture, formats,
    raster::{Error, Size},
};

/// The picture in the bytes of a file, in grey; the first one, if it moves. Where it is transparent there is paper, white or
/// black, whichever the rest can be seen on.
///
/// # Errors
/// When it is of no format that is read, damaged, or too large.
pub fn read(bytes: &[u8]) -> Result<Picture, Error> {
    let raster = formats::decode(bytes)?;
    let pixels = match raster.samples.len() / raster.size.pixels() {
        1 => raster.samples,
        2 => on_paper(raster.samples.chunks_exact(2).map(|pixel| [pixel[0], pixel[1]])),
        3 => raster.samples.chunks_exact(3).map(luma).collect(),
        4 => on_paper(raster.samples.chunks_exact(4).map(|pixel| [luma(pixel), pixel[3]])),
        count => return Err(Error::Damaged(format!("it has {count} samples a pixel"))),
    };
    if pixels.len() != raster.size.pixels() {
        return Err(Error::Damaged("it has pixels too many".into()));
    }
    Ok(upright(pixels, raster.size, raster.orientation))
}

/// How bright red, green and blue are together (ITU-R BT.709).
fn luma(rgb: &[u8]) -> u8 {
    ((2126 * u32::from(rgb[0]) + 7152 * u32::from(rgb[1]) + 722 * u32::from(rgb[2])) / 10_000) as u8
}

/// Pixels of grey and opacity on paper of the colour that is farther from what can be seen of them.
fn on_paper(pixels: impl Iterator<Item = [u8; 2]> + Clone) -> Vec<u8> {
    let (mut opaque, mut bright) = (0, 0);
    for [grey, alpha] in pixels.clone() {
        opaque += u64::from(alpha);
        bright += u64::from(alpha) * u64::from(grey);
    }
    let paper = if bright < opaque * 128 { 255 } else { 0 };
    let mix = |[grey, alpha]: [u8; 2]| (u32::from(grey) * u32::from(alpha) + paper * (255 - u32::from(alpha))) / 255;
    pixels.map(|pixel| mix(pixel) as u8).collect()
}

/// The picture as it is looked at. Exif numbers the eight ways to hold a camera or a mirror.
fn upright(pixels: Vec<u8>, size: Size, orientation: u16) -> Picture {
    let Size { width, height } = size;
    let (right, bottom) = (width - 1, height - 1);
    // Where the pixel of the upright picture is in the other.
    let from: fn(usize, usize, usize, usize) -> (usize, usize) = match orientation {
        2 => |x, y, right, _| (right - x, y),
        3 => |x, y, right, bottom| (right - x, bottom - y),
        4 => |x, y, _, bottom| (x, bottom - y),
        5 => |x, y, _, _| (y, x),
        6 => |x, y, _, bottom| (y, bottom - x),
        7 => |x, y, right, bottom| (right - y, bottom - x),
        8 => |x, y, right, _| (right - y, x),
        _ => return Picture::new(width, height, pixels),
    };
    let (columns, rows) = if orientation > 4 { (height, width) } else { (width, height) };
    let pixel = |i: usize| {
        let (x, y) = from(i % columns, i / columns, right, bottom);
        pixels[y * width + x]
    };
    Picture::new(columns, rows, (0..pixels.len()).map(pixel).collect())
}

#[cfg(test)]
mod tests {
    use png::{BitDepth, ColorType};

    use super::*;

    fn png(width: u32, height: u32, pixels: &[u8], color: ColorType, depth: BitDepth) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, width, height);
        encoder.set_color(color);
        encoder.set_depth(depth);
        encoder.write_header().unwrap().write_image_data(pixels).unwrap();
        bytes
    }

    #[test]
    fn colours_and_depths_become_grey() {
        for (pixels, color, depth) in [
            (&[255, 255, 255, 0, 0, 0][..], ColorType::Rgb, BitDepth::Eight),
            (&[0xff, 0xff, 0, 0], ColorType::Grayscale, BitDepth::Sixteen),
            (&[0x80], ColorType::Grayscale, BitDepth::One),
            (&[255, 255, 255, 255, 0, 0, 0, 255], ColorType::Rgba, BitDepth::Eight),
        ] {
            let picture = read(&png(2, 1, pixels, color, depth)).unwrap();
            assert_eq!(picture, Picture::new(2, 1, vec![255, 0]), "{color:?}");
        }
    }

    #[test]
    fn ink_on_nothing_is_ink_on_paper_that_shows_it() {
        let two = |ink| read(&png(2, 1, &[ink, 255, 0, 0], ColorType::GrayscaleAlpha, BitDepth::Eight)).unwrap();
        assert_eq!(two(0), Picture::new(2, 1, vec![0, 255]));
        assert_eq!(two(255), Picture::new(2, 1, vec![255, 0]));
    }

    #[test]
    fn a_picture_is_turned_as_its_camera_was() {
        let size = Size { width: 3, height: 2 };
        for (orientation, columns, expect) in [
            (0, 3, [1, 2, 3, 4, 5, 6]),
            (1, 3, [1, 2, 3, 4, 5, 6]),
            (2, 3, [3, 2, 1, 6, 5, 4]),
            (3, 3, [6, 5, 4, 3, 2, 1]),
            (4, 3, [4, 5, 6, 1, 2, 3]),
            (5, 2, [1, 4, 2, 5, 3, 6]),
            (6, 2, [4, 1, 5, 2, 6, 3]),
            (7, 2, [6, 3, 5, 2, 4, 1]),
            (8, 2, [3, 6, 2, 5, 1, 4]),
        ] {
            let turned = upright(vec![1, 2, 3, 4, 5, 6], size, orientation);
            assert_eq!(turned, Picture::new(columns, 6 / columns, expect.to_vec()), "{orientation}");
        }
    }

    #[test]
    fn what_is_no_picture_is_told_from_what_is_damaged_or_too_large() {
        let whole = png(4, 4, &[7; 16], ColorType::Grayscale, BitDepth::Eight);
        assert!(matches!(read(b"hello"), Err(Error::Format)));
        for (bytes, expect) in [
            (&b"\0\0\0\x18ftypheic\0\0\0\0"[..], "it is a HEIC file, which is not read; save it as PNG"),
            (b"%PDF-1.7", "it is a PDF file, which is not read; save it as PNG"),
        ] {
            assert_eq!(read(bytes).unwrap_err().to_string(), expect);
        }
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

    fn crc32(bytes: &[u8]) -> u32 {
        let step = |sum: u32, _| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 };
        !bytes.iter().fold(!0, |sum, &byte| (0..8).fold(sum ^ u32::from(byte), step))
    }
}
