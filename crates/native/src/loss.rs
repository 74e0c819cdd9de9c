//! Cross-entropy of softmax, and its gradient.

use sample::CLASSES;

use crate::layout::SCORES;

/// Turns the scores of each label's image into the gradient of the minibatch's mean cross-entropy, and returns the sum of
/// the images' own.
///
/// `exp` and `ln` are a library's, in Rust: those of operating systems differ in their last bits.
///
/// # Panics
/// If a label is not below 10.
pub(crate) fn errors(scores: &mut [[f32; SCORES]], labels: &[u8], minibatch: usize) -> f64 {
    let share = 1.0 / minibatch as f32;
    let mut loss = 0.0;
    for (scores, &label) in scores.iter_mut().zip(labels) {
        let scores = scores.first_chunk_mut::<CLASSES>().expect("more than there are classes");
        let label = usize::from(label);
        assert!(label < CLASSES, "a label is below {CLASSES}");
        // The highest score is taken out first, so that no exponential overflows.
        let highest = scores.iter().copied().fold(f32::MIN, f32::max);
        let true_score = scores[label] - highest;
        let mut sum = 0.0;
        for score in scores.iter_mut() {
            *score = libm::expf(*score - highest);
            sum += *score;
        }
        loss += f64::from(libm::logf(sum)) - f64::from(true_score);
        for (class, score) in scores.iter_mut().enumerate() {
            *score = (*score / sum - f32::from(u8::from(class == label))) * share;
        }
    }
    loss
}
