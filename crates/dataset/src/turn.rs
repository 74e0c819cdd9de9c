//! Turns an image about its centre, in whole numbers, so that the same bytes come out on every machine.

use sample::{COLS, PIXELS, ROWS};

/// The image, turned by so many degrees counterclockwise. Each of its pixels lies between four of the original, and takes of
/// each the more the nearer it is (bilinear interpolation); beyond the edge all is 0. Quarter turns are exact.
pub(crate) fn turn(image: &[u8; PIXELS], degrees: f64) -> [u8; PIXELS] {
    let (sin, cos) = libm::sincos(degrees * (std::f64::consts::PI / 180.0));
    let [sin, cos] = [sin, cos].map(|value| libm::round(value * f64::from(1 << BITS)) as i32);
    let mut turned = [0; PIXELS];
    for (row, pixels) in turned.chunks_exact_mut(COLS).enumerate() {
        for (col, pixel) in pixels.iter_mut().enumerate() {
            // From the centre, which lies between four pixels, in half pixels: whole numbers.
            let (x, y) = (2 * col as i32 - LAST, 2 * row as i32 - LAST);
            *pixel = between(image, place(cos * x - sin * y), place(sin * x + cos * y));
        }
    }
    turned
}

const _: () = assert!(ROWS == COLS);
/// The last row and column; also, twice the distance from it to the centre.
const LAST: i32 = COLS as i32 - 1;
/// Binary digits of a sine behind the point.
const BITS: u32 = 16;

/// The pixel at or before this distance from the centre, and how far behind it, in 256ths.
fn place(half_pixels: i32) -> (i32, i32) {
    let from_edge = half_pixels + (LAST << BITS);
    (from_edge >> (BITS + 1), (from_edge >> (BITS + 1 - 8)) & 0xff)
}

fn between(image: &[u8; PIXELS], (col, right): (i32, i32), (row, down): (i32, i32)) -> u8 {
    let at = |row: i32, col: i32| match (0..=LAST).contains(&row) && (0..=LAST).contains(&col) {
        true => i32::from(image[row as usize * COLS + col as usize]),
        false => 0,
    };
    let upper = at(row, col) * (256 - right) + at(row, col + 1) * right;
    let lower = at(row + 1, col) * (256 - right) + at(row + 1, col + 1) * right;
    ((upper * (256 - down) + lower * down + (1 << 15)) >> 16) as u8
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    fn image(pixel: impl Fn(usize, usize) -> u8) -> [u8; PIXELS] {
        std::array::from_fn(|place| pixel(place / COLS, place % COLS))
    }

    fn noise(row: usize, col: usize) -> u8 {
        (row * 31 + col * 17 + row * col * 7) as u8
    }

    #[test]
    fn quarter_turns_are_exact_and_go_counterclockwise() {
        let original = image(noise);
        let last = LAST as usize;
        for (degrees, expect) in [
            (0.0, original),
            (90.0, image(|row, col| noise(col, last - row))), // What was at the right is at the top.
            (180.0, image(|row, col| noise(last - row, last - col))),
            (270.0, image(|row, col| noise(last - col, row))),
            (-90.0, image(|row, col| noise(last - col, row))),
            (360.0, original),
            (-720.0, original),
        ] {
            assert!(turn(&original, degrees) == expect, "{degrees}");
        }
    }

    /// Computed by a few lines of Python in whole numbers, too; in floats without rounding they come within 1.5 of each pixel.
    #[test]
    fn a_turned_image_never_changes() {
        for (degrees, sum) in [
            (45.0, "2dd3a6a8f84e5999db3fc57afb51d7b902e8ad04b9a76501fcc4b481f736ff54"),
            (-7.5, "b1b897c7ba2806ffb249774884e2d08d8cd229206cb34333193ef9c62d56e8e1"),
        ] {
            assert_eq!(hex::encode(Sha256::digest(turn(&image(noise), degrees))), sum);
        }
    }

    /// A disc about the centre, with a soft edge, turns into itself but for rounding.
    #[test]
    fn what_is_round_stays_as_it_is() {
        let disc = image(|row, col| {
            let distance = (row as f64 - 13.5).hypot(col as f64 - 13.5);
            (255.0 - 18.0 * distance).clamp(0.0, 255.0) as u8
        });
        for degrees in [1.0, 30.0, 45.0, 222.5] {
            let turned = turn(&disc, degrees);
            let most = disc.iter().zip(turned).map(|(&one, other)| one.abs_diff(other)).max();
            assert!(most <= Some(8), "{degrees}: {most:?}");
        }
    }

    #[test]
    fn a_corner_leaves_the_image_and_what_comes_in_is_empty() {
        let turned = turn(&[255; PIXELS], 45.0);
        assert_eq!([turned[0], turned[COLS - 1], turned[PIXELS - 1], turned[14 * COLS + 14]], [0, 0, 0, 255]);
    }
}
