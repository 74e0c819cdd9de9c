//! Paper is what a digit is written on: what it looks like is found at the picture's border and followed inwards, as a surface
//! of the second degree, so that a lamp on one side does no harm. Ink is what differs from it, darker or lighter.

use crate::Picture;

/// Terms of the surface: 1, x, y, x², xy, y².
const TERMS: usize = 6;
/// How often the surface is fitted again to what then counts as paper.
const FITS: usize = 4;
/// Paper differs from the surface by at most so many standard deviations.
const NOISE: f32 = 3.0;
/// The least noise, in shares of the way from paper to full ink: about one grey value.
const LEAST_NOISE: f32 = 0.004;
/// Ink differs from paper by at least so much of that way.
const LEAST_INK: f32 = 0.1;
/// A speck has less ink than this share of the digit.
const SPECK: f32 = 0.05;

/// Ink on a picture: 0 where there is paper, 255 where there is as much ink as anywhere.
pub(crate) struct Ink {
    pub(crate) width: usize,
    pub(crate) pixels: Vec<u8>,
}

/// The ink on the picture; `None` if there is only paper.
pub(crate) fn ink(image: &Picture) -> Option<Ink> {
    let (width, height) = (image.width(), image.height());
    let paper = Surface::of_paper(image);
    let differs = |i: usize| f32::from(image.pixels()[i]) - paper.at(i % width, i / width);
    let all: f32 = (0..width * height).map(differs).filter(|difference| difference.abs() > 2.0 * paper.noise).sum();
    let darker = all < 0.0;
    // Of the way from the paper to black or white, so that ink in a shadow is as much ink as in the light.
    let share = |i: usize| {
        let paper = paper.at(i % width, i / width).clamp(0.0, 255.0);
        if darker { -differs(i) / paper.max(32.0) } else { differs(i) / (255.0 - paper).max(32.0) }
    };
    let shares: Vec<f32> = (0..width * height).map(share).collect();
    let mut sorted = shares.clone();
    sorted.sort_by(f32::total_cmp);
    let noise = (paper.noise / 255.0).max(LEAST_NOISE);
    // A few pixels alone may be anything.
    let most = sorted[sorted.len() - 1 - (sorted.len() / 1000).max(sorted.len().min(4) - 1)];
    if most < LEAST_INK.max(2.0 * NOISE * noise) {
        return None;
    }
    let (least, full) = ((NOISE * noise).max(0.15 * most), 0.75 * most);
    let pixel = |share: &f32| (255.0 * (share - least) / (full - least)).clamp(0.0, 255.0) as u8;
    Some(Ink { width, pixels: without_specks(width, shares.iter().map(pixel).collect()) })
}

/// What the paper looks like where there is no ink.
struct Surface {
    terms: [f64; TERMS],
    scale: f64,
    /// Standard deviation of the paper from it, in grey values.
    noise: f32,
}

impl Surface {
    fn of_paper(image: &Picture) -> Self {
        let (width, height) = (image.width(), image.height());
        let scale = 1.0 / width.max(height) as f64;
        let value = |i: usize| f32::from(image.pixels()[i]);
        let frame = (width.min(height) / 20).max(1);
        let is_border = |i: usize| {
            let (x, y) = (i % width, i / width);
            x.min(y) < frame || width - x <= frame || height - y <= frame
        };
        let border: Vec<usize> = (0..width * height).filter(|&i| is_border(i)).collect();
        let middle = median(border.iter().map(|&i| value(i)).collect());
        let mut surface = Self { terms: [f64::from(middle), 0.0, 0.0, 0.0, 0.0, 0.0], scale, noise: 255.0 };
        let difference = |surface: &Self, i: usize| (value(i) - surface.at(i % width, i / width)).abs();
        // First to the border, where there is little ink; then to all that looks as it goes on from there.
        let all: Vec<usize> = (0..width * height).collect();
        for fit in 0..2 * FITS {
            let candidates = if fit < FITS { &border } else { &all };
            let paper: Vec<usize> = candidates
                .iter()
                .copied()
                .filter(|&i| difference(&surface, i) <= (NOISE * surface.noise).max(3.0))
                .collect();
            let points = paper.iter().map(|&i| (i % width, i / width, f64::from(value(i))));
            surface.terms = fitted(points, scale);
            let spread = median(paper.iter().map(|&i| difference(&surface, i)).collect());
            surface.noise = 1.4826 * spread; // What a median deviation is of a standard deviation, if it is normal.
        }
        surface
    }

    fn at(&self, x: usize, y: usize) -> f32 {
        terms(x, y, self.scale).iter().zip(&self.terms).map(|(term, factor)| term * factor).sum::<f64>() as f32
    }
}

fn terms(x: usize, y: usize, scale: f64) -> [f64; TERMS] {
    let (x, y) = (x as f64 * scale - 0.5, y as f64 * scale - 0.5);
    [1.0, x, y, x * x, x * y, y * y]
}

