//! The digits in a picture become images as MNIST has them: light ink on black, 28 by 28, the longer side of the digit 20
//! pixels long, its centre of mass in the middle. <http://yann.lecun.com/exdb/mnist/> describes how MNIST did it.

use crate::{
    Picture,
    component::{Bounds, Component, components},
    layout,
    paper::{self, FAINT, Ink, quantile},
    resize::Filter,
    ruling,
};

/// Height and width of an image.
pub const SIDE: usize = 28;
/// The longer side of a digit in it.
const DIGIT: f32 = 20.0;

/// Where the centre of mass goes, as the index of a pixel: where that of MNIST's images is, on average.
const CENTRE: f64 = SIDE as f64 / 2.0;

/// The longer side that pictures are worked on with: quick, and a digit on a whole page is still larger than an image.
const WORKING: usize = 1000;
/// Where a digit is as black as this share of its blackest ink, it is black.
const BLACK: f32 = 0.75;

/// A digit in a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digit {
    /// Where it is in the picture.
    pub place: Place,
    /// An image of MNIST, 784 pixels: 0 is background and 255 is ink.
    pub pixels: Vec<u8>,
}

/// A rectangle in a picture, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Columns to the left of it.
    pub x: usize,
    /// Rows above it.
    pub y: usize,
    /// Columns in it.
    pub width: usize,
    /// Rows in it.
    pub height: usize,
}

/// The digits in the picture, line by line, from left to right; none if there is nothing on the paper.
pub fn digits(picture: &Picture) -> Vec<Digit> {
    let small = shrink(picture);
    let Some(ink) = paper::ink(&small) else { return Vec::new() };
    let ink = ruling::without_lines(ink);
    let digit = |component: Component| Digit {
        place: place(&component.bounds, &small, picture),
        pixels: centre(&resize(&cut_out(&component, &ink))),
    };
    layout::digits(components(&ink), ink.width, ink.height).into_iter().map(digit).collect()
}

/// The picture with its longer side at most [`WORKING`] pixels.
fn shrink(picture: &Picture) -> Picture {
    if picture.width().max(picture.height()) <= WORKING {
        return picture.clone();
    }
    picture.fitted(WORKING, Filter::Box)
}

/// What is in these bounds of a small picture, in the large one that it was made of.
fn place(bounds: &Bounds, small: &Picture, large: &Picture) -> Place {
    let columns = |columns: usize| columns * large.width() / small.width();
    let rows = |rows: usize| rows * large.height() / small.height();
    let (x, y) = (columns(bounds.left), rows(bounds.top));
    Place { x, y, width: columns(bounds.right) - x, height: rows(bounds.bottom) - y }
}

fn cut_out(digit: &Component, ink: &Ink) -> Picture {
    let most = quantile(digit.pixels.iter().map(|&pixel| ink.shares[pixel]).collect(), 0.98);
    let (least, full) = (FAINT * most, BLACK * most);
    let Bounds { left, top, .. } = digit.bounds;
    let width = digit.bounds.width();
    let mut pixels = vec![0; width * digit.bounds.height()];
    for &pixel in &digit.pixels {
        let grey = 255.0 * (ink.shares[pixel] - least) / (full - least);
        pixels[(pixel / ink.width - top) * width + pixel % ink.width - left] = grey.clamp(0.0, 255.0) as u8;
    }
    Picture::new(width, digit.bounds.height(), pixels)
}

/// The digit with a longer side of [`DIGIT`] pixels, its darkest ink white, so that a thin pen is not lost.
fn resize(digit: &Picture) -> Picture {
    let scale = DIGIT / digit.width().max(digit.height()) as f32;
    let side = |pixels: usize| ((pixels as f32 * scale).round() as usize).max(1);
    let mut small = digit.resized(side(digit.width()), side(digit.height()), Filter::Triangle);
    let most = small.pixels.iter().copied().max().unwrap_or(0).max(1);
    small.pixels.iter_mut().for_each(|pixel| *pixel = (u32::from(*pixel) * 255 / u32::from(most)) as u8);
    small
}

