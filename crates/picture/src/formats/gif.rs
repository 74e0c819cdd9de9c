//! GIF files.

use crate::raster::{Error, MAX_MEMORY, Raster, Size, damaged};

/// The first picture of a GIF file, which may move.
pub(super) fn decode(bytes: &[u8]) -> Result<Raster, Error> {
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
