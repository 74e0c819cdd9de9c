//! A function for each format, from bytes to a [`Raster`]. PNG and BMP are always read, the others with the feature `formats`.
//! Each asks [`Size::checked`] before it reserves memory for pixels.

#[cfg(feature = "formats")]
mod gif;
#[cfg(feature = "formats")]
mod jpeg;
#[cfg(feature = "formats")]
mod tiff;
#[cfg(feature = "formats")]
mod webp;

use std::io::Cursor;

use crate::{
    bmp,
    raster::{Error, MAX_MEMORY, Raster, Size, damaged},
};

/// The picture in a file, whose first bytes say what it is. The error names a format that is not ours if it is well known.
pub(crate) fn decode(bytes: &[u8]) -> Result<Raster, Error> {
    let foreign = |name| Err(Error::Foreign(name));
    match bytes {
        #[cfg(feature = "formats")]
        [0xff, 0xd8, 0xff, ..] => jpeg::decode(bytes),
        [b'B', b'M', _, _, _, _, _, _, _, _, _, _, _, _, 12..=124, 0, 0, 0, ..] => bmp::decode(bytes),
        #[cfg(feature = "formats")]
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => webp::decode(bytes),
        [_, _, _, _, b'f', b't', b'y', b'p', b'a', b'v', b'i', ..] => foreign("an AVIF file"),
        [_, _, _, _, b'f', b't', b'y', b'p', b'h' | b'm', b'e' | b'i', ..] => foreign("a HEIC file"),
        [0xff, 0x0a, ..] | [0, 0, 0, 12, b'J', b'X', b'L', b' ', ..] => foreign("a JPEG XL file"),
        _ if bytes.starts_with(b"\x89PNG\r\n\x1a\n") => png(bytes),
        #[cfg(feature = "formats")]
        _ if bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a") => gif::decode(bytes),
        #[cfg(feature = "formats")]
        _ if bytes.starts_with(b"II*\0") || bytes.starts_with(b"MM\0*") => tiff::decode(bytes),
        _ if bytes.starts_with(b"%PDF-") => foreign("a PDF file"),
        _ if bytes.starts_with(b"<svg") || bytes.starts_with(b"<?xml") => foreign("an SVG or XML file"),
        _ => Err(Error::Format),
    }
}

fn png(bytes: &[u8]) -> Result<Raster, Error> {
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), png::Limits { bytes: MAX_MEMORY });
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let header = decoder.read_header_info().map_err(damaged)?;
    let size = Size::checked(header.width, header.height)?;
    let mut reader = decoder.read_info().map_err(damaged)?;
    let length = reader.output_buffer_size().ok_or_else(|| damaged("its rows are too long"))?;
    let mut samples = vec![0; length];
    let frame = reader.next_frame(&mut samples).map_err(damaged)?;
    samples.truncate(frame.buffer_size());
    let orientation = reader.info().exif_metadata.as_deref().map_or(1, orientation);
    Ok(Raster { size, samples, orientation })
}

/// Red, green and blue of what cyan, magenta and yellow leave of the light.
#[cfg(feature = "formats")]
fn rgb(inks: &[u8], light: u8) -> [u8; 3] {
    [0, 1, 2].map(|i| (u16::from(255 - inks[i]) * u16::from(light) / 255) as u8)
}

/// The orientation in Exif data: the entry 0x112 of its first directory; 1, upright, where there is none.
fn orientation(exif: &[u8]) -> u16 {
    let is_big = exif.starts_with(b"MM");
    let number = |at: usize, length: usize| {
        let bytes = exif.get(at..at.checked_add(length)?)?;
        let step = |number: usize, byte: &u8| number << 8 | usize::from(*byte);
        Some(if is_big { bytes.iter().fold(0, step) } else { bytes.iter().rev().fold(0, step) })
    };
    let find = || {
        let directory = number(4, 4)?;
        let entries = (0..number(directory, 2)?).map(|entry| directory + 2 + 12 * entry);
        let mut entries = entries.take_while(|&entry| entry < exif.len());
        number(entries.find(|&entry| number(entry, 2) == Some(0x112))? + 8, 2)
    };
    find().unwrap_or(1) as u16
}
