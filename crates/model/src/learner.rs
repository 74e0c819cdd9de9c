//! A learner is one model in training: its weights as tensors, and an optimizer's memory.

use sample::PIXELS;
use tch::{Kind, Tensor};

use crate::StateDict;
use crate::adam::Adam;
use crate::network::{Network, preprocess, targets, use_one_thread};

/// The most samples that go through the network at once. Larger minibatches are cut and their gradients added up, which
/// changes nothing but the last bits, keeps a step within some tens of megabytes whatever the minibatch, and is faster.
const SLICE: usize = 64;

/// How gradients become steps. Everything but the learning rate is as PyTorch has it by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Optimizer {
    /// Adam with betas 0.9 and 0.999, epsilon 1e-8 and no weight decay.
    Adam,
    /// Plain stochastic gradient descent: no momentum, no weight decay.
    Sgd,
}

/// What the forward and the backward pass compute in. Weights, the optimizer's memory and the loss are f32 in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Single precision.
    F32,
    /// bfloat16: the range of f32 with 8 significant bits. Processors with AVX512-BF16 or AMX multiply it much faster.
    Bf16,
}

/// One model being trained, with a fresh optimizer.
///
/// It belongs on one thread from [`Learner::new`] to its end, and computes on that thread only. The same weights and the
/// same minibatches give the same bits, whatever other threads do.
pub struct Learner {
    /// The weights, which the optimizer moves.
    master: Network,
    /// What the passes go through, if that is a copy of the weights in another precision.
    copy: Option<Network>,
    rule: Rule,
}

enum Rule {
    Adam(Adam),
    Sgd { learning_rate: f64 },
}

impl Learner {
    /// Starts from `weights`, with an optimizer that remembers nothing.
    pub fn new(weights: &StateDict, optimizer: Optimizer, learning_rate: f64, precision: Precision) -> Self {
        use_one_thread();
        let weights = Network::new(weights);
        let rule = match optimizer {
            Optimizer::Adam => Rule::Adam(Adam::new(&weights.weights, learning_rate)),
            Optimizer::Sgd => Rule::Sgd { learning_rate },
        };
        match precision {
            Precision::F32 => Self { master: weights.trainable(Kind::Float), copy: None, rule },
            Precision::Bf16 => Self { copy: Some(weights.trainable(Kind::BFloat16)), master: weights, rule },
        }
    }

