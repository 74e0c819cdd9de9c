//! Adam (Kingma and Ba, 2015) as one pass over the numbers.
//!
//! libtorch's own Adam, as `tch` offers it, makes a dozen passes over the 421,642 weights and needs the gradients stored
//! and zeroed between steps; this loop reads and writes every number once. It is the only place outside libtorch that
//! touches a tensor's memory, and the reason why this crate contains `unsafe`.

use std::slice;

use tch::{Device, Kind, Tensor};

/// PyTorch's defaults: decay of the two moving averages, and the term that keeps the division finite.
const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// The optimizer's memory: moving averages of every gradient and of its square.
pub(crate) struct Adam {
    learning_rate: f64,
    steps: i32,
    averages: Vec<Average>,
}

struct Average {
    gradient: Vec<f32>,
    square: Vec<f32>,
}

impl Adam {
    pub(crate) fn new(weights: &[Tensor], learning_rate: f64) -> Self {
        let zeros = |weight: &Tensor| vec![0.0; weight.numel()];
        let averages =
            weights.iter().map(|weight| Average { gradient: zeros(weight), square: zeros(weight) }).collect();
        Self { learning_rate, steps: 0, averages }
    }

    /// Moves every weight one step along its gradient. `weights` are those that the optimizer was made for.
    pub(crate) fn step(&mut self, weights: &mut [Tensor], gradients: &[Tensor]) {
        self.steps += 1;
        let correction1 = 1.0 - BETA1.powi(self.steps);
        let correction2 = 1.0 - BETA2.powi(self.steps);
        let step_size = (self.learning_rate / correction1) as f32;
        let root_correction2 = correction2.sqrt() as f32;
        for ((weight, gradient), average) in weights.iter_mut().zip(gradients).zip(&mut self.averages) {
            with_numbers(weight, gradient, |weight, gradient| {
                assert_eq!(weight.len(), average.gradient.len());
                let averages = average.gradient.iter_mut().zip(&mut average.square);
                for ((w, &g), (m, v)) in weight.iter_mut().zip(gradient).zip(averages) {
                    *m += (g - *m) * (1.0 - BETA1) as f32;
                    *v = *v * BETA2 as f32 + g * g * (1.0 - BETA2) as f32;
                    *w -= step_size * *m / (v.sqrt() / root_correction2 + EPSILON as f32);
                }
            });
        }
    }
}

/// Calls `change` with the numbers of both tensors, in the order in which they lie in memory.
///
/// # Panics
/// If a tensor is not a row-major f32 tensor in main memory, if their shapes differ, or if they share memory.
#[expect(unsafe_code, reason = "libtorch lends its memory as a raw pointer only")]
fn with_numbers(weight: &mut Tensor, gradient: &Tensor, change: impl FnOnce(&mut [f32], &[f32])) {
    for tensor in [&*weight, gradient] {
        assert!(tensor.kind() == Kind::Float && tensor.device() == Device::Cpu && tensor.is_contiguous());
    }
    assert_eq!(weight.size(), gradient.size());
    let len = weight.numel();
    let (to, from) = (weight.data_ptr().cast::<f32>(), gradient.data_ptr().cast::<f32>().cast_const());
    assert!(len > 0 && !to.is_null() && !from.is_null());
    assert!(to.addr().abs_diff(from.addr()) >= len * size_of::<f32>());

    // SAFETY: each pointer comes from a live tensor that has just been checked to be dense f32 in main memory, so `len`
    // floats that libtorch has initialised and aligned lie behind it. Both tensors are borrowed until `change` returns, so
    // neither allocation is freed or resized meanwhile, and the two ranges do not overlap. Nothing else touches them in that
    // time: `change` is a plain loop that calls no libtorch, no other thread has a view of these tensors (a `Learner` owns its
    // weights and hands out copies only, and a gradient has just been returned to it), and the backward pass is over.
    let (weight, gradient) = unsafe { (slice::from_raw_parts_mut(to, len), slice::from_raw_parts(from, len)) };
    change(weight, gradient);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_step_moves_every_weight_by_the_learning_rate_against_its_gradient() {
        let mut weights = [Tensor::from_slice(&[1.0f32, 2.0, 3.0])];
        let gradients = [Tensor::from_slice(&[0.5f32, -4.0, 0.0])];
        Adam::new(&weights, 0.1).step(&mut weights, &gradients);
        let moved = Vec::<f32>::try_from(&weights[0]).unwrap();
        assert!(moved.iter().zip([0.9, 2.1, 3.0]).all(|(a, b)| (a - b).abs() < 1e-6), "{moved:?}");
    }

    #[test]
    #[should_panic(expected = "is_contiguous")]
    fn a_transposed_tensor_is_refused() {
        let mut weight = Tensor::from_slice(&[1.0f32; 6]).reshape([2, 3]).transpose(0, 1);
        let gradient = Tensor::from_slice(&[1.0f32; 6]).reshape([3, 2]);
        with_numbers(&mut weight, &gradient, |_, _| ());
    }

    #[test]
    #[should_panic(expected = "abs_diff")]
    fn a_tensor_that_shares_the_weights_memory_is_refused() {
        let mut weight = Tensor::from_slice(&[1.0f32; 6]);
        let gradient = weight.shallow_clone();
        with_numbers(&mut weight, &gradient, |_, _| ());
    }
}
