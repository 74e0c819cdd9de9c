//! A learner is one model in training: its weights, and an optimizer's memory.

use std::sync::LazyLock;

pub use native::{Isa, Optimizer};

use crate::{StateDict, libtorch};

/// What computes a training step. Either gives the same bits for the same minibatches on any thread; they differ from each
/// other in the last bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The crate `native`: the same bits on every processor, and faster.
    Native,
    /// libtorch: the same bits for the same binary and instruction set.
    Libtorch,
}

/// How a model learns. Everything that is not here is as PyTorch has it by default.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// What computes a step.
    pub step: Step,
    /// How gradients become steps.
    pub optimizer: Optimizer,
    /// Its learning rate.
    pub learning_rate: f64,
}

/// One model being trained, with a fresh optimizer.
///
/// It belongs on one thread from [`Learner::new`] to its end, and computes on that thread only.
pub struct Learner(By);

enum By {
    Native(Box<native::Learner>),
    Libtorch(libtorch::Learner),
}

/// The instructions that the native step uses here.
pub static ISA: LazyLock<Isa> = LazyLock::new(Isa::best);

impl Learner {
    /// Starts from `weights`, with an optimizer that remembers nothing.
    pub fn new(weights: &StateDict, settings: Settings) -> Self {
        let Settings { step, optimizer, learning_rate } = settings;
        Self(match step {
            Step::Native => By::Native(Box::new(native::Learner::new(*ISA, weights, optimizer, learning_rate))),
            Step::Libtorch => By::Libtorch(libtorch::Learner::new(weights, optimizer, learning_rate)),
        })
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
        match &mut self.0 {
            By::Native(learner) => learner.step(images, labels, on_slice),
            By::Libtorch(learner) => learner.step(images, labels, on_slice),
        }
    }

    /// A copy of the weights as they are.
    pub fn state_dict(&self) -> StateDict {
        match &self.0 {
            By::Native(learner) => learner.state_dict(),
            By::Libtorch(learner) => learner.state_dict(),
        }
    }
}

/// How far the native step's gradients of a minibatch are from libtorch's: of all tensors, the largest distance in relation to
/// the tensor's own norm. Rounding makes some 1e-6 of it. Where two positions of a pooling window are equal but for rounding,
/// the two may choose differently, which moves one sample's share of a gradient.
///
/// # Panics
/// As [`Learner::step`].
pub fn gradient_distance(weights: &StateDict, images: &[u8], labels: &[u8]) -> f64 {
    distance(&native::gradients(*ISA, weights, images, labels), &libtorch::gradients(weights, images, labels))
}

