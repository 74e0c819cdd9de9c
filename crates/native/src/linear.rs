//! The two linear layers. Half of what comes into each of them is zero after ReLU.

use sample::CLASSES;

use crate::{
    isa::kernel,
    layout::{Aligned, C2, HIDDEN, Layers, Maps2, SCORES, WINDOWS},
    living::{Living, add_rows, members, transpose},
};

/// Hidden numbers that ReLU let pass: two sets of 64.
#[inline(always)]
fn passed(hidden: &[f32; HIDDEN]) -> [Living; 2] {
    let mut sets = [0; 2];
    for (set, values) in sets.iter_mut().zip(hidden.as_chunks::<64>().0) {
        for (i, &value) in values.iter().enumerate() {
            *set |= u64::from(value != 0.0) << i;
        }
    }
    sets
}

/// [`add_rows`] for the rows of fc1, as many columns at a time as there are registers for.
#[inline(always)]
fn add_hidden<'a, const LARGE: bool>(
    sum: &mut [f32; HIDDEN],
    terms: impl Iterator<Item = (f32, &'a [f32; HIDDEN])> + Clone,
) {
    if LARGE {
        add_rows(sum, terms);
    } else {
        for (block, sum) in sum.as_chunks_mut::<64>().0.iter_mut().enumerate() {
            add_rows(sum, terms.clone().map(|(factor, row)| (factor, &row.as_chunks().0[block])));
        }
    }
}

kernel! {
    /// Hidden numbers after ReLU, and scores. `living` are the channels of each window that are not zero.
    pub(crate) fn forward<const LARGE: bool>(
        layers: &Layers,
        maps: &[Aligned<Maps2>],
        living: &[[Living; WINDOWS]],
        hidden: &mut [Aligned<[f32; HIDDEN]>],
        scores: &mut [[f32; SCORES]],
    ) {
        hidden.fill(layers.bias3);
        // Windows outermost: a window's weights serve all samples.
        for (window, weights) in layers.fc1.iter().enumerate() {
            for ((maps, living), hidden) in maps.iter().zip(living).zip(hidden.iter_mut()) {
                let values = &maps[window];
                let terms = members(living[window]).map(|channel| (values[channel], &weights[channel]));
                add_hidden::<LARGE>(hidden, terms);
            }
        }
        for (hidden, scores) in hidden.iter_mut().zip(scores) {
            for value in hidden.iter_mut() {
                // What is not a number stays that: it must not get lost.
                *value = if *value <= 0.0 { 0.0 } else { *value };
            }
            *scores = *layers.bias4;
            for (block, living) in passed(hidden).into_iter().enumerate() {
                add_rows(scores, members(living).map(|i| (hidden[block * 64 + i], &layers.fc2[block * 64 + i])));
            }
        }
    }
}

kernel! {
    /// The gradient of the hidden numbers, from that of the scores; adds to the gradients of fc2 and of both biases.
    pub(crate) fn hidden_gradient<const LARGE: bool>(
        layers: &Layers,
        hidden: &[Aligned<[f32; HIDDEN]>],
        errors: &[[f32; SCORES]],
        gradient: &mut [Aligned<[f32; HIDDEN]>],
        sums: &mut Layers,
    ) {
        let mut fc2 = Aligned([[0.0; HIDDEN]; SCORES]);
        for (hidden, weights) in layers.fc2.iter().enumerate() {
            for (score, &weight) in weights.iter().enumerate() {
                fc2[score][hidden] = weight;
            }
        }
        for ((hidden, errors), gradient) in hidden.iter().zip(errors).zip(gradient) {
            for (sum, error) in sums.bias4.iter_mut().zip(errors) {
                *sum += error;
            }
            for (block, living) in passed(hidden).into_iter().enumerate() {
                for i in members(living).map(|i| block * 64 + i) {
                    add_rows(&mut sums.fc2[i], std::iter::once((hidden[i], errors)));
                }
            }
            **gradient = [0.0; HIDDEN];
            add_hidden::<LARGE>(gradient, (0..CLASSES).map(|score| (errors[score], &fc2[score])));
            for k in 0..HIDDEN {
                gradient[k] = if hidden[k] == 0.0 { 0.0 } else { gradient[k] };
                sums.bias3[k] += gradient[k];
            }
        }
    }
}

kernel! {
    /// Adds to the gradient of fc1's weights, from that of the hidden numbers.
    pub(crate) fn weight_gradients<const LARGE: bool>(
        maps: &[Aligned<Maps2>],
        living: &[[Living; WINDOWS]],
        hidden: &[Aligned<[f32; HIDDEN]>],
        sums: &mut Layers,
    ) {
        for (window, sums) in sums.fc1.iter_mut().enumerate() {
            let mut samples = [0; 64];
            for (set, living) in samples.iter_mut().zip(living) {
                *set = living[window];
            }
            transpose(&mut samples);
            for (channel, sum) in sums.iter_mut().enumerate() {
                let term = |sample: usize| (maps[sample][window][channel], &*hidden[sample]);
                add_hidden::<LARGE>(sum, members(samples[channel]).map(term));
            }
        }
    }
}

kernel! {
    /// The gradient of the maps where they live, from that of the hidden numbers.
    pub(crate) fn input_gradient<const LARGE: bool>(
        layers: &Layers,
        living: &[[Living; WINDOWS]],
        hidden: &[Aligned<[f32; HIDDEN]>],
        gradient: &mut [Aligned<Maps2>],
    ) {
        let mut lanes = Aligned([[0.0; 16]; C2]);
        for (window, weights) in layers.fc1.iter().enumerate() {
            for ((living, hidden), gradient) in living.iter().zip(hidden).zip(gradient.iter_mut()) {
                for channel in members(living[window]) {
                    lanes[channel] = dot(&weights[channel], hidden);
                }
                for channel in members(living[window]) {
                    gradient[window][channel] = add_up(&lanes[channel]);
                }
            }
        }
    }
}

/// A sum of products as sixteen sums side by side.
#[inline(always)]
fn dot(a: &[f32; HIDDEN], b: &[f32; HIDDEN]) -> [f32; 16] {
    let mut sums = [0.0; 16];
    for (a, b) in a.as_chunks::<16>().0.iter().zip(b.as_chunks::<16>().0) {
        for k in 0..16 {
            sums[k] = a[k].mul_add(b[k], sums[k]);
        }
    }
    sums
}

/// Halves onto halves.
#[inline(always)]
fn add_up(lanes: &[f32; 16]) -> f32 {
    let eight: [f32; 8] = std::array::from_fn(|k| lanes[k] + lanes[k + 8]);
    let four: [f32; 4] = std::array::from_fn(|k| eight[k] + eight[k + 4]);
    (four[0] + four[2]) + (four[1] + four[3])
}
