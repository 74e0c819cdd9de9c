//! Scores of images, without training.

use sample::{CLASSES, PIXELS};
use weights::StateDict;

use crate::{
    Isa,
    network::{Activations, Network},
};

/// Images that go through the network together.
const BATCH: usize = 32;

/// A network that computes scores only. It belongs to one thread at a time.
pub struct Scorer {
    isa: Isa,
    network: Network,
    activations: Activations,
}

impl Scorer {
    /// A network with these weights.
    pub fn new(isa: Isa, weights: &StateDict) -> Self {
        let (mut network, mut activations) = (Network::new(weights), Activations::new(BATCH));
        network.prepare(isa, &mut activations);
        Self { isa, network, activations }
    }

    /// The scores of each image for every class, before any softmax. `images` are raw pixels, 784 per image.
    pub fn scores(&mut self, images: &[u8]) -> Vec<[f32; CLASSES]> {
        let mut result = Vec::with_capacity(images.len() / PIXELS);
        for images in images.chunks(BATCH * PIXELS) {
            self.network.forward(self.isa, images, &mut self.activations);
            let scores = &self.activations.scores[..images.len() / PIXELS];
            result.extend(scores.iter().map(|scores| *scores.first_chunk::<CLASSES>().expect("more than classes")));
        }
        result
    }
}
