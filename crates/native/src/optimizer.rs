//! The optimizers: how gradients become steps. All but the learning rate is as PyTorch has it by default.

use crate::{Isa, isa::kernel, layout::Layers};

/// How gradients become steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Optimizer {
    /// Adam (Kingma and Ba, 2015) with betas 0.9 and 0.999, epsilon 1e-8 and no weight decay.
    Adam,
    /// Plain stochastic gradient descent: no momentum, no weight decay.
    Sgd,
}

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// An optimizer with its memory.
pub(crate) enum Rule {
    Adam(Box<Adam>),
    Sgd { learning_rate: f64 },
}

pub(crate) struct Adam {
    learning_rate: f64,
    /// The betas to the power of the number of steps: products, since nobody says how `powi` rounds.
    powers: [f64; 2],
    /// Moving averages of every gradient and of its square.
    mean: Layers,
    square: Layers,
}

impl Rule {
    pub(crate) fn new(optimizer: Optimizer, learning_rate: f64) -> Self {
        match optimizer {
            Optimizer::Adam => {
                let adam = Adam { learning_rate, powers: [1.0; 2], mean: Layers::zeros(), square: Layers::zeros() };
                Self::Adam(Box::new(adam))
            }
            Optimizer::Sgd => Self::Sgd { learning_rate },
        }
    }

    /// Moves every weight one step along its gradient.
    pub(crate) fn step(&mut self, isa: Isa, weights: &mut Layers, gradients: &mut Layers) {
        let pairs = weights.blocks_mut().zip(gradients.blocks_mut());
        match self {
            Self::Sgd { learning_rate } => {
                for (weights, gradients) in pairs {
                    for (weight, gradient) in weights.iter_mut().zip(gradients) {
                        *weight -= *learning_rate as f32 * *gradient;
                    }
                }
            }
            Self::Adam(adam) => {
                adam.powers[0] *= BETA1;
                adam.powers[1] *= BETA2;
                let step_size = (adam.learning_rate / (1.0 - adam.powers[0])) as f32;
                let root_correction = (1.0 - adam.powers[1]).sqrt() as f32;
                let averages = adam.mean.blocks_mut().zip(adam.square.blocks_mut());
                for ((weights, gradients), (mean, square)) in pairs.zip(averages) {
                    move_by_adam(isa, step_size, root_correction, weights, gradients, mean, square);
                }
            }
        }
    }
}

kernel! {
    fn move_by_adam<const LARGE: bool>(
        step_size: f32,
        root_correction: f32,
        weights: &mut [f32],
        gradients: &[f32],
        mean: &mut [f32],
        square: &mut [f32],
    ) {
        for (((w, &g), m), v) in weights.iter_mut().zip(gradients).zip(mean).zip(square) {
            *m = (g - *m).mul_add((1.0 - BETA1) as f32, *m);
            *v = (g * g).mul_add((1.0 - BETA2) as f32, *v * BETA2 as f32);
            *w -= step_size * *m / (v.sqrt() / root_correction + EPSILON as f32);
        }
    }
}
