//! One function a format, from bytes to a [`Raster`]. Each asks [`Size::checked`] before it reserves memory for pixels.

use std::io::Cursor;

use tiff::{decoder::DecodingResult, tags::Tag};

use crate::{
    bmp,
    raster::{Error, MAX_MEMORY, Raster, Size, damaged},
};

/// The picture in a file, whose first bytes say what it is. The error names a format that is not ours if it is well known.
pub(crate) fn decode(bytes: &[u8]) -> Result<Raster, Error> {
    let foreign = |name| Err(Error::Foreign(name));
    match bytes {
        [0xff, 0xd8, 0xff, ..] => jpeg(bytes),
        [b'B', b'M', _, _, _, _, _, _, _, _, _, _, _, _, 12..=124, 0, 0, 0, ..] => bmp::decode(bytes),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => webp(bytes),
        [_, _, _, _, b'f', b't', b'y', b'p', b'a', b'v', b'i', ..] => foreign("an AVIF file"),
        [_, _, _, _, b'f', b't', b'y', b'p', b'h' | b'm', b'e' | b'i', ..] => foreign("a HEIC file"),
        [0xff, 0x0a, ..] | [0, 0, 0, 12, b'J', b'X', b'L', b' ', ..] => foreign("a JPEG XL file"),
        _ if bytes.starts_with(b"\x89PNG\r\n\x1a\n") => png(bytes),
        _ if bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a") => gif(bytes),
        _ if bytes.starts_with(b"II*\0") || bytes.starts_with(b"MM\0*") => tiff(bytes),
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

fn jpeg(bytes: &[u8]) -> Result<Raster, Error> {
    use jpeg_decoder::{Error as JpegError, PixelFormat};

    let failed = |error| match error {
        JpegError::Unsupported(_) => Error::Foreign("a rare kind of JPEG file"),
        error => damaged(error),
    };
    let mut decoder = jpeg_decoder::Decoder::new(bytes);
    decoder.set_max_decoding_buffer_size(MAX_MEMORY);
    decoder.read_info().map_err(failed)?;
    let info = decoder.info().ok_or_else(|| damaged("it has no header"))?;
    let size = Size::checked(info.width.into(), info.height.into())?;
    let samples = decoder.decode().map_err(failed)?;
    let samples = match info.pixel_format {
        PixelFormat::L8 | PixelFormat::RGB24 => samples,
        PixelFormat::L16 => samples.chunks_exact(2).map(|sample| sample[1]).collect(),
        PixelFormat::CMYK32 => samples.chunks_exact(4).flat_map(|inks| rgb(inks, 255 - inks[3])).collect(),
    };
    Ok(Raster { size, samples, orientation: decoder.exif_data().map_or(1, orientation) })
}

/// Red, green and blue of what cyan, magenta and yellow leave of the light.
fn rgb(inks: &[u8], light: u8) -> [u8; 3] {
    [0, 1, 2].map(|i| (u16::from(255 - inks[i]) * u16::from(light) / 255) as u8)
}

fn webp(bytes: &[u8]) -> Result<Raster, Error> {
    let mut decoder = image_webp::WebPDecoder::new(Cursor::new(bytes)).map_err(damaged)?;
    decoder.set_memory_limit(MAX_MEMORY);
    let (width, height) = decoder.dimensions();
    let size = Size::checked(width, height)?;
    let mut samples = vec![0; decoder.output_buffer_size().unwrap_or(0)];
    decoder.read_image(&mut samples).map_err(damaged)?;
    let exif = decoder.exif_metadata().map_err(damaged)?;
    Ok(Raster { size, samples, orientation: exif.as_deref().map_or(1, orientation) })
}

/// The first picture of a GIF file, which may move.
fn gif(bytes: &[u8]) -> Result<Raster, Error> {
    let mut options = gif::DecodeOptions::new();
    options.set_color_output(gif::ColorOutput::RGBA);
    options.check_frame_consistency(true);
    options.set_memory_limit(gif::MemoryLimit::Bytes((MAX_MEMORY as u64).try_into().expect("it is not zero")));
    let mut decoder = options.read_info(bytes).map_err(damaged)?;
    let size = Size::checked(decoder.width().into(), decoder.height().into())?;
    let frame = decoder.read_next_frame().map_err(damaged)?.ok_or_else(|| damaged("it has no pixels"))?;
    let [left, top, width] = [frame.left, frame.top, frame.width].map(usize::from);
    let mut samples = vec![0; 4 * size.pixels()];
    for (row, line) in frame.buffer.chunks_exact(4 * width.max(1)).enumerate() {
        samples[4 * ((top + row) * size.width + left)..][..line.len()].copy_from_slice(line);
    }
    Ok(Raster { size, samples, orientation: 1 })
}

/// The first picture of a TIFF file.
fn tiff(bytes: &[u8]) -> Result<Raster, Error> {
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
