//! Paper is what digits are written on, and ink is what differs from it, darker or lighter, in strokes.
//!
//! How light the paper is under a stroke is told by what is around the stroke: a closing fills whatever is thinner than its
//! window, and keeps the edges of whatever is broader, such as the hard edge of a shadow. So each pixel is compared with
//! the paper at its own place. The difference of a closing and its picture is the top-hat transform (F. Meyer, Contrast
//! feature extraction, 1979; P. Soille, Morphological Image Analysis, 2003, has it against uneven light).

use std::f32::consts::SQRT_2;

use crate::{
    Picture,
    window::{closing, continued_closing},
};

/// How far the window reaches, in shares of the side of a square with as many pixels as the picture. Twice that is broader
/// than the broadest stroke of a digit as large as the picture, and narrower than most shadows.
const REACH: f32 = 0.2;
/// Ink differs from paper by more than so many standard deviations of the paper.
const NOISE: f32 = 4.0;
/// The least noise, in shares of the way from paper to full ink: about one grey value.
const LEAST_NOISE: f32 = 0.004;
/// The fullest ink differs from paper by at least so much of that way.
const LEAST_INK: f32 = 0.1;
/// Less ink than this share of full ink is none.
pub(crate) const FAINT: f32 = 0.15;
/// In a shadow that is blacker than this, noise would be ink.
const DARKEST_PAPER: f32 = 32.0;

/// Ink on a picture, row by row.
#[derive(Clone, Debug)]
pub(crate) struct Ink {
    pub(crate) width: usize,
    pub(crate) height: usize,
    /// How far each pixel is on the way from paper to black, or to white on dark paper; 0 where there is paper.
    pub(crate) shares: Vec<f32>,
    /// The same if whatever lies along the border of the picture is no stroke, but a shadow or the table.
    pub(crate) inner: Vec<f32>,
}

impl Ink {
    pub(crate) fn transposed(&self) -> Self {
        let [shares, inner] = [&self.shares, &self.inner].map(|shares| transposed(self.width, shares));
        Self { width: self.height, height: self.width, shares, inner }
    }
}

/// The ink on the picture; `None` if there is only paper.
pub(crate) fn ink(image: &Picture) -> Option<Ink> {
    let (width, height) = (image.width(), image.height());
    let reach = (REACH * ((width * height) as f32).sqrt()).round().max(1.0) as usize;
    let negative = image.negative();
    let (light, dark) = (closing(image, reach), closing(&negative, reach));
    // Paper is even; what remains on the other side has the outlines of digits in it.
    let (image, paper) = if variation(&light) <= variation(&dark) { (image, light) } else { (&negative, dark) };
    let mut inner = shares(image, &continued_closing(image, reach));
    let mut shares = shares(image, &paper);

    // The closing follows the lightest grains of the paper, so that most of it is a little darker. A digit may fill more than
    // half of its picture, but hardly three quarters.
    let grain = quantile(inner.clone(), 0.25);
    inner.iter_mut().chain(&mut shares).for_each(|share| *share -= grain);
    let steps = inner.chunks_exact(width).flat_map(|row| row.windows(2)).map(|pair| (pair[1] - pair[0]).abs());
    // A quarter of normal values are nearer than 0.32 standard deviations; a difference has √2 times as many as each value.
    let noise = (quantile(steps.collect(), 0.25) / (0.3186 * SQRT_2)).max(LEAST_NOISE);
    let surely = LEAST_INK.max(2.0 * NOISE * noise);
    let full = quantile(inner.iter().copied().filter(|&share| share >= surely).collect(), 0.95);
    if full == 0.0 {
        return None;
    }
    let least = (NOISE * noise).max(FAINT * full);
    inner.iter_mut().chain(&mut shares).filter(|share| **share < least).for_each(|share| *share = 0.0);
    Some(Ink { width, height, shares, inner })
}

/// How far each pixel is from the paper at its place to black: ink in a shadow is as much ink as in the light.
fn shares(image: &Picture, paper: &Picture) -> Vec<f32> {
    let share = |(&pixel, &paper): (&u8, &u8)| f32::from(paper - pixel) / f32::from(paper).max(DARKEST_PAPER);
    image.pixels().iter().zip(paper.pixels()).map(share).collect()
}

/// How much neighbouring pixels differ, all together.
fn variation(picture: &Picture) -> u64 {
    let pixels = picture.pixels();
    let rows = pixels.chunks_exact(picture.width()).flat_map(|row| row.iter().zip(&row[1..]));
    let columns = pixels.iter().zip(&pixels[picture.width()..]);
    rows.chain(columns).map(|(a, b)| u64::from(a.abs_diff(*b))).sum()
}

/// The value that this share of the values is below; 0 of none.
pub(crate) fn quantile(mut values: Vec<f32>, share: f32) -> f32 {
    if values.is_empty() {
        return 0.0;
    }
    let place = ((values.len() as f32 * share) as usize).min(values.len() - 1);
    *values.select_nth_unstable_by(place, f32::total_cmp).1
}

/// Values in rows of this width, with rows as columns.
pub(crate) fn transposed<T: Copy>(width: usize, values: &[T]) -> Vec<T> {
    let height = values.len() / width;
    (0..values.len()).map(|i| values[i % height * width + i / height]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(width: usize, height: usize, shade: impl Fn(usize, usize) -> f32) -> Picture {
        Picture::new(width, height, (0..width * height).map(|i| shade(i % width, i / width).round() as u8).collect())
    }

    /// How light paper is at a place.
    type Light = fn(f32, f32) -> f32;

    #[test]
    fn shadows_lamps_and_noise_are_no_ink() {
        let noise = |x: usize, y: usize| ((x * 7919 + y * 104_729) % 17) as f32;
        let is_inked = |x: usize, y: usize| (20..80).contains(&x) && (45..55).contains(&y);
        // The paper, how much noise is on it, and what share of its light a bar across the middle leaves.
        let papers: [(Light, f32, f32); 6] = [
            // A lamp on one side.
            (|x, y| 200.0 - 0.5 * x - 0.02 * (y - 50.0).powi(2), 0.0, 0.1),
            // The hard edge of a shadow.
            (|x, _| if x < 47.0 { 240.0 } else { 100.0 }, 0.0, 0.2),
            (|x, y| if x + 2.0 * y < 140.0 { 90.0 } else { 220.0 }, 0.0, 0.2),
            // Half in the shadow, as sharp as a camera sees it.
            (|x, _| 240.0 - 140.0 * ((x - 45.0) / 6.0).clamp(0.0, 1.0), 0.0, 0.2),
            // Chalk in the shadow.
            (|x, _| if x < 47.0 { 60.0 } else { 30.0 }, 0.0, 3.5),
            (|_, _| 200.0, 1.0, 0.3),
        ];
        for (case, (paper, noisy, inked)) in papers.into_iter().enumerate() {
            let light = |x: usize, y: usize| paper(x as f32, y as f32) + noisy * noise(x, y);
            let shade = |x: usize, y: usize| light(x, y) * if is_inked(x, y) { inked } else { 1.0 };
            for (i, share) in ink(&image(100, 100, shade)).unwrap().inner.into_iter().enumerate() {
                let (x, y) = (i % 100, i / 100);
                assert_eq!(share > 0.0, is_inked(x, y), "paper {case}: {share} at {x}, {y}");
            }
        }
        assert!(ink(&image(100, 100, |x, y| 100.0 + noise(x, y))).is_none());
    }
}
