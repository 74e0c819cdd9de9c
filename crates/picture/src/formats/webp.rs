//! WebP files.

use std::io::Cursor;

use super::orientation;
use crate::raster::{Error, MAX_MEMORY, Raster, Size, damaged};

pub(super) fn decode(bytes: &[u8]) -> Result<Raster, Error> {
    let mut decoder = image_webp::WebPDecoder::new(Cursor::new(bytes)).map_err(damaged)?;
    decoder.set_memory_limit(MAX_MEMORY);
    let (width, height) = decoder.dimensions();
    let size = Size::checked(width, height)?;
    let mut samples = vec![0; decoder.output_buffer_size().unwrap_or(0)];
    decoder.read_image(&mut samples).map_err(damaged)?;
    let exif = decoder.exif_metadata().map_err(damaged)?;
    Ok(Raster { size, samples, orientation: exif.as_deref().map_or(1, orientation) })
}
