//! Sizes of SimpleCnn, and how its weights lie here: channels last, so that what one multiply-add after the other reads is
//! side by side.

use std::ops::{Deref, DerefMut};

use sample::{CLASSES, ROWS};
use weights::{SIMPLE_CNN, StateDict};

/// Taps of a 3 by 3 kernel.
pub(crate) const TAPS: usize = 9;
/// The input with a border of one zero all around.
pub(crate) const INPUT: usize = ROWS + 2;
/// conv1: channels, and rows of its pooled maps without and with a border of one zero.
pub(crate) const C1: usize = 32;
pub(crate) const SIDE1: usize = ROWS / 2;
pub(crate) const PADDED1: usize = SIDE1 + 2;
/// Three neighbouring columns of conv1's maps, all channels: what one row of conv2's kernel meets.
pub(crate) const SPAN: usize = 3 * C1;
/// conv2: channels, and rows of its pooled maps. A position of those is a pooling window.
pub(crate) const C2: usize = 64;
pub(crate) const SIDE2: usize = SIDE1 / 2;
pub(crate) const WINDOWS: usize = SIDE2 * SIDE2;
/// fc1.
pub(crate) const HIDDEN: usize = 128;
/// fc2's classes, and zeros to a full vector.
pub(crate) const SCORES: usize = 16;

/// An image, normalised, with its border.
pub(crate) type Input = [[f32; INPUT]; INPUT];
/// conv1's maps after pooling and ReLU, with their border.
pub(crate) type Maps1 = [[[f32; C1]; PADDED1]; PADDED1];
/// conv2's maps after pooling and ReLU.
pub(crate) type Maps2 = [[f32; C2]; WINDOWS];

/// At the start of a cache line, so that no vector lies across two: those would cost twice.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Aligned<T>(pub(crate) T);

impl<T> Deref for Aligned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

/// One number for each weight: weights themselves, their gradients, an optimizer's memory.
#[derive(Clone, Debug)]
pub(crate) struct Layers {
    /// `[row × 3 + column][out]`.
    pub(crate) conv1: Aligned<[[f32; C1]; TAPS]>,
    pub(crate) bias1: Aligned<[f32; C1]>,
    /// `[out × 3 + row][column × 32 + in]`.
    pub(crate) conv2: Box<Aligned<[[f32; SPAN]; C2 * 3]>>,
    pub(crate) bias2: Aligned<[f32; C2]>,
    /// `[window][channel][out]`.
    pub(crate) fc1: Vec<Aligned<[[f32; HIDDEN]; C2]>>,
    pub(crate) bias3: Aligned<[f32; HIDDEN]>,
    /// `[in][out]`; what stands beyond the ten classes is zero and stays so, since its gradient is zero.
    pub(crate) fc2: Box<Aligned<[[f32; SCORES]; HIDDEN]>>,
    pub(crate) bias4: Aligned<[f32; SCORES]>,
}

impl Layers {
    pub(crate) fn zeros() -> Self {
        Self {
            conv1: Aligned([[0.0; C1]; TAPS]),
            bias1: Aligned([0.0; C1]),
            conv2: Box::new(Aligned([[0.0; SPAN]; C2 * 3])),
            bias2: Aligned([0.0; C2]),
            fc1: vec![Aligned([[0.0; HIDDEN]; C2]); WINDOWS],
            bias3: Aligned([0.0; HIDDEN]),
            fc2: Box::new(Aligned([[0.0; SCORES]; HIDDEN])),
            bias4: Aligned([0.0; SCORES]),
        }
    }

    /// # Panics
    /// If the weights are of another architecture than SimpleCnn.
    pub(crate) fn from_state_dict(weights: &StateDict) -> Self {
        assert_eq!(weights.architecture(), &SIMPLE_CNN, "a native step of this architecture");
        let mut layers = Self::zeros();
        let mut values = weights.values().iter();
        layers.in_pytorchs_order(|number| *number = *values.next().expect("as many as there are weights"));
        layers
    }

    pub(crate) fn to_state_dict(&self) -> StateDict {
        let mut weights = SIMPLE_CNN.zeros();
        let mut values = weights.values_mut().iter_mut();
        // A copy, since the walk is one that may change what it visits.
        self.clone().in_pytorchs_order(|number| *values.next().expect("as many as there are weights") = *number);
        weights
    }

    fn in_pytorchs_order(&mut self, mut visit: impl FnMut(&mut f32)) {
        for out in 0..C1 {
            (0..TAPS).for_each(|tap| visit(&mut self.conv1[tap][out]));
        }
        self.bias1.iter_mut().for_each(&mut visit);
        for out in 0..C2 {
            for channel in 0..C1 {
                for tap in 0..TAPS {
                    visit(&mut self.conv2[out * 3 + tap / 3][tap % 3 * C1 + channel]);
                }
            }
        }
        self.bias2.iter_mut().for_each(&mut visit);
        for out in 0..HIDDEN {
            for channel in 0..C2 {
                (0..WINDOWS).for_each(|window| visit(&mut self.fc1[window][channel][out]));
            }
        }
        self.bias3.iter_mut().for_each(&mut visit);
        for out in 0..CLASSES {
            (0..HIDDEN).for_each(|hidden| visit(&mut self.fc2[hidden][out]));
        }
        self.bias4[..CLASSES].iter_mut().for_each(visit);
    }

    /// All numbers, some at a time.
    pub(crate) fn blocks_mut(&mut self) -> impl Iterator<Item = &mut [f32]> {
        let windows = self.fc1.iter_mut().map(|window| window.as_flattened_mut());
        let others: [&mut [f32]; 7] = [
            self.conv1.as_flattened_mut(),
            &mut *self.bias1,
            self.conv2.as_flattened_mut(),
            &mut *self.bias2,
            &mut *self.bias3,
            self.fc2.as_flattened_mut(),
            &mut *self.bias4,
        ];
        others.into_iter().chain(windows)
    }
}