/// The largest relative distance of a tensor.
fn distance(of: &StateDict, from: &StateDict) -> f64 {
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
    let relative = |((_, _, a), (_, _, b)): ((_, _, &[f32]), (_, _, &[f32]))| {
        let apart = norm(&mut a.iter().zip(b).map(|(a, b)| f64::from(*a) - f64::from(*b)));
        apart / norm(&mut b.iter().map(|value| f64::from(*value))).max(f64::MIN_POSITIVE)
    };
    // `max` passes over what is not a number, which must count as infinitely far.
    let far = |apart: f64| if apart.is_nan() { f64::INFINITY } else { apart };
    of.tensors().zip(from.tensors()).map(relative).map(far).fold(0.0, f64::max)
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
    use sample::PIXELS;

    use super::*;
    use crate::SIMPLE_CNN;

    const STEPS: [Step; 2] = [Step::Native, Step::Libtorch];
    /// The most samples that either takes through the network at once.
    const SLICE: usize = 64;

    fn learner(step: Step, optimizer: Optimizer, learning_rate: f64) -> Learner {
        Learner::new(&SIMPLE_CNN.init(1), Settings { step, optimizer, learning_rate })
    }

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
        for (optimizer, rate) in [(Optimizer::Adam, 1e-3), (Optimizer::Sgd, 0.05)] {
            let [native, libtorch] = STEPS.map(|step| {
                let mut learner = learner(step, optimizer, rate);
                let losses = pass(&mut learner, &images, &labels, 16);
                let last = *pass(&mut learner, &images, &labels, 16).last().unwrap();
                assert!(losses[0] > 2.0, "{optimizer:?} begins at {}", losses[0]);
                assert!(last < 1.0, "{optimizer:?} ends at {last}");
                losses[0]
            });
            assert!((native - libtorch).abs() < 1e-5, "{native} and {libtorch}");
        }
    }

    #[test]
    fn native_gradients_are_right_to_rounding() {
        let (mut images, labels) = bars(SLICE);
        // Noise of this seed leaves no window where rounding decides between two positions.
        let mut random = sample::random::Stream::keyed("noise", &[2]);
        images.iter_mut().for_each(|pixel| *pixel = pixel.saturating_add((64.0 * random.unit_f32()) as u8));
        let weights = SIMPLE_CNN.init(1);
        let exact = libtorch::exact_gradients(&weights, &images, &labels);
        for isa in Isa::available() {
            let error = distance(&native::gradients(isa, &weights, &images, &labels), &exact);
            assert!(0.0 < error && error < 1e-5, "{}: {error:.1e}", isa.name());
        }
    }

    #[test]
    fn a_wrong_gradient_is_far_from_the_right_one() {
        let (images, labels) = bars(SLICE + 9);
        let weights = SIMPLE_CNN.init(1);
        let near = gradient_distance(&weights, &images, &labels);
        assert!(near < 1e-5, "{near}");
        let right = libtorch::gradients(&weights, &images, &labels);
        for bad in [0.0, f32::NAN] {
            let mut wrong = right.clone();
            wrong.values_mut()[..9].fill(bad);
            assert!(distance(&wrong, &right) > 1e-2, "{bad}");
        }
    }

    #[test]
    fn the_same_minibatches_give_the_same_bits_on_any_thread() {
        let (images, labels) = bars(50);
        for step in STEPS {
            let train = || {
                let mut learner = learner(step, Optimizer::Adam, 1e-3);
                pass(&mut learner, &images, &labels, 16);
                learner.state_dict().sha256()
            };
            let here = train();
            let elsewhere: Vec<String> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..3).map(|_| scope.spawn(train)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert_eq!(elsewhere, [here.as_str(); 3], "{step:?}");
        }
    }

    #[test]
    fn a_minibatch_larger_than_a_slice_has_the_mean_loss_and_gradient_of_its_samples() {
        let (images, labels) = bars(SLICE + 9);
        for by in STEPS {
            let step = |images: &[u8], labels: &[u8]| {
                let mut learner = learner(by, Optimizer::Sgd, 1.0);
                (learner.whole_step(images, labels), learner.state_dict())
            };
            let (loss, together) = step(&images, &labels);
            let (loss1, first) = step(&images[..SLICE * PIXELS], &labels[..SLICE]);
            let (loss2, second) = step(&images[SLICE * PIXELS..], &labels[SLICE..]);
            let share = SLICE as f64 / labels.len() as f64;
            assert!((loss - (share * loss1 + (1.0 - share) * loss2)).abs() < 1e-6, "{by:?}");
            for ((a, b), c) in first.values().iter().zip(second.values()).zip(together.values()) {
                let mean = share * f64::from(*a) + (1.0 - share) * f64::from(*b);
                assert!((mean - f64::from(*c)).abs() < 1e-5, "{by:?}: {mean} and {c}");
            }
        }
    }

    #[test]
    fn a_step_can_be_ended_after_any_slice_and_then_was_none() {
        let (images, labels) = bars(2 * SLICE + 9);
        for step in STEPS {
            let mut learner = learner(step, Optimizer::Adam, 1e-3);
            let mut slices = Vec::new();
            let result = learner.step(&images, &labels, |samples| {
                slices.push(samples);
                if slices.len() < 2 { Ok(()) } else { Err("enough") }
            });
            assert_eq!(result, Err("enough"));
            assert_eq!(slices, [SLICE, SLICE]);
            assert_eq!(learner.state_dict(), SIMPLE_CNN.init(1));
            // Nor is anything left of it.
            let mut fresh = self::learner(step, Optimizer::Adam, 1e-3);
            let losses = [&mut learner, &mut fresh].map(|learner| learner.whole_step(&images, &labels));
            assert_eq!(losses[0], losses[1]);
            assert_eq!(learner.state_dict(), fresh.state_dict(), "{step:?}");
        }
    }

    #[test]
    #[should_panic(expected = "784 pixels per label")]
    fn labels_without_their_images_are_refused() {
        learner(Step::Native, Optimizer::Sgd, 0.1).whole_step(&[0; PIXELS], &[1, 2]);
    }
}
