//! The first convolution: one channel in, so its arithmetic is small. All of its 32 channels are computed side by side.

use crate::{
    ink::{Blank, Ink},
    isa::kernel,
    layout::{Aligned, C1, Input, Layers, Maps1, SIDE1, TAPS},
    pooling::{Winner, Winners1, pool},
};

kernel! {
    /// Convolution, pooling and ReLU, into maps whose border is zero already. What no ink reaches is copied from `blank`.
    pub(crate) fn forward<const LARGE: bool>(
        layers: &Layers,
        blank: &Blank,
        inputs: &[Aligned<Input>],
        inks: &[Ink],
        maps: &mut [Aligned<Maps1>],
        winners: &mut [Winners1],
    ) {
        for (((input, ink), maps), winners) in inputs.iter().zip(inks).zip(maps).zip(winners) {
            for row in 0..SIDE1 {
                for column in 0..SIDE1 {
                    let (values, winners) = (&mut maps[row + 1][column + 1], &mut winners[row * SIDE1 + column]);
                    if ink.reaches1(row, column) {
                        window(layers, input, row, column, values, winners);
                    } else {
                        *values = blank.maps1[row + 1][column + 1];
                        *winners = blank.winners1[row * SIDE1 + column];
                    }
                }
            }
        }
    }
}

/// One pooling window.
#[inline(always)]
fn window(
    layers: &Layers,
    input: &Input,
    row: usize,
    column: usize,
    values: &mut [f32; C1],
    winners: &mut [Winner; C1],
) {
    const N: usize = 16;
    for (block, bias) in layers.bias1.as_chunks::<N>().0.iter().enumerate() {
        let mut window = [*bias; 4];
        for (tap, weights) in layers.conv1.iter().enumerate() {
            let weights = &weights.as_chunks::<N>().0[block];
            for (position, sums) in window.iter_mut().enumerate() {
                let pixel = input[2 * row + position / 2 + tap / 3][2 * column + position % 2 + tap % 3];
                for (sum, weight) in sums.iter_mut().zip(weights) {
                    *sum = weight.mul_add(pixel, *sum);
                }
            }
        }
        let (best, winner) = pool(&window);
        values.as_chunks_mut::<N>().0[block] = best;
        winners.as_chunks_mut::<N>().0[block] = winner;
    }
}

kernel! {
    /// Adds a sample's part to the gradients of the weights and the bias; `gradient` is that of the pooled maps.
    pub(crate) fn gradients<const LARGE: bool>(
        input: &Input,
        winners: &Winners1,
        gradient: &Maps1,
        sums: &mut Layers,
    ) {
        if LARGE {
            weights::<16>(input, winners, gradient, sums);
        } else {
            weights::<8>(input, winners, gradient, sums);
        }
    }
}

#[inline(always)]
fn weights<const N: usize>(input: &Input, winners: &Winners1, gradient: &Maps1, sums: &mut Layers) {
    for block in 0..C1 / N {
        let mut taps: [[f32; N]; TAPS] = std::array::from_fn(|tap| sums.conv1[tap].as_chunks().0[block]);
        let mut bias = sums.bias1.as_chunks::<N>().0[block];
        for row in 0..SIDE1 {
            for column in 0..SIDE1 {
                let gradient = &gradient[row + 1][column + 1].as_chunks::<N>().0[block];
                let winners = winners[row * SIDE1 + column].as_chunks::<N>().0[block].map(u32::from);
                for position in 0..4 {
                    let mut here = [0.0; N];
                    for k in 0..N {
                        // All bits or none: a branch would be taken for each channel on its own.
                        let mask = ((winners[k] >> position) & 1).wrapping_neg();
                        here[k] = f32::from_bits(gradient[k].to_bits() & mask);
                        bias[k] += here[k];
                    }
                    for (tap, sums) in taps.iter_mut().enumerate() {
                        let pixel = input[2 * row + position / 2 + tap / 3][2 * column + position % 2 + tap % 3];
                        for (sum, here) in sums.iter_mut().zip(&here) {
                            *sum = here.mul_add(pixel, *sum);
                        }
                    }
                }
            }
        }
        for (tap, taps) in taps.iter().enumerate() {
            sums.conv1[tap].as_chunks_mut().0[block] = *taps;
        }
        sums.bias1.as_chunks_mut().0[block] = bias;
    }
}
