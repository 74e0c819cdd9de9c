//! Where an image is blank, so are the maps: the same numbers as those of an image without any ink, which are computed once
//! for all samples. Of MNIST, those are six of ten places of the first convolution, and a quarter of the second's.

use sample::{COLS, PIXELS, ROWS};

use crate::{
    layout::{Aligned, C1, C2, Maps1, Maps2, PADDED1, SIDE1, SIDE2, WINDOWS},
    pooling::{Winners1, Winners2},
};

/// Which places of an image and its maps have ink within reach: for each row, a bit for each column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ink {
    /// Of the first convolution's pooled maps.
    pub(crate) maps1: [u32; SIDE1],
    /// Of the second one's.
    pub(crate) maps2: [u32; SIDE2],
}

impl Ink {
    /// Everywhere.
    pub(crate) const ALL: Self = Self { maps1: [u32::MAX; SIDE1], maps2: [u32::MAX; SIDE2] };

    /// Of an image's raw pixels: 0 is blank.
    pub(crate) fn of(image: &[u8; PIXELS]) -> Self {
        let mut rows = [0; ROWS];
        for (row, pixels) in rows.iter_mut().zip(image.as_chunks::<COLS>().0) {
            for (column, &pixel) in pixels.iter().enumerate() {
                *row |= u32::from(pixel != 0) << column;
            }
        }
        let maps1 = pooled(&rows);
        Self { maps1, maps2: pooled(&maps1) }
    }

    /// Whether there is some within reach of a position of the first maps.
    #[inline(always)]
    pub(crate) fn reaches1(&self, row: usize, column: usize) -> bool {
        self.maps1[row] >> column & 1 == 1
    }

    /// Whether there is some within reach of a window of the second.
    #[inline(always)]
    pub(crate) fn reaches2(&self, window: usize) -> bool {
        self.maps2[window / SIDE2] >> (window % SIDE2) & 1 == 1
    }
}

/// What a blank image becomes.
#[derive(Clone)]
pub(crate) struct Blank {
    pub(crate) maps1: Aligned<Maps1>,
    pub(crate) winners1: Winners1,
    pub(crate) maps2: Aligned<Maps2>,
    pub(crate) winners2: Winners2,
}

impl Blank {
    pub(crate) fn new() -> Self {
        Self {
            maps1: Aligned([[[0.0; C1]; PADDED1]; PADDED1]),
            winners1: [[0; C1]; SIDE1 * SIDE1],
            maps2: Aligned([[0.0; C2]; WINDOWS]),
            winners2: [[0; C2]; WINDOWS],
        }
    }
}

/// The same after a 3 by 3 convolution and 2 by 2 pooling: a place sees 4 by 4 of those before.
fn pooled<const N: usize, const HALF: usize>(rows: &[u32; N]) -> [u32; HALF] {
    std::array::from_fn(|row| {
        let (first, last) = ((2 * row).saturating_sub(1), (2 * row + 2).min(N - 1));
        // A bit higher, so that there is one before the first column.
        let any = rows[first..=last].iter().fold(0, |any, row| any | row << 1);
        (0..HALF).map(|column| u32::from(any >> (2 * column) & 0b1111 != 0) << column).sum()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pixel_reaches_as_far_as_the_convolutions_see() {
        for (row, column) in [(0, 0), (27, 27), (13, 5), (6, 20)] {
            let mut image = [0; PIXELS];
            image[row * COLS + column] = 1;
            let ink = Ink::of(&image);
            let sees = |place: usize, pixel: usize, step: usize, before: usize, after: usize| {
                (place * step..=place * step + before + after).contains(&(pixel + before))
            };
            for i in 0..SIDE1 {
                for j in 0..SIDE1 {
                    // One to the left, and two to the right, of where the pair of pixels begins.
                    assert_eq!(ink.reaches1(i, j), sees(i, row, 2, 1, 2) && sees(j, column, 2, 1, 2), "{i}, {j}");
                }
            }
            for window in 0..SIDE2 * SIDE2 {
                let (i, j) = (window / SIDE2, window % SIDE2);
                assert_eq!(ink.reaches2(window), sees(i, row, 4, 3, 6) && sees(j, column, 4, 3, 6), "{i}, {j}");
            }
        }
        assert_eq!(Ink::of(&[0; PIXELS]), Ink { maps1: [0; SIDE1], maps2: [0; SIDE2] });
    }
}
