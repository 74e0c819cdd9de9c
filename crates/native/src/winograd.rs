//! The second convolution's forward pass, by Winograd's algorithm F(2×2, 3×3): Lavin and Gray, "Fast Algorithms for
//! Convolutional Neural Networks", 2016.
//!
//! Four positions of the output need 16 products for each pair of channels instead of 36. A tile of four outputs is exactly a
//! pooling window, so bias, pooling and ReLU follow while its numbers are in registers. Tiles of all samples go through the
//! three stages some at a time, so that what lies between the stages stays in the cache.

use crate::{
    ink::{Blank, Ink},
    isa::kernel,
    layout::{Aligned, C1, C2, Layers, Maps1, Maps2, SIDE2, WINDOWS},
    pooling::{Winner, Winners2, pool},
};

/// Numbers of a transformed tile for each channel.
const TILE: usize = 16;
/// Tiles that go through the stages together.
const BLOCK: usize = 24;
/// Tiles whose products are computed side by side.
const GROUP: usize = 6;

/// conv2's weights, transformed: `[number of the tile][in][out]`.
pub(crate) type Filters = [[[f32; C2]; C1]; TILE];

/// What lies between the stages.
pub(crate) struct Scratch {
    /// `[number][tile][in]`.
    inputs: Vec<Aligned<[[f32; C1]; BLOCK]>>,
    /// `[number][tile][out]`.
    products: Vec<Aligned<[[f32; C2]; BLOCK]>>,
    /// Sample and window of the tiles to compute.
    tiles: Vec<(usize, usize)>,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        Self {
            inputs: vec![Aligned([[0.0; C1]; BLOCK]); TILE],
            products: vec![Aligned([[0.0; C2]; BLOCK]); TILE],
            tiles: Vec::new(),
        }
    }
}

kernel! {
    /// `G w Gᵀ` of each kernel.
    pub(crate) fn transform_filters<const LARGE: bool>(layers: &Layers, filters: &mut Filters) {
        const N: usize = 16;
        for (out, kernel) in layers.conv2.as_chunks::<3>().0.iter().enumerate() {
            for block in 0..C1 / N {
                let mut rows = [[[0.0; N]; 4]; 3];
                for (taps, numbers) in kernel.iter().zip(&mut rows) {
                    let column = |column| taps[column * C1 + block * N..].first_chunk().expect("a block");
                    spread(std::array::from_fn(column), numbers);
                }
                let mut columns = [[[0.0; N]; 4]; 4];
                for (column, numbers) in columns.iter_mut().enumerate() {
                    spread(std::array::from_fn(|row| &rows[row][column]), numbers);
                }
                for (column, numbers) in columns.iter().enumerate() {
                    for (row, numbers) in numbers.iter().enumerate() {
                        for (k, &number) in numbers.iter().enumerate() {
                            filters[row * 4 + column][block * N + k][out] = number;
                        }
                    }
                }
            }
        }
    }
}

/// `G`: three taps become four numbers.
#[inline(always)]
fn spread<const N: usize>([a, b, c]: [&[f32; N]; 3], numbers: &mut [[f32; N]; 4]) {
    for k in 0..N {
        numbers[0][k] = a[k];
        numbers[1][k] = 0.5 * ((a[k] + c[k]) + b[k]);
        numbers[2][k] = 0.5 * ((a[k] + c[k]) - b[k]);
        numbers[3][k] = c[k];
    }
}

impl Scratch {
    /// Chooses the tiles to compute. What no ink reaches is copied from `blank`.
    pub(crate) fn choose(
        &mut self,
        inks: &[Ink],
        blank: &Blank,
        maps: &mut [Aligned<Maps2>],
        winners: &mut [Winners2],
    ) {
        self.tiles.clear();
        for (sample, ink) in inks.iter().enumerate() {
            for window in 0..WINDOWS {
                if ink.reaches2(window) {
                    self.tiles.push((sample, window));
                } else {
                    maps[sample][window] = blank.maps2[window];
                    winners[sample][window] = blank.winners2[window];
                }
            }
        }
    }
}