/// The digit in an image, its centre of mass as near to the middle as it can be without losing a part of it.
fn centre(digit: &Picture) -> Vec<u8> {
    let mass = |weight: fn(usize, usize) -> usize| {
        let weighed = |(i, &pixel): (usize, &u8)| weight(i % digit.width, i / digit.width) as f64 * f64::from(pixel);
        digit.pixels.iter().enumerate().map(weighed).sum::<f64>()
    };
    let all = mass(|_, _| 1).max(1.0);
    let corner = |mean: f64, side: usize| (CENTRE - mean).round().clamp(0.0, (SIDE - side) as f64) as usize;
    let left = corner(mass(|x, _| x) / all, digit.width);
    let top = corner(mass(|_, y| y) / all, digit.height);
    let mut image = vec![0; SIDE * SIDE];
    for (row, line) in digit.pixels.chunks_exact(digit.width).enumerate() {
        image[(top + row) * SIDE + left..][..line.len()].copy_from_slice(line);
    }
    image
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture of this size with a ring around its middle, drawn by what a pixel's distance from the ring's line says.
    fn ring(width: usize, height: usize, radius: f32, shade: impl Fn(f32, usize, usize) -> f32) -> Picture {
        let (x0, y0) = (width as f32 / 2.0, height as f32 / 2.0);
        let pixel = |i: usize| {
            let (x, y) = (i % width, i / width);
            let distance = ((x as f32 + 0.5 - x0).hypot(y as f32 + 0.5 - y0) - radius).abs();
            shade(distance, x, y).clamp(0.0, 255.0) as u8
        };
        Picture::new(width, height, (0..width * height).map(pixel).collect())
    }

    /// The image of the only digit.
    #[track_caller]
    fn one(picture: &Picture) -> Vec<u8> {
        let digits = digits(picture);
        assert_eq!(digits.len(), 1, "{digits:?}");
        digits[0].pixels.clone()
    }

    /// Whether it is a ring of 20 pixels in the middle of an image.
    #[track_caller]
    fn check_ring(picture: &Picture) {
        let image = one(picture);
        let at = |x: usize, y: usize| image[y * SIDE + x];
        let middle = [at(13, 13), at(14, 14)];
        assert!(middle.iter().all(|&pixel| pixel < 40), "the middle is {middle:?}");
        let inked = |range: &mut dyn Iterator<Item = (usize, usize)>| range.map(|(x, y)| at(x, y)).max().unwrap();
        let sides = [
            inked(&mut (4..7).map(|i| (i, 14))),
            inked(&mut (21..25).map(|i| (i, 14))),
            inked(&mut (4..7).map(|i| (14, i))),
            inked(&mut (21..25).map(|i| (14, i))),
        ];
        assert!(sides.iter().all(|&pixel| pixel > 150), "the sides are {sides:?}");
        let margin = (0..SIDE).flat_map(|i| [at(i, 1), at(i, 26), at(1, i), at(26, i)]).max().unwrap();
        assert!(margin < 60, "something is in the margin: {margin}");
    }

    #[test]
    fn light_on_dark_and_dark_on_light_are_the_same() {
        let light = ring(60, 60, 20.0, |distance, _, _| if distance < 3.0 { 230.0 } else { 10.0 });
        let dark = ring(60, 60, 20.0, |distance, _, _| if distance < 3.0 { 25.0 } else { 245.0 });
        check_ring(&light);
        check_ring(&dark);
        assert_eq!(one(&light), one(&dark));
    }

    #[test]
    fn small_and_large_pictures_and_thin_and_broad_pens_give_the_same_digit() {
        let pictures = [(20, 7.0, 1.2), (28, 9.0, 1.3), (300, 100.0, 14.3), (2000, 500.0, 71.4)];
        let pens = [0.8, 2.0, 20.0].map(|width| (300, 100.0, width));
        for (side, radius, width) in pictures.into_iter().chain(pens) {
            check_ring(&ring(side, side, radius, |distance, _, _| if distance < width { 0.0 } else { 255.0 }));
        }
    }

    #[test]
    fn uneven_light_and_noise_are_not_ink() {
        // The darkest paper is darker than the ink on the lightest.
        let noise = |x: usize, y: usize| ((x * 7919 + y * 104_729) % 17) as f32 - 8.0;
        check_ring(&ring(400, 300, 90.0, |distance, x, y| {
            let light = 250.0 - 0.3 * x as f32 - 0.15 * y as f32;
            let paper = if distance < 8.0 { light * 0.35 } else { light };
            paper + noise(x, y)
        }));
    }

    #[test]
    fn empty_paper_holds_no_digit() {
        for shade in [0.0, 128.0, 255.0] {
            assert_eq!(digits(&ring(50, 50, 1.0, |_, _, _| shade)), []);
        }
        let graded = ring(200, 200, 1.0, |_, x, y| 120.0 + 0.5 * x as f32 + ((x * 31 + y * 17) % 5) as f32);
        assert_eq!(digits(&graded), []);
    }

    #[test]
    fn a_picture_of_one_pixel_or_one_row_is_no_reason_to_panic() {
        assert_eq!(digits(&Picture::new(1, 1, vec![9])), []);
        let row = digits(&Picture::new(9, 1, vec![255, 255, 255, 0, 0, 0, 255, 255, 255]));
        assert!(row.iter().all(|digit| digit.pixels.len() == SIDE * SIDE));
        digits(&Picture::new(5000, 1, vec![7; 5000]));
    }
}
