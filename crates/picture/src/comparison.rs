//! Two pictures beside each other, so that a person sees what became of one.

use crate::{Picture, resize::Filter};

/// The side of the square that each of the two gets, and the stripe between them.
const SQUARE: usize = 280;
const STRIPE: usize = 8;
const GREY: u8 = 128;

/// The one on the left, and the other on the right, both as large as the same square lets them be.
pub fn comparison(left: &Picture, right: &Picture) -> Picture {
    let width = 2 * SQUARE + STRIPE;
    let mut pixels = vec![GREY; width * SQUARE];
    for (picture, square) in [(left, 0), (right, SQUARE + STRIPE)] {
        // Of a small picture, each pixel is to be seen.
        let fitted = picture.fitted(SQUARE, Filter::Box);
        let (x, y) = (square + (SQUARE - fitted.width()) / 2, (SQUARE - fitted.height()) / 2);
        for (row, line) in fitted.pixels().chunks_exact(fitted.width()).enumerate() {
            pixels[(y + row) * width + x..][..line.len()].copy_from_slice(line);
        }
    }
    Picture::new(width, SQUARE, pixels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_as_large_as_can_be() {
        let both = comparison(&Picture::new(1000, 500, vec![255; 500_000]), &Picture::new(2, 2, vec![0, 1, 2, 3]));
        assert_eq!((both.width(), both.height()), (568, 280));
        let at = |x: usize, y: usize| both.pixels()[y * 568 + x];
        assert_eq!((at(0, 69), at(0, 70), at(279, 209), at(279, 210), at(284, 140)), (GREY, 255, 255, GREY, GREY));
        assert_eq!((at(288, 0), at(567, 139), at(288, 140), at(567, 279)), (0, 1, 2, 3));
    }
}
