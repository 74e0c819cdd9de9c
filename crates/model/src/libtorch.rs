//! SimpleCnn on libtorch: the definition of the network, and the step that the native one is measured against.

mod adam;
mod network;

use native::Optimizer;
use sample::PIXELS;
use tch::Tensor;

use self::adam::Adam;
use self::network::{Network, preprocess, targets, use_one_thread};
use crate::StateDict;

/// The most samples that go through the network at once. Larger minibatches are cut and their gradients added up, which
/// changes nothing but the last bits, keeps a step within some tens of megabytes whatever the minibatch, and is faster.
const SLICE: usize = 64;

/// One model being trained, with a fresh optimizer.
///
/// It belongs on one thread from [`Learner::new`] to its end, and computes on that thread only. The same weights and the
/// same minibatches give the same bits, whatever other threads do.
pub(crate) struct Learner {
    network: Network,
    rule: Rule,
}

enum Rule {
    Adam(Adam),
    Sgd { learning_rate: f64 },
}

impl Learner {
    /// Starts from `weights`, with an optimizer that remembers nothing.
    pub(crate) fn new(weights: &StateDict, optimizer: Optimizer, learning_rate: f64) -> Self {
        use_one_thread();
        let network = Network::new(weights).trainable();
        let rule = match optimizer {
            Optimizer::Adam => Rule::Adam(Adam::new(&network.weights, learning_rate)),
            Optimizer::Sgd => Rule::Sgd { learning_rate },
        };
        Self { network, rule }
    }

    /// As [`crate::Learner::step`].
    pub(crate) fn step<E>(
        &mut self,
        images: &[u8],
        labels: &[u8],
        on_slice: impl FnMut(usize) -> Result<(), E>,
    ) -> Result<f64, E> {
        let (loss, gradients) = self.gradients(images, labels, on_slice)?;
        match &mut self.rule {
            Rule::Adam(adam) => adam.step(&mut self.network.weights, &gradients),
            Rule::Sgd { learning_rate } => tch::no_grad(|| {
                for (weight, gradient) in self.network.weights.iter_mut().zip(&gradients) {
                    *weight -= gradient * *learning_rate;
                }
            }),
        }
        Ok(loss)
    }

    /// A copy of the weights as they are.
    pub(crate) fn state_dict(&self) -> StateDict {
        self.network.state_dict()
    }

    /// The mean cross-entropy of a minibatch, and how it depends on each tensor of weights (dense, channels last).
    fn gradients<E>(
        &self,
        images: &[u8],
        labels: &[u8],
        mut on_slice: impl FnMut(usize) -> Result<(), E>,
    ) -> Result<(f64, Vec<Tensor>), E> {
        assert!(!labels.is_empty(), "a minibatch has at least one sample");
        assert_eq!(images.len(), labels.len() * PIXELS, "{PIXELS} pixels per label");
        let mut loss = 0.0;
        let mut sums: Vec<Tensor> = Vec::new();
        for (images, labels_here) in images.chunks(SLICE * PIXELS).zip(labels.chunks(SLICE)) {
            // A slice counts by its share of the minibatch, so that the slices' losses add up to the minibatch's mean.
            let share = labels_here.len() as f64 / labels.len() as f64;
            let scores = self.network.forward(&preprocess(images));
            let slice_loss = scores.cross_entropy_for_logits(&targets(labels_here)) * share;
            let gradients = Tensor::run_backward(&[&slice_loss], &self.network.weights, false, false);
            loss += slice_loss.double_value(&[]);
            if sums.is_empty() {
                sums = gradients;
            } else {
                sums.iter_mut().zip(&gradients).for_each(|(sum, gradient)| *sum += gradient);
            }
            on_slice(labels_here.len())?;
        }
        // The convolutions give their gradients channels last already; then this copies nothing.
        Ok((loss, sums.iter().map(Tensor::contiguous).collect()))
    }
}

/// How the mean cross-entropy of a minibatch depends on each weight.
///
/// # Panics
/// As [`Learner::step`](crate::Learner::step).
pub(crate) fn gradients(weights: &StateDict, images: &[u8], labels: &[u8]) -> StateDict {
    let learner = Learner::new(weights, Optimizer::Sgd, 0.0);
    let Ok((_, gradients)) = learner.gradients(images, labels, |_| Ok::<_, std::convert::Infallible>(()));
    // Gradients have the layout of weights.
    Network { weights: gradients, ..learner.network }.state_dict()
}

/// [`gradients`] in double precision.
#[cfg(test)]
pub(crate) fn exact_gradients(weights: &StateDict, images: &[u8], labels: &[u8]) -> StateDict {
    use tch::Kind::{Double, Float};

    let mut learner = Learner::new(weights, Optimizer::Sgd, 0.0);
    let exact = |weight: &Tensor| weight.detach().to_kind(Double).set_requires_grad(true);
    learner.network.weights = learner.network.weights.iter().map(exact).collect();
    let Ok((_, gradients)) = learner.gradients(images, labels, |_| Ok::<_, std::convert::Infallible>(()));
    let weights = gradients.iter().map(|gradient| gradient.to_kind(Float)).collect();
    Network { weights, ..learner.network }.state_dict()
}

/// The scores of each image by libtorch.
#[cfg(test)]
pub(crate) fn scores(weights: &StateDict, images: &[u8]) -> Vec<f32> {
    let scores = Network::new(weights).forward(&preprocess(images)).flatten(0, 1);
    Vec::try_from(scores).expect("one dimension of f32")
}
