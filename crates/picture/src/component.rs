//! A component is a patch of ink: pixels that touch each other, by a side or a corner.

use crate::paper::Ink;

/// Pixels of ink, and the bounding box around them.
#[derive(Clone, Debug)]
pub(crate) struct Component {
    /// Where each pixel is in the ink.
    pub(crate) pixels: Vec<usize>,
    /// All shares of ink together.
    pub(crate) ink: f32,
    /// What of it does not lie along the border of the picture.
    pub(crate) inner: f32,
    pub(crate) bounds: Bounds,
}

/// A bounding box: columns and rows, ends excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) left: usize,
    pub(crate) top: usize,
    pub(crate) right: usize,
    pub(crate) bottom: usize,
}

impl Component {
    pub(crate) fn join(&mut self, mut other: Self) {
        self.pixels.append(&mut other.pixels);
        self.ink += other.ink;
        self.inner += other.inner;
        self.bounds = self.bounds.with(other.bounds);
    }
}

impl Bounds {
    pub(crate) fn width(&self) -> usize {
        self.right - self.left
    }

    pub(crate) fn height(&self) -> usize {
        self.bottom - self.top
    }

    /// How many columns are in both; less than 0 if there are some between them.
    pub(crate) fn common_columns(&self, other: &Self) -> isize {
        self.right.min(other.right) as isize - self.left.max(other.left) as isize
    }

    pub(crate) fn common_rows(&self, other: &Self) -> isize {
        self.bottom.min(other.bottom) as isize - self.top.max(other.top) as isize
    }

    fn with(self, other: Self) -> Self {
        Self {
            left: self.left.min(other.left),
            top: self.top.min(other.top),
            right: self.right.max(other.right),
            bottom: self.bottom.max(other.bottom),
        }
    }
}

/// All components, in the order of their first pixels.
pub(crate) fn components(ink: &Ink) -> Vec<Component> {
    let mut is_new: Vec<bool> = ink.shares.iter().map(|&share| share > 0.0).collect();
    let mut components = Vec::new();
    for start in 0..is_new.len() {
        if is_new[start] {
            components.push(component(ink, start, &mut is_new));
        }
    }
    components
}

/// The component that this pixel is in, none of which is new any more.
fn component(ink: &Ink, start: usize, is_new: &mut [bool]) -> Component {
    let mut pixels = vec![start];
    is_new[start] = false;
    let mut done = 0;
    let mut bounds = Bounds { left: usize::MAX, top: usize::MAX, right: 0, bottom: 0 };
    while let Some(&pixel) = pixels.get(done) {
        done += 1;
        let (x, y) = (pixel % ink.width, pixel / ink.width);
        bounds = bounds.with(Bounds { left: x, top: y, right: x + 1, bottom: y + 1 });
        for row in y.saturating_sub(1)..(y + 2).min(ink.height) {
            let begin = row * ink.width + x.saturating_sub(1);
            let near = &mut is_new[begin..row * ink.width + (x + 2).min(ink.width)];
            for (near, is_new) in (begin..).zip(near).filter(|(_, is_new)| **is_new) {
                *is_new = false;
                pixels.push(near);
            }
        }
    }
    let sum = |shares: &[f32]| pixels.iter().map(|&pixel| shares[pixel]).sum();
    Component { ink: sum(&ink.shares), inner: sum(&ink.inner), pixels, bounds }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_touches_is_one_component() {
        #[rustfmt::skip]
        let shares = [
            1.0, 0.0, 0.0, 0.5, 0.5,
            0.0, 1.0, 0.0, 0.0, 0.5,
            0.0, 0.0, 0.0, 0.0, 0.0,
            1.0, 0.0, 0.0, 0.0, 0.0,
        ];
        let found = components(&Ink { width: 5, height: 4, shares: shares.to_vec(), inner: shares.to_vec() });
        let found: Vec<_> = found.iter().map(|found| (found.pixels.len(), found.ink, found.bounds)).collect();
        let bounds = |left, top, right, bottom| Bounds { left, top, right, bottom };
        assert_eq!(found, [(2, 2.0, bounds(0, 0, 2, 2)), (3, 1.5, bounds(3, 0, 5, 2)), (1, 1.0, bounds(0, 3, 1, 4))]);
    }
}