    /// One step of the optimizer on a minibatch; returns its mean cross-entropy before the step.
    ///
    /// `images` are raw pixels, 784 per image; `labels` are below 10, one per image. A large minibatch takes many seconds,
    /// so `on_slice` is told, a few dozen samples at a time, how many more have been through the network.
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
        let (loss, gradients) = self.gradients(images, labels, on_slice)?;
        match &mut self.rule {
            Rule::Adam(adam) => adam.step(&mut self.master.weights, &gradients),
            Rule::Sgd { learning_rate } => tch::no_grad(|| {
                for (weight, gradient) in self.master.weights.iter_mut().zip(&gradients) {
                    *weight -= gradient * *learning_rate;
                }
            }),
        }
        if let Some(copy) = &mut self.copy {
            copy.follow(&self.master);
        }
        Ok(loss)
    }

    /// A copy of the weights as they are.
    pub fn state_dict(&self) -> StateDict {
        self.master.state_dict()
    }

    /// The mean cross-entropy of a minibatch, and how it depends on each tensor of weights (f32, dense, channels last).
    pub(crate) fn gradients<E>(
        &self,
        images: &[u8],
        labels: &[u8],
        mut on_slice: impl FnMut(usize) -> Result<(), E>,
    ) -> Result<(f64, Vec<Tensor>), E> {
        assert!(!labels.is_empty(), "a minibatch has at least one sample");
        assert_eq!(images.len(), labels.len() * PIXELS, "{PIXELS} pixels per label");
        let network = self.copy.as_ref().unwrap_or(&self.master);
        let mut loss = 0.0;
        let mut sums: Vec<Tensor> = Vec::new();
        for (images, labels_here) in images.chunks(SLICE * PIXELS).zip(labels.chunks(SLICE)) {
            // A slice counts by its share of the minibatch, so that the slices' losses add up to the minibatch's mean.
            let share = labels_here.len() as f64 / labels.len() as f64;
            let scores = network.forward(&preprocess(images));
            let slice_loss = scores.cross_entropy_for_logits(&targets(labels_here)) * share;
            let gradients = Tensor::run_backward(&[&slice_loss], &network.weights, false, false);
            let gradients = gradients.iter().map(|gradient| gradient.to_kind(Kind::Float)).collect::<Vec<_>>();
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

#[cfg(test)]
impl Learner {
    /// A step that nothing interrupts.
    pub(crate) fn whole_step(&mut self, images: &[u8], labels: &[u8]) -> f64 {
        let Ok(loss) = self.step(images, labels, |_| Ok::<_, std::convert::Infallible>(()));
        loss
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SIMPLE_CNN;

    /// Images in which a bright row says which class it is, so that they can be learnt.
    fn bars(n: usize) -> (Vec<u8>, Vec<u8>) {
        let labels: Vec<u8> = (0..n).map(|i| (i * 7 % 10) as u8).collect();
        let mut images = vec![0; n * PIXELS];
        for (image, &label) in images.chunks_mut(PIXELS).zip(&labels) {
            let row = 28 * (2 * usize::from(label) + 3);
            image[row..row + 56].fill(200);
        }
        (images, labels)
    }

    /// The loss of every step of one pass, and the weights at its end.
    fn pass(learner: &mut Learner, images: &[u8], labels: &[u8], batch: usize) -> Vec<f64> {
        images
            .chunks(batch * PIXELS)
            .zip(labels.chunks(batch))
            .map(|(images, labels)| learner.whole_step(images, labels))
            .collect()
    }

    #[test]
    fn the_loss_falls_under_either_optimizer() {
        let (images, labels) = bars(160);
        let (rates, precisions) =
            ([(Optimizer::Adam, 1e-3), (Optimizer::Sgd, 0.05)], [Precision::F32, Precision::Bf16]);
        for ((optimizer, rate), precision) in
            rates.iter().flat_map(|&rate| precisions.map(|precision| (rate, precision)))
        {
            let mut learner = Learner::new(&SIMPLE_CNN.init(1), optimizer, rate, precision);
            let losses = pass(&mut learner, &images, &labels, 16);
            let last = *pass(&mut learner, &images, &labels, 16).last().unwrap();
            assert!(losses[0] > 2.0, "{optimizer:?} begins at {}", losses[0]);
            assert!(last < 1.0, "{optimizer:?} ends at {last}");
        }
    }

    #[test]
    fn gradients_in_bf16_are_those_in_f32_to_its_rounding() {
        let (images, labels) = bars(SLICE + 9);
        let [f32s, bf16s] = [Precision::F32, Precision::Bf16].map(|precision| {
            let learner = Learner::new(&SIMPLE_CNN.init(1), Optimizer::Sgd, 0.1, precision);
            let Ok((loss, gradients)) = learner.gradients(&images, &labels, |_| Ok::<_, std::convert::Infallible>(()));
            assert!(gradients.iter().all(|gradient| gradient.kind() == Kind::Float && gradient.is_contiguous()));
            (loss, gradients)
        });
        assert!((f32s.0 - bf16s.0).abs() < 0.01, "{} and {}", f32s.0, bf16s.0);
        for (f32s, bf16s) in f32s.1.iter().zip(&bf16s.1) {
            // It has 8 significant bits, and pooling may choose another one of pixels that are almost equal.
            let error = (f32s - bf16s).norm().double_value(&[]) / f32s.norm().double_value(&[]);
            assert!(0.0 < error && error < 0.1, "{error} in {:?}", f32s.size());
        }
    }

    #[test]
    fn the_same_minibatches_give_the_same_bits_on_any_thread() {
        let (images, labels) = bars(50);
        let train = || {
            let mut learner = Learner::new(&SIMPLE_CNN.init(1), Optimizer::Adam, 1e-3, Precision::F32);
            pass(&mut learner, &images, &labels, 16);
            learner.state_dict().sha256()
        };
        let here = train();
        let elsewhere: Vec<String> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..3).map(|_| scope.spawn(train)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(elsewhere, [here.as_str(); 3]);
    }

    #[test]
    fn a_minibatch_larger_than_a_slice_has_the_mean_loss_and_gradient_of_its_samples() {
        let (images, labels) = bars(SLICE + 9);
        let weights = SIMPLE_CNN.init(1);
        let step = |images: &[u8], labels: &[u8]| {
            let mut learner = Learner::new(&weights, Optimizer::Sgd, 1.0, Precision::F32);
            let loss = learner.whole_step(images, labels);
            (loss, learner.state_dict())
        };
        let (loss, together) = step(&images, &labels);
        let (loss1, first) = step(&images[..SLICE * PIXELS], &labels[..SLICE]);
        let (loss2, second) = step(&images[SLICE * PIXELS..], &labels[SLICE..]);
        let share = SLICE as f64 / labels.len() as f64;
        assert!((loss - (share * loss1 + (1.0 - share) * loss2)).abs() < 1e-6);
        for ((a, b), c) in first.values().iter().zip(second.values()).zip(together.values()) {
            let mean = share * f64::from(*a) + (1.0 - share) * f64::from(*b);
            assert!((mean - f64::from(*c)).abs() < 1e-5, "{mean} and {c}");
        }
    }

    #[test]
    fn a_step_can_be_ended_after_any_slice_and_then_was_none() {
        let (images, labels) = bars(2 * SLICE + 9);
        let mut learner = Learner::new(&SIMPLE_CNN.init(1), Optimizer::Adam, 1e-3, Precision::F32);
        let mut slices = Vec::new();
        let result = learner.step(&images, &labels, |samples| {
            slices.push(samples);
            if slices.len() < 2 { Ok(()) } else { Err("enough") }
        });
        assert_eq!(result, Err("enough"));
        assert_eq!(slices, [SLICE, SLICE]);
        assert_eq!(learner.state_dict(), SIMPLE_CNN.init(1));
    }

    #[test]
    #[should_panic(expected = "784 pixels per label")]
    fn labels_without_their_images_are_refused() {
        Learner::new(&SIMPLE_CNN.zeros(), Optimizer::Sgd, 0.1, Precision::F32).whole_step(&[0; PIXELS], &[1, 2]);
    }
}
