//! Pictures of another size.

use crate::Picture;

/// How a pixel is made of those around its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    /// Their mean; of fewer pixels, the nearest.
    Box,
    /// The nearer, the more.
    Triangle,
}

/// The pixels of a line that one pixel of another line is made of: the first, and the weight of each.
type Parts = (usize, Vec<f32>);

impl Picture {
    pub(crate) fn resized(&self, width: usize, height: usize, filter: Filter) -> Self {
        let (columns, rows) = (filter.parts(self.width, width), filter.parts(self.height, height));
        let mut pixels = Vec::with_capacity(width * height);
        let mut line = vec![0.0; self.width];
        for (top, weights) in rows {
            line.fill(0.0);
            for (row, weight) in self.pixels[top * self.width..].chunks_exact(self.width).zip(weights) {
                line.iter_mut().zip(row).for_each(|(sum, &pixel)| *sum += weight * f32::from(pixel));
            }
            pixels.extend(columns.iter().map(|(left, weights)| {
                let sum: f32 = line[*left..].iter().zip(weights).map(|(pixel, weight)| pixel * weight).sum();
                sum.round() as u8
            }));
        }
        Self::new(width, height, pixels)
    }

    /// The picture with a longer side of so many pixels.
    pub(crate) fn fitted(&self, longer: usize, filter: Filter) -> Self {
        let side = |pixels: usize| (pixels * longer / self.width.max(self.height)).max(1);
        self.resized(side(self.width), side(self.height), filter)
    }
}

impl Filter {
    /// What each pixel of a line `to` pixels long is made of, if it is made of a line of `from` pixels.
    fn parts(self, from: usize, to: usize) -> Vec<Parts> {
        let ratio = from as f32 / to as f32;
        let scale = ratio.max(1.0);
        let (reach, weight): (f32, fn(f32) -> f32) = match self {
            Self::Box => (0.5, |_| 1.0),
            Self::Triangle => (1.0, |distance| 1.0 - distance.abs()),
        };
        let part = |i: usize| {
            let middle = (i as f32 + 0.5) * ratio - 0.5;
            let first = (middle - reach * scale).ceil().max(0.0) as usize;
            let end = ((middle + reach * scale).ceil() as usize).clamp(first + 1, from.max(first + 1));
            let weights: Vec<f32> = (first..end).map(|x| weight((x as f32 - middle) / scale)).collect();
            let sum: f32 = weights.iter().sum();
            (first, weights.iter().map(|weight| weight / sum).collect())
        };
        (0..to).map(part).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn larger_and_smaller_pictures_look_the_same() {
        let line = |pixels: &[u8]| Picture::new(pixels.len(), 1, pixels.to_vec());
        for (from, filter, to) in [
            (&[0, 100][..], Filter::Box, &[0, 0, 0, 100, 100, 100][..]),
            (&[0, 100, 200], Filter::Box, &[0, 0, 100, 100, 200, 200]),
            (&[0, 100, 50, 150], Filter::Box, &[50, 100]),
            (&[7, 7, 7, 7, 7], Filter::Box, &[7, 7, 7]),
            (&[0, 100], Filter::Triangle, &[0, 25, 75, 100]),
            (&[0, 0, 80, 80, 0, 0], Filter::Triangle, &[11, 60, 11]),
            (&[9], Filter::Triangle, &[9, 9, 9]),
            (&[9, 9, 9, 9], Filter::Triangle, &[9]),
        ] {
            let picture = line(from).resized(to.len(), 1, filter);
            assert_eq!(picture.pixels(), to, "{from:?}, {filter:?}");
            let column = Picture::new(1, from.len(), from.to_vec()).resized(1, to.len(), filter);
            assert_eq!(column.pixels(), to, "{from:?}, {filter:?}");
        }
    }
}
