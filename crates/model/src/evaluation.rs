//! How good weights are on samples that they are not being trained on.

use native::{Scorer, best, cross_entropy};
use rayon::prelude::*;
use sample::{CLASSES, PIXELS};

use crate::{ISA, StateDict};

/// Images that a thread takes at a time.
const BATCH: usize = 100;

/// What came out of running weights over labelled images.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// The number of images.
    pub n: usize,
    /// How many of them got their highest score for the right class.
    pub correct: usize,
    /// The mean cross-entropy, in nats; zero if there were no images.
    pub loss: f64,
    /// How many images of each class (first index) were taken for each class (second index).
    pub confusion: [[u64; CLASSES]; CLASSES],
}

impl Evaluation {
    /// The share of images that were recognised, from 0 to 1; zero if there were none.
    pub fn accuracy(&self) -> f64 {
        if self.n == 0 { 0.0 } else { self.correct as f64 / self.n as f64 }
    }
}

/// Runs the weights over labelled images, in parallel on the current rayon pool. The result is the same to the bit
/// whatever the number of threads.
///
/// `images` are raw pixels, 784 per image; `labels` are below 10, one per image.
///
/// # Panics
/// If the two lengths do not belong together or a label is not below 10.
pub fn evaluate(weights: &StateDict, images: &[u8], labels: &[u8]) -> Evaluation {
    measure(&logits(weights, images), labels)
}

/// What [`evaluate`] says of images that got these scores.
///
/// # Panics
/// If there is not one label for the scores of each image, or a label is not below 10.
pub fn measure(scores: &[[f32; CLASSES]], labels: &[u8]) -> Evaluation {
    assert_eq!(scores.len(), labels.len(), "one label for each image");
    let mut confusion = [[0; CLASSES]; CLASSES];
    let mut loss = 0.0;
    for (scores, &label) in scores.iter().zip(labels) {
        let label = usize::from(label);
        confusion[label][best(scores)] += 1;
        loss += cross_entropy(scores, label);
    }
    let n = labels.len();
    let correct = (0..CLASSES).map(|class| confusion[class][class] as usize).sum();
    Evaluation { n, correct, loss: if n == 0 { 0.0 } else { loss / n as f64 }, confusion }
}

/// The scores of every image for every class, before any softmax; the predicted class is that of the highest score.
/// Runs in parallel on the current rayon pool.
///
/// `images` are raw pixels, 784 per image.
///
/// # Panics
/// If `images` is not a whole number of images.
pub fn logits(weights: &StateDict, images: &[u8]) -> Vec<[f32; CLASSES]> {
    assert_eq!(images.len() % PIXELS, 0, "{PIXELS} pixels per image");
    let batches: Vec<Vec<[f32; CLASSES]>> = images
        .par_chunks(BATCH * PIXELS)
        .map_init(|| Scorer::new(*ISA, weights), |scorer, images| scorer.scores(images))
        .collect();
    batches.concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SIMPLE_CNN;

    /// Two full batches and a short one, of noise.
    fn noise() -> (Vec<u8>, Vec<u8>) {
        let n = 2 * BATCH + 17;
        let images = (0..n * PIXELS).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        (images, (0..n).map(|i| (i % CLASSES) as u8).collect())
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let (images, labels) = noise();
        let weights = SIMPLE_CNN.init(9);
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| evaluate(&weights, &images, &labels))
        };
        let alone = with(1);
        assert_eq!(alone.n, labels.len());
        assert_eq!(alone.confusion.as_flattened().iter().sum::<u64>(), labels.len() as u64);
        assert_eq!(with(2), alone);
        assert_eq!(with(5), alone);
    }

    #[test]
    fn a_short_last_batch_gets_the_scores_it_gets_alone() {
        let (images, _) = noise();
        let weights = SIMPLE_CNN.init(9);
        let all = logits(&weights, &images);
        let last = logits(&weights, &images[2 * BATCH * PIXELS..]);
        assert_eq!(all[2 * BATCH..], last);
    }

    #[test]
    fn equal_scores_cost_the_logarithm_of_ten_and_count_as_class_zero() {
        let (images, labels) = noise();
        let evaluation = evaluate(&SIMPLE_CNN.zeros(), &images, &labels);
        assert!((evaluation.loss - 10f64.ln()).abs() < 1e-12);
        let count = |class| labels.iter().filter(|&&label| label == class).count();
        assert_eq!(evaluation.correct, count(0));
        assert_eq!(evaluation.confusion[3], [count(3) as u64, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert!((evaluation.accuracy() - count(0) as f64 / labels.len() as f64).abs() < 1e-12);
    }

    #[test]
    fn no_images_are_evaluated_without_a_division_by_zero() {
        let evaluation = evaluate(&SIMPLE_CNN.zeros(), &[], &[]);
        assert_eq!((evaluation.n, evaluation.loss, evaluation.accuracy()), (0, 0.0, 0.0));
    }
}
