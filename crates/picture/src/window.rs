//! The lightest and the darkest pixel of a square window around each pixel, and what is made of the two: grey-scale
//! dilation, erosion and closing (J. Serra, Image Analysis and Mathematical Morphology, 1982). A window costs the same
//! whatever its size, by the method of van Herk (Pattern Recognition Letters 13, 1992) and of Gil and Werman (1993).

use crate::{Picture, Place};

/// The picture without dark things that are thinner than a square of `2 * reach + 1` pixels: each becomes as light as what is
/// around it. Edges of anything broader stay where they are, and as sharp as they are. Windows end at the border, so
/// that a thing which lies along it may be half as broad.
pub(crate) fn closing(picture: &Picture, reach: usize) -> Picture {
    let lighter = dilation(picture, reach);
    dilation(&lighter.negative(), reach).negative()
}

/// The same, as if the picture went on beyond its border as it is there: whatever lies along the border is broad.
pub(crate) fn continued_closing(picture: &Picture, reach: usize) -> Picture {
    let (width, height) = (picture.width(), picture.height());
    let columns = (0..width + 2 * reach).map(|x| x.saturating_sub(reach).min(width - 1));
    let rows = (0..height + 2 * reach).map(|y| y.saturating_sub(reach).min(height - 1));
    let pixels = rows.flat_map(|y| columns.clone().map(move |x| picture.pixels()[y * width + x])).collect();
    let closed = closing(&Picture::new(width + 2 * reach, height + 2 * reach, pixels), reach);
    closed.cut_out(Place { x: reach, y: reach, width, height }, 0)
}

/// The lightest pixel at most `reach` pixels away in either direction, of each pixel.
fn dilation(picture: &Picture, reach: usize) -> Picture {
    along_rows(&along_rows(picture, reach).transposed(), reach).transposed()
}

/// The lightest pixel of a row at most `reach` pixels away, of each pixel.
fn along_rows(picture: &Picture, reach: usize) -> Picture {
    let (width, window) = (picture.width(), 2 * reach + 1);
    let mut pixels = Vec::with_capacity(picture.pixels().len());
    // Each window ends in one block and begins in the same or the one before: its maximum is that of two values, of which
    // one is known from its block's begin on, and the other to its block's end.
    let mut to_end = vec![0; width + 2 * reach];
    let mut from_begin = to_end.clone();
    for row in picture.pixels().chunks_exact(width) {
        to_end[reach..][..width].copy_from_slice(row);
        to_end[..reach].fill(0);
        to_end[reach + width..].fill(0);
        from_begin.copy_from_slice(&to_end);
        from_begin.chunks_mut(window).for_each(|block| running_max(block.iter_mut()));
        to_end.chunks_mut(window).for_each(|block| running_max(block.iter_mut().rev()));
        pixels.extend(to_end.iter().zip(&from_begin[2 * reach..]).map(|(&begin, &end)| begin.max(end)));
    }
    Picture::new(width, picture.height(), pixels)
}

/// Each value becomes the greatest up to it.
fn running_max<'a>(values: impl Iterator<Item = &'a mut u8>) {
    let mut most = 0;
    for value in values {
        most = most.max(*value);
        *value = most;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dilation_is_the_lightest_pixel_of_each_window() {
        let picture = Picture::new(7, 5, (0..35).map(|i| (i * 89 % 251) as u8).collect());
        for reach in 0..9 {
            let dilated = dilation(&picture, reach);
            for (i, &pixel) in dilated.pixels().iter().enumerate() {
                let near = |j: usize| (j % 7).abs_diff(i % 7) <= reach && (j / 7).abs_diff(i / 7) <= reach;
                let lightest = (0..35).filter(|&j| near(j)).map(|j| picture.pixels()[j]).max().unwrap();
                assert_eq!(pixel, lightest, "reach {reach}, pixel {i}");
            }
        }
    }

    #[test]
    fn a_closing_removes_a_stroke_and_keeps_the_edge_of_a_shadow() {
        let paper = |x: usize| if x < 20 { 200 } else { 90 };
        let shade = |x: usize, y: usize| if (10..30).contains(&x) && (14..18).contains(&y) { 5 } else { paper(x) };
        let of = |shade: &dyn Fn(usize, usize) -> u8| {
            Picture::new(40, 30, (0..1200).map(|i| shade(i % 40, i / 40)).collect())
        };
        assert_eq!(closing(&of(&shade), 4), of(&|x, _| paper(x)));
        assert_eq!(continued_closing(&of(&shade), 4), of(&|x, _| paper(x)));
    }

    #[test]
    fn a_shadow_along_the_border_is_kept_by_a_picture_that_goes_on() {
        let shade = |i: usize| if i % 40 + 2 * (i / 40) < 11 { 90 } else { 200 };
        let picture = Picture::new(40, 30, (0..1200).map(shade).collect());
        assert_eq!(continued_closing(&picture, 6), picture);
        assert_eq!(closing(&picture, 6), Picture::new(40, 30, vec![200; 1200]));
    }
}
