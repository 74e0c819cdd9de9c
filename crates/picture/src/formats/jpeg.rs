//! JPEG files.

use super::{orientation, rgb};
use crate::raster::{Error, MAX_MEMORY, Raster, Size, damaged};

pub(super) fn decode(bytes: &[u8]) -> Result<Raster, Error> {
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
