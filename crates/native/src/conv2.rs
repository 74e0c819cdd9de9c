//! The second convolution's backward pass, which is where most of a dense step's work goes into zeros.

use crate::{
    isa::kernel,
    layout::{C1, C2, Layers, Maps1, Maps2, PADDED1, SIDE2, SPAN, WINDOWS},
    living::{Living, add_rows, members, transpose},
    pooling::{Winners2, won},
};

kernel! {
    /// Adds a sample's part to the gradients of the weights and the bias. `living` are the channels of each window that
    /// ReLU let pass, `gradient` is that of the pooled maps.
    pub(crate) fn weight_gradients<const LARGE: bool>(
        maps: &Maps1,
        winners: &Winners2,
        living: &[Living; WINDOWS],
        gradient: &Maps2,
        sums: &mut Layers,
    ) {
        for (winners, gradient) in winners.iter().zip(gradient) {
            for channel in 0..C2 {
                let passes = winners[channel] != 0;
                sums.bias2[channel] += if passes { gradient[channel] } else { 0.0 };
            }
        }
        let mut windows = [0; 64];
        windows[..WINDOWS].copy_from_slice(living);
        transpose(&mut windows);
        for (channel, &living) in windows.iter().enumerate() {
            let mut terms = [(0.0, 0); WINDOWS];
            let mut count = 0;
            for window in members(living) {
                let from = CORNERS[window] + STEPS[usize::from(winners[window][channel])];
                terms[count] = (gradient[window][channel], from);
                count += 1;
            }
            for row in 0..3 {
                let maps = maps[row..].as_flattened().as_flattened();
                let term = |&(factor, from): &(f32, usize)| (factor, maps[from..].first_chunk().expect("inside the border"));
                add_rows(&mut sums.conv2[channel * 3 + row], terms[..count].iter().map(term));
            }
        }
    }
}

/// Where the first position of each window begins in a map with its border, and where, from there, the position that won.
const CORNERS: [usize; WINDOWS] = {
    let mut corners = [0; WINDOWS];
    let mut window = 0;
    while window < WINDOWS {
        corners[window] = (2 * (window / SIDE2) * PADDED1 + 2 * (window % SIDE2)) * C1;
        window += 1;
    }
    corners
};
const STEPS: [usize; 9] = [0, 0, C1, 0, PADDED1 * C1, 0, 0, 0, (PADDED1 + 1) * C1];

/// conv2's weights in the order in which [`input_gradient`] passes them: `[row][out]`, each the row's three columns and all
/// channels in.
pub(crate) type ByRow = [[[f32; SPAN]; C2]; 3];

pub(crate) fn by_row(layers: &Layers, weights: &mut ByRow) {
    for (row, weights) in weights.iter_mut().enumerate() {
        for (out, weights) in weights.iter_mut().enumerate() {
            *weights = layers.conv2[out * 3 + row];
        }
    }
}

kernel! {
    /// The gradient of the maps that came in, border included.
    pub(crate) fn input_gradient<const LARGE: bool>(
        weights: &ByRow,
        winners: &Winners2,
        gradient: &Maps2,
        result: &mut Maps1,
    ) {
        *result = [[[0.0; C1]; PADDED1]; PADDED1];
        // Kernel rows outermost: a row's weights stay in the first-level cache.
        for (row, weights) in weights.iter().enumerate() {
            for (window, (winners, gradient)) in winners.iter().zip(gradient).enumerate() {
                for position in 0..4 {
                    let top = 2 * (window / SIDE2) + position / 2;
                    let left = 2 * (window % SIDE2) + position % 2;
                    let columns = result[top + row].as_flattened_mut()[left * C1..].first_chunk_mut::<SPAN>().expect("three columns");
                    let terms = members(won(winners, position)).map(|channel| (gradient[channel], &weights[channel]));
                    let mut here = [0.0; SPAN];
                    add_rows(&mut here, terms);
                    for (sum, value) in columns.iter_mut().zip(&here) {
                        *sum += value;
                    }
                }
            }
        }
    }
}
