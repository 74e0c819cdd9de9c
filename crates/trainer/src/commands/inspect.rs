//! `trainer inspect` and `trainer verify`: what a chunk directory holds, and that it is whole. Both read all of it, so both
//! find any damage.

use std::{fmt::Write, path::Path};

use picture::Picture;
use process::file;
use sample::{CLASSES, COLS, PIXELS, ROWS, Samples};
use store::Manifest;
use terminal::count;

use crate::{
    data::{self, digest::Digest},
    output,
};

/// Digits that are drawn, and how many of them beside each other: a line of them fits into 80 columns.
const DRAWN: usize = 10;
const BESIDE: usize = 5;
const SHEET: usize = 10; // Rows and columns of digits in a picture.
const BAR: usize = 40; // The longest of the histogram.
/// A dot of a drawn digit is set where the pixel is at least so bright.
const BRIGHT: u8 = 100;

/// Reads a complete chunk directory, and says on stdout what it holds, as text or as one JSON object. A picture of the first
/// digits goes into the PNG file `png`, if one is named.
///
/// # Errors
/// When it is missing, incomplete or damaged, and when the picture cannot be written.
pub fn inspect(dir: &Path, json: bool, png: Option<&Path>) -> anyhow::Result<()> {
    let (manifest, samples, digest) = read(dir)?;
    if let Some(path) = png {
        file::write(path, &contact_sheet(&samples.images).png())?;
    }
    let counts = by_label(&samples.labels);
    let said = match json {
        true => object(&manifest, digest, &counts),
        false => text(&manifest, digest, &counts, &samples),
    };
    output::say(said.trim_end());
    Ok(())
}

fn object(manifest: &Manifest, digest: Digest, counts: &[usize; CLASSES]) -> String {
    let Manifest { dataset, run, samples, streams, chunks, seconds, .. } = manifest;
    let bytes: u64 = chunks.iter().map(|chunk| chunk.bytes).sum();
    let (chunks, data) = (chunks.len(), digest.to_string());
    serde_json::json!({
        "dataset": dataset, "run": run, "samples": samples, "chunks": chunks, "bytes": bytes, "seconds": seconds, "data": data,
        "streams": streams, "labels": counts,
    })
    .to_string()
}

fn text(manifest: &Manifest, digest: Digest, counts: &[usize; CLASSES], samples: &Samples) -> String {
    let Manifest { dataset, run, streams, chunks, seconds, .. } = manifest;
    let megabytes = chunks.iter().map(|chunk| chunk.bytes).sum::<u64>() as f64 / 1e6;
    let mut text = format!(
        "dataset        {} ({:.16})\n\
         samples        {} in {}, {megabytes:.1} MB, received in {seconds:.1} s\n\
         data           {digest}\n",
        dataset.name,
        dataset.digest,
        samples.len(),
        count(chunks.len(), "chunk"),
    );
    if let Some(run) = run {
        let _ = writeln!(text, "run            {run}");
    }
    for stream in streams {
        let sealed = if stream.open { ", sealed by the receiver" } else { "" };
        let _ = writeln!(text, "stream         {}: samples {}{sealed}", stream.name, stream.extent());
    }
    let most = counts.iter().max().map_or(1, |&most| most.max(1));
    for (label, count) in counts.iter().enumerate() {
        let bar = "█".repeat((count * BAR).div_ceil(most));
        let _ = writeln!(text, "label {label}        {count:>6} {bar}");
    }
    for row in samples.images.chunks(BESIDE * PIXELS).take(DRAWN / BESIDE) {
        text += "\n";
        text += &drawing(row);
    }
    text
}

/// Reads a complete chunk directory, and says on stdout that nothing in it is damaged or missing.
///
/// # Errors
/// When it is missing, incomplete or damaged.
pub fn verify(dir: &Path) -> anyhow::Result<()> {
    let (manifest, samples, _) = read(dir)?;
    let (chunks, streams) = (manifest.chunks.len(), manifest.streams.len());
    output::say(&format!(
        "`{}` is whole: every digest agrees; samples {}, chunks {chunks}, streams {streams}",
        dir.display(),
        samples.len(),
    ));
    Ok(())
}

fn read(dir: &Path) -> anyhow::Result<(Manifest, Samples, Digest)> {
    let held = data::hold(dir)?; // Until all is read.
    let received = data::read(&held)?;
    Ok((held.manifest, received.all(), received.digest))
}

fn by_label(labels: &[u8]) -> [usize; CLASSES] {
    let mut counts = [0; CLASSES];
    labels.iter().for_each(|&label| counts[usize::from(label)] += 1);
    counts
}

fn contact_sheet(images: &[u8]) -> Picture {
    let width = SHEET * COLS;
    let mut pixels = vec![0; width * SHEET * ROWS];
    for (at, image) in images.chunks_exact(PIXELS).take(SHEET * SHEET).enumerate() {
        let corner = at / SHEET * ROWS * width + at % SHEET * COLS;
        for (row, line) in image.chunks_exact(COLS).enumerate() {
            pixels[corner + row * width..][..COLS].copy_from_slice(line);
        }
    }
    Picture::new(width, SHEET * ROWS, pixels)
}

/// Images beside each other as Braille, two by four pixels a character.
fn drawing(images: &[u8]) -> String {
    // The dots of a character by row and column: Unicode numbers them so.
    const DOTS: [[u32; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];
    let mut text = String::new();
    for top in (0..ROWS).step_by(DOTS.len()) {
        let mut line = String::new();
        for image in images.chunks_exact(PIXELS) {
            for left in (0..COLS).step_by(2) {
                let is_set = |row: usize, column: usize| image[(top + row) * COLS + left + column] >= BRIGHT;
                let dot = |(row, column)| if is_set(row, column) { DOTS[row][column] } else { 0 };
                let dots: u32 = (0..4).flat_map(|row| [(row, 0), (row, 1)]).map(dot).sum();
                line.extend(char::from_u32(0x2800 + dots));
            }
            line.push(' ');
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_holds_a_hundred_digits_row_by_row() {
        let images: Vec<u8> = (0..101).flat_map(|digit| [digit; PIXELS]).collect();
        let picture = contact_sheet(&images);
        assert_eq!((picture.width(), picture.height()), (280, 280));
        let digit = |row: usize, column: usize| picture.pixels()[(row * ROWS + 27) * 280 + column * COLS + 27];
        assert_eq!((digit(0, 0), digit(0, 9), digit(1, 0), digit(9, 9)), (0, 9, 10, 99));
        let picture = contact_sheet(&images[..2 * PIXELS]);
        assert_eq!(picture.pixels().iter().filter(|&&pixel| pixel > 0).count(), PIXELS);
    }

    #[test]
    fn a_digit_is_drawn_dot_by_dot() {
        let mut image = [0; PIXELS];
        image[0] = 255; // The first dot of the first character,
        image[3 * COLS + 1] = BRIGHT; // its last one,
        image[27 * COLS + 27] = 255; // and the last one of the last character.
        image[14 * COLS + 14] = BRIGHT - 1;
        let text = drawing(&[image, [255; PIXELS]].concat());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 7);
        assert_eq!(lines[0], format!("⢁{} {}", "⠀".repeat(13), "⣿".repeat(14)));
        assert_eq!(lines[3], format!("{} {}", "⠀".repeat(14), "⣿".repeat(14)));
        assert_eq!(lines[6], format!("{}⢀ {}", "⠀".repeat(13), "⣿".repeat(14)));
    }
}