kernel! {
    /// Convolution, pooling and ReLU of the tiles that were chosen.
    pub(crate) fn forward<const LARGE: bool>(
        filters: &Filters,
        bias: &[f32; C2],
        inputs: &[Aligned<Maps1>],
        scratch: &mut Scratch,
        maps: &mut [Aligned<Maps2>],
        winners: &mut [Winners2],
    ) {
        for tiles in scratch.tiles.chunks(BLOCK) {
            for (tile, &(sample, window)) in tiles.iter().enumerate() {
                transform_input(&inputs[sample], window, tile, &mut scratch.inputs);
            }
            for (number, filter) in filters.iter().enumerate() {
                let inputs = scratch.inputs[number].as_chunks::<GROUP>().0;
                let products = scratch.products[number].as_chunks_mut::<GROUP>().0;
                for (inputs, products) in inputs.iter().zip(products).take(tiles.len().div_ceil(GROUP)) {
                    if LARGE {
                        multiply::<32>(filter, inputs, products);
                    } else {
                        multiply::<16>(filter, inputs, products);
                    }
                }
            }
            for (tile, &(sample, window)) in tiles.iter().enumerate() {
                let (values, winners) = (&mut maps[sample][window], &mut winners[sample][window]);
                finish_tile(&scratch.products, tile, bias, values, winners);
            }
        }
    }
}

/// `Bᵀ d B` of 4 by 4 positions, all channels.
#[inline(always)]
fn transform_input(maps: &Maps1, window: usize, tile: usize, inputs: &mut [Aligned<[[f32; C1]; BLOCK]>]) {
    const N: usize = 16;
    let (top, left) = (2 * (window / SIDE2), 2 * (window % SIDE2));
    for block in 0..C1 / N {
        let d: [[[f32; N]; 4]; 4] =
            std::array::from_fn(|i| std::array::from_fn(|j| maps[top + i][left + j].as_chunks().0[block]));
        let mut rows = [[[0.0; N]; 4]; 4];
        for j in 0..4 {
            for k in 0..N {
                rows[0][j][k] = d[0][j][k] - d[2][j][k];
                rows[1][j][k] = d[1][j][k] + d[2][j][k];
                rows[2][j][k] = d[2][j][k] - d[1][j][k];
                rows[3][j][k] = d[1][j][k] - d[3][j][k];
            }
        }
        for (i, row) in rows.iter().enumerate() {
            let mut numbers = [[0.0; N]; 4];
            for k in 0..N {
                numbers[0][k] = row[0][k] - row[2][k];
                numbers[1][k] = row[1][k] + row[2][k];
                numbers[2][k] = row[2][k] - row[1][k];
                numbers[3][k] = row[1][k] - row[3][k];
            }
            for (j, numbers) in numbers.into_iter().enumerate() {
                inputs[i * 4 + j][tile].as_chunks_mut().0[block] = numbers;
            }
        }
    }
}

/// The products of some tiles, summed over the channels in: `N` channels out at a time.
#[inline(always)]
fn multiply<const N: usize>(filter: &[[f32; C2]; C1], inputs: &[[f32; C1]; GROUP], products: &mut [[f32; C2]; GROUP]) {
    for block in 0..C2 / N {
        let mut sums = [[0.0; N]; GROUP];
        for (channel, weights) in filter.iter().enumerate() {
            let weights = &weights.as_chunks::<N>().0[block];
            for (sums, input) in sums.iter_mut().zip(inputs) {
                let input = input[channel];
                for (sum, weight) in sums.iter_mut().zip(weights) {
                    *sum = weight.mul_add(input, *sum);
                }
            }
        }
        for (products, sums) in products.iter_mut().zip(sums) {
            products.as_chunks_mut().0[block] = sums;
        }
    }
}

/// `Aᵀ m A`: the four outputs of a tile; then bias, pooling and ReLU.
#[inline(always)]
fn finish_tile(
    products: &[Aligned<[[f32; C2]; BLOCK]>],
    tile: usize,
    bias: &[f32; C2],
    values: &mut [f32; C2],
    winners: &mut [Winner; C2],
) {
    const N: usize = 16;
    for block in 0..C2 / N {
        let bias = &bias.as_chunks::<N>().0[block];
        let mut rows = [[[0.0; N]; 4]; 2];
        for j in 0..4 {
            let m: [&[f32; N]; 4] = std::array::from_fn(|i| &products[i * 4 + j][tile].as_chunks().0[block]);
            for k in 0..N {
                rows[0][j][k] = m[0][k] + m[1][k] + m[2][k];
                rows[1][j][k] = m[1][k] - m[2][k] - m[3][k];
            }
        }
        let mut window = [[0.0; N]; 4];
        for (i, row) in rows.iter().enumerate() {
            for k in 0..N {
                window[2 * i][k] = row[0][k] + row[1][k] + row[2][k] + bias[k];
                window[2 * i + 1][k] = row[1][k] - row[2][k] - row[3][k] + bias[k];
            }
        }
        let (best, winner) = pool(&window);
        values.as_chunks_mut().0[block] = best;
        winners.as_chunks_mut().0[block] = winner;
    }
}
