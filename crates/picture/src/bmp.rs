//! BMP files: pixels as they are, with a palette or with masks; not with run lengths, which hardly anybody writes.
//! <https://learn.microsoft.com/en-us/windows/win32/gdi/bitmap-storage> describes them.

use crate::raster::{Error, Raster, Size, damaged};

/// Length of the file's header; that of the bitmap follows.
const FILE_HEADER: usize = 14;
/// How pixels are packed: not at all, or with masks.
const PLAIN: usize = 0;
const MASKS: [usize; 2] = [3, 6];

/// The picture in a BMP file, without opacity, which few writers of the format fill in.
pub(crate) fn decode(bytes: &[u8]) -> Result<Raster, Error> {
    let number = |at: usize, length: usize| -> Result<usize, Error> {
        let bytes = bytes.get(at..at + length).ok_or_else(cut_short)?;
        Ok(bytes.iter().rev().fold(0, |number, &byte| number << 8 | usize::from(byte)))
    };
    let (pixels, header) = (number(10, 4)?, number(FILE_HEADER, 4)?);
    let is_old = header == 12;
    let (side, at) = if is_old { (2, 18) } else { (4, 18) };
    let (width, height) = (number(at, side)? as u32, number(at + side, side)? as u32);
    // A negative height says that the first row is the top one.
    let is_from_top = !is_old && (height as i32) < 0;
    let height = if is_from_top { height.wrapping_neg() } else { height };
    let size = Size::checked(width, height)?;
    let depth = number(at + 2 * side + 2, 2)?;
    let packing = if header < 20 { PLAIN } else { number(30, 4)? };

    let end = FILE_HEADER + header;
    let color: Box<dyn Fn(usize) -> [u8; 3]> = match (depth, packing) {
        (1 | 2 | 4 | 8, PLAIN) => {
            let entry = if is_old { 3 } else { 4 };
            let palette = bytes.get(end..pixels.max(end)).ok_or_else(cut_short)?;
            let palette: Vec<[u8; 3]> =
                palette.chunks_exact(entry).take(256).map(|bgr| [bgr[2], bgr[1], bgr[0]]).collect();
            Box::new(move |pixel| palette.get(pixel).copied().unwrap_or_default())
        }
        (24 | 32, PLAIN) => Box::new(|pixel| [16, 8, 0].map(|shift| (pixel >> shift) as u8)),
        (16, PLAIN) => Box::new(|pixel| [31 << 10, 31 << 5, 31].map(|mask| masked(pixel, mask))),
        (16 | 32, packing) if MASKS.contains(&packing) => {
            let masks = [number(54, 4)?, number(58, 4)?, number(62, 4)?];
            Box::new(move |pixel| masks.map(|mask| masked(pixel, mask)))
        }
        _ => return Err(Error::Foreign("a rare kind of BMP file")),
    };

    let stride = (size.width * depth).div_ceil(32) * 4;
    let rows = bytes.get(pixels..pixels + stride * size.height).ok_or_else(cut_short)?;
    let pixel = |row: &[u8], x: usize| match depth {
        1..=8 => usize::from(row[x * depth / 8]) >> (8 - depth - x * depth % 8) & ((1 << depth) - 1),
        _ => row[x * depth / 8..][..depth / 8].iter().rev().fold(0, |pixel, &byte| pixel << 8 | usize::from(byte)),
    };
    let mut samples = Vec::with_capacity(3 * size.pixels());
    for y in 0..size.height {
        let row = &rows[stride * if is_from_top { y } else { size.height - 1 - y }..][..stride];
        (0..size.width).for_each(|x| samples.extend(color(pixel(row, x))));
    }
    Ok(Raster { size, samples, orientation: 1 })
}

fn cut_short() -> Error {
    damaged("it ends too early")
}

/// The part of a pixel under a mask, stretched to 8 bits.
fn masked(pixel: usize, mask: usize) -> u8 {
    if mask == 0 {
        return 0;
    }
    let shift = mask.trailing_zeros();
    ((pixel & mask) >> shift).wrapping_mul(255).checked_div(mask >> shift).unwrap_or(0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with a header of 40 bytes.
    fn file(size: (i32, i32), depth: u16, packing: u32, palette: &[u8], rows: &[u8]) -> Vec<u8> {
        let begin = 54 + palette.len() as u32;
        let mut bytes = b"BM\0\0\0\0\0\0\0\0".to_vec();
        bytes.extend(begin.to_le_bytes());
        bytes.extend(40u32.to_le_bytes());
        bytes.extend(size.0.to_le_bytes());
        bytes.extend(size.1.to_le_bytes());
        bytes.extend(1u16.to_le_bytes());
        bytes.extend(depth.to_le_bytes());
        bytes.extend(packing.to_le_bytes());
        bytes.resize(54, 0);
        [&bytes, palette, rows].concat()
    }

    #[test]
    fn every_depth_is_read_from_either_end() {
        let black_red = [0, 0, 0, 0, 0, 0, 255, 0];
        let masks = [0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0, 0]; // As little-endian numbers, ff0000 to ff.
        for (depth, packing, palette, rows) in [
            (1, 0, &black_red[..], [[0x80, 0, 0, 0], [0x40, 0, 0, 0]].concat()),
            (4, 0, &black_red, [[0x10, 0, 0, 0], [0x01, 0, 0, 0]].concat()),
            (8, 0, &black_red, [[1, 0, 0, 0], [0, 1, 0, 0]].concat()),
            (16, 0, &[], [[0, 0x7c, 0, 0], [0, 0, 0, 0x7c]].concat()),
            (24, 0, &[], [[0, 0, 255, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 255, 0, 0]].concat()),
            (32, 0, &[], [[0, 0, 255, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 255, 0]].concat()),
            (32, 3, &masks, [[0, 0, 255, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 255, 0]].concat()),
        ] {
            let (red, black) = ([255, 0, 0], [0; 3]);
            let (lower, upper) = ([red, black].concat(), [black, red].concat());
            let raster = decode(&file((2, 2), depth, packing, palette, &rows)).unwrap();
            assert_eq!(raster.samples, [&upper[..], &lower].concat(), "depth {depth}");
            let raster = decode(&file((2, -2), depth, packing, palette, &rows)).unwrap();
            assert_eq!(raster.samples, [lower, upper].concat(), "depth {depth}, from the top");
        }
    }

    #[test]
    fn a_file_cut_anywhere_is_damaged() {
        let whole = file((2, 2), 24, 0, &[], &[9; 16]);
        for length in 18..whole.len() {
            assert!(matches!(decode(&whole[..length]), Err(Error::Damaged(_))), "{length}");
        }
        assert!(matches!(decode(&file((2, 2), 8, 1, &[0; 8], &[9; 16])), Err(Error::Foreign(_))));
        assert!(matches!(decode(&file((i32::MAX, i32::MIN), 24, 0, &[], &[])), Err(Error::TooLarge { .. })));
    }
}
