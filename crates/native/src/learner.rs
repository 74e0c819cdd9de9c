//! One model in training: its weights, an optimizer, and room for a slice of samples.

use std::convert::Infallible;

use sample::PIXELS;
use weights::StateDict;

use crate::{
    Isa, conv1,
    conv2::{self, ByRow},
    layout::{Aligned, C1, C2, HIDDEN, Layers, Maps1, Maps2, PADDED1, SPAN, WINDOWS},
    linear, loss,
    network::{Activations, Network},
    optimizer::{Optimizer, Rule},
};

/// The most samples that go through the network at once: the bits of a set. Larger minibatches are cut and their gradients
/// added up.
const SLICE: usize = 64;

/// One model being trained, with a fresh optimizer.
///
/// The same weights and the same minibatches give the same bits, on whatever processor and with whatever instructions.
pub struct Learner {
    isa: Isa,
    network: Network,
    gradients: Layers,
    rule: Rule,
    activations: Activations,
    backward: Backward,
}

/// What the backward pass needs beside it.
struct Backward {
    by_row: Box<Aligned<ByRow>>,
    hidden: Vec<Aligned<[f32; HIDDEN]>>,
    maps2: Vec<Aligned<Maps2>>,
    maps1: Box<Aligned<Maps1>>,
}

impl Learner {
    /// Starts from `weights`, with an optimizer that remembers nothing.
    pub fn new(isa: Isa, weights: &StateDict, optimizer: Optimizer, learning_rate: f64) -> Self {
        Self {
            isa,
            network: Network::new(weights),
            gradients: Layers::zeros(),
            rule: Rule::new(optimizer, learning_rate),
            activations: Activations::new(SLICE),
            backward: Backward {
                by_row: Box::new(Aligned([[[0.0; SPAN]; C2]; 3])),
                hidden: vec![Aligned([0.0; HIDDEN]); SLICE],
                maps2: vec![Aligned([[0.0; C2]; WINDOWS]); SLICE],
                maps1: Box::new(Aligned([[[0.0; C1]; PADDED1]; PADDED1])),
            },
        }
    }

    /// One step of the optimizer on a minibatch; returns its mean cross-entropy before the step.
    ///
    /// `images` are raw pixels, 784 per image; `labels` are below 10, one per image. `on_slice` is told, a few dozen samples
    /// at a time, how many more have been through the network.
    ///
    /// # Errors
    /// That of `on_slice`, which ends the step at once and leaves the weights as they were.
    ///
    /// # Panics
    /// If the minibatch is empty, the two lengths do not belong together, or a label is not below 10.
    pub fn step<E>(
        &mut self,
        images: &[u8],
        labels: &[u8],
        on_slice: impl FnMut(usize) -> Result<(), E>,
    ) -> Result<f64, E> {
        let loss = self.pass(images, labels, on_slice)?;
        self.rule.step(self.isa, &mut self.network.layers, &mut self.gradients);
        Ok(loss)
    }

    /// The mean cross-entropy of a minibatch, and its gradients into `self.gradients`.
    fn pass<E>(
        &mut self,
        images: &[u8],
        labels: &[u8],
        mut on_slice: impl FnMut(usize) -> Result<(), E>,
    ) -> Result<f64, E> {
        assert!(!labels.is_empty(), "a minibatch has at least one sample");
        assert_eq!(images.len(), labels.len() * PIXELS, "{PIXELS} pixels per label");
        self.begin();
        let mut loss = 0.0;
        for (images, slice) in images.chunks(SLICE * PIXELS).zip(labels.chunks(SLICE)) {
            loss += self.slice(images, slice, labels.len());
            on_slice(slice.len())?;
        }
        Ok(loss / labels.len() as f64)
    }

    // What follows has no type parameters, so that it is compiled, and optimised, in this crate.

    fn begin(&mut self) {
        self.gradients.blocks_mut().for_each(|block| block.fill(0.0));
        self.network.prepare(self.isa, &mut self.activations);
        conv2::by_row(&self.network.layers, &mut self.backward.by_row);
    }

    /// Adds a slice's part to the gradients of a minibatch of so many samples; returns the sum of its samples' losses.
    fn slice(&mut self, images: &[u8], labels: &[u8], minibatch: usize) -> f64 {
        self.network.forward(self.isa, images, &mut self.activations);
        let loss = loss::errors(&mut self.activations.scores, labels, minibatch);
        self.backward(labels.len());
        loss
    }

    /// Adds the gradients of a slice whose scores have become their errors.
    fn backward(&mut self, n: usize) {
        let Self { isa, network, gradients, activations, backward, .. } = self;
        let Backward { by_row, hidden, maps2, maps1 } = backward;
        let a = activations;
        let (living, hidden) = (&a.living[..n], &mut hidden[..n]);
        linear::hidden_gradient(*isa, &network.layers, &a.hidden[..n], &a.scores[..n], hidden, gradients);
        linear::weight_gradients(*isa, &a.maps2[..n], living, hidden, gradients);
        linear::input_gradient(*isa, &network.layers, living, hidden, &mut maps2[..n]);
        for (sample, gradient) in maps2[..n].iter().enumerate() {
            let winners = &a.winners2[sample];
            conv2::weight_gradients(*isa, &a.maps1[sample], winners, &a.living[sample], gradient, gradients);
            conv2::input_gradient(*isa, by_row, winners, gradient, maps1);
            conv1::gradients(*isa, &a.inputs[sample], &a.winners1[sample], maps1, gradients);
        }
    }

    /// A copy of the weights as they are.
    pub fn state_dict(&self) -> StateDict {
        self.network.layers.to_state_dict()
    }
}

/// How the mean cross-entropy of a minibatch depends on each weight.
///
/// # Panics
/// As [`Learner::step`].
pub fn gradients(isa: Isa, weights: &StateDict, images: &[u8], labels: &[u8]) -> StateDict {
    let mut learner = Learner::new(isa, weights, Optimizer::Sgd, 0.0);
    let Ok(_) = learner.pass(images, labels, |_| Ok::<_, Infallible>(()));
    learner.gradients.to_state_dict()
}
