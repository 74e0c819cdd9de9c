//! TIFF files.

use std::io::Cursor;

use tiff::{decoder::DecodingResult, tags::Tag};

use super::rgb;
use crate::raster::{Error, MAX_MEMORY, Raster, Size, damaged};

/// The first picture of a TIFF file.
pub(super) fn decode(bytes: &[u8]) -> Result<Raster, Error> {
    use tiff::{ColorType, TiffError};

    const RARE: Error = Error::Foreign("a rare kind of TIFF file");
    let failed = |error| match error {
        TiffError::UnsupportedError(_) => RARE,
        error => damaged(error),
    };
    let mut limits = tiff::decoder::Limits::default();
    limits.decoding_buffer_size = MAX_MEMORY;
    limits.intermediate_buffer_size = MAX_MEMORY;
    let mut decoder = tiff::decoder::Decoder::new(Cursor::new(bytes)).map_err(failed)?.with_limits(limits);
    let (width, height) = decoder.dimensions().map_err(failed)?;
    let size = Size::checked(width, height)?;
    let color = decoder.colortype().map_err(failed)?;
    let orientation = decoder.find_tag_unsigned(Tag::Orientation).map_err(failed)?.unwrap_or(1);
    let samples = match decoder.read_image().map_err(failed)? {
        DecodingResult::U8(samples) => samples,
        DecodingResult::U16(samples) => samples.iter().map(|sample| (sample >> 8) as u8).collect(),
        _ => return Err(RARE),
    };
    let samples = match color {
        ColorType::Gray(1) => bits(&samples, size),
        ColorType::Gray(8 | 16) | ColorType::GrayA(8 | 16) | ColorType::RGB(8 | 16) | ColorType::RGBA(8 | 16) => {
            samples
        }
        ColorType::CMYK(8) => samples.chunks_exact(4).flat_map(|inks| rgb(inks, 255 - inks[3])).collect(),
        _ => return Err(RARE),
    };
    Ok(Raster { size, samples, orientation })
}

/// Black and white of rows that begin with a byte each.
fn bits(rows: &[u8], size: Size) -> Vec<u8> {
    let row = |row: &[u8]| {
        (0..size.width).map(|x| if row[x / 8] & 0x80 >> (x % 8) == 0 { 0 } else { 255 }).collect::<Vec<_>>()
    };
    rows.chunks_exact(size.width.div_ceil(8)).flat_map(row).collect()
}
