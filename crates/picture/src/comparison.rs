//! Two pictures beside each other, so that a person sees what became of one.

use image::{GrayImage, imageops};

use crate::Picture;

/// The side of the square that each of the two gets, and the stripe between them.
const SQUARE: u32 = 280;
const STRIPE: u32 = 8;
const GREY: u8 = 128;

/// The one on the left, and the other on the right, both as large as the same square lets them be.
pub fn comparison(left: &Picture, right: &Picture) -> Picture {
    let mut both = GrayImage::from_pixel(2 * SQUARE + STRIPE, SQUARE, image::Luma([GREY]));
    for (picture, square) in [(left, 0), (right, SQUARE + STRIPE)] {
        let fitted = fitted(picture);
        let (x, y) = (square + (SQUARE - fitted.width()) / 2, (SQUARE - fitted.height()) / 2);
        imageops::replace(&mut both, &fitted, x.into(), y.into());
    }
    Picture::new(both.width() as usize, both.height() as usize, both.into_raw())
}

fn fitted(picture: &Picture) -> GrayImage {
    let image = picture.to_image();
    let longer = image.width().max(image.height());
    let side = |pixels: u32| (u64::from(pixels) * u64::from(SQUARE) / u64::from(longer)).max(1) as u32;
    let (width, height) = (side(image.width()), side(image.height()));
    // Of a small picture, each pixel is to be seen.
    if longer <= SQUARE {
        imageops::resize(&image, width, height, imageops::FilterType::Nearest)
    } else {
        imageops::thumbnail(&image, width, height)
    }
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