/// The factors of the terms with the least squared error on these points.
fn fitted(points: impl Iterator<Item = (usize, usize, f64)>, scale: f64) -> [f64; TERMS] {
    // The normal equations, the values in the last column. The little on the diagonal makes a row of pixels solvable, too.
    let mut rows = [[0.0; TERMS + 1]; TERMS];
    for (x, y, value) in points {
        let terms = terms(x, y, scale);
        for (row, a) in rows.iter_mut().zip(terms) {
            row.iter_mut().zip(terms.into_iter().chain([value])).for_each(|(cell, b)| *cell += a * b);
        }
    }
    (0..TERMS).for_each(|i| rows[i][i] += 1e-6);
    for pivot in 0..TERMS {
        let top = rows[pivot];
        for row in (0..TERMS).filter(|&row| row != pivot) {
            let factor = rows[row][pivot] / top[pivot];
            rows[row].iter_mut().zip(top).for_each(|(cell, above)| *cell -= factor * above);
        }
    }
    std::array::from_fn(|i| rows[i][TERMS] / rows[i][i])
}

/// The middle value; 0 of none.
fn median(mut values: Vec<f32>) -> f32 {
    if values.is_empty() {
        return 0.0;
    }
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f32::total_cmp).1
}

/// The pixels without patches of ink that are small beside the largest.
fn without_specks(width: usize, mut pixels: Vec<u8>) -> Vec<u8> {
    let (patches, inks) = patches(width, &pixels);
    let least = SPECK * inks.iter().copied().fold(0.0, f32::max);
    for (pixel, patch) in pixels.iter_mut().zip(patches) {
        if patch.is_some_and(|patch| inks[patch] < least) {
            *pixel = 0;
        }
    }
    pixels
}

/// The patch that each pixel belongs to, if it has ink, and the ink of each patch.
fn patches(width: usize, pixels: &[u8]) -> (Vec<Option<usize>>, Vec<f32>) {
    let (mut patches, mut inks) = (vec![None; pixels.len()], Vec::new());
    for start in 0..pixels.len() {
        if pixels[start] == 0 || patches[start].is_some() {
            continue;
        }
        let (patch, mut ink, mut todo) = (inks.len(), 0.0, vec![start]);
        patches[start] = Some(patch);
        while let Some(pixel) = todo.pop() {
            ink += f32::from(pixels[pixel]);
            for near in neighbours(pixel, width, pixels.len()) {
                if pixels[near] > 0 && patches[near].is_none() {
                    patches[near] = Some(patch);
                    todo.push(near);
                }
            }
        }
        inks.push(ink);
    }
    (patches, inks)
}

/// The eight pixels around one, as far as there are such.
fn neighbours(pixel: usize, width: usize, count: usize) -> impl Iterator<Item = usize> {
    let (x, y) = (pixel % width, pixel / width);
    let columns = x.saturating_sub(1)..(x + 2).min(width);
    let rows = y.saturating_sub(1)..(y + 2).min(count / width);
    rows.flat_map(move |row| columns.clone().map(move |column| row * width + column)).filter(move |&near| near != pixel)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(width: u32, height: u32, shade: impl Fn(u32, u32) -> u8) -> Picture {
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| shade(x, y)).collect();
        Picture::new(width as usize, height as usize, pixels)
    }

    #[test]
    fn a_surface_follows_the_light_and_not_the_ink() {
        let light = |x: u32, y: u32| 200.0 - 0.5 * x as f32 - 0.002 * (y as f32 - 50.0).powi(2);
        let shade = |x: u32, y: u32| {
            let is_ink = (30..60).contains(&x) && (30..60).contains(&y);
            if is_ink { 5 } else { light(x, y).round() as u8 }
        };
        let surface = Surface::of_paper(&image(100, 100, shade));
        for (x, y) in [(0, 0), (99, 0), (45, 45), (99, 99)] {
            let (found, expect) = (surface.at(x, y), light(x as u32, y as u32));
            assert!((found - expect).abs() < 1.0, "{found} instead of {expect} at {x}, {y}");
        }
        assert!(surface.noise < 1.0, "{}", surface.noise);
    }

    #[test]
    fn specks_are_removed_and_the_parts_of_a_digit_are_not() {
        let shade = |x: u32, y: u32| match (x, y) {
            (5..15, 5..8) | (5..8, 10..20) => 0, // Two strokes that do not touch.
            (25, 25) => 0,
            _ => 255,
        };
        let ink = ink(&image(30, 30, shade)).unwrap();
        let at = |x: usize, y: usize| ink.pixels[y * ink.width + x];
        assert_eq!((at(6, 6), at(6, 15), at(25, 25), at(20, 20)), (255, 255, 0, 0));
    }
}
