//! What scores say: which class, and how probable it is.

use sample::CLASSES;

/// The softmax of an image's scores: the probability of each class.
pub fn probabilities(scores: &[f32; CLASSES]) -> [f64; CLASSES] {
    std::array::from_fn(|class| libm::exp(-cross_entropy(scores, class)))
}

/// The class of the highest score, the first of them if there are several.
pub fn best(scores: &[f32; CLASSES]) -> usize {
    (1..CLASSES).fold(0, |best, class| if scores[class] > scores[best] { class } else { best })
}

/// Minus the logarithm of the probability that softmax gives to `label`. `exp` and `log` are a library's, in Rust: those of
/// operating systems differ in their last bits.
pub fn cross_entropy(scores: &[f32; CLASSES], label: usize) -> f64 {
    // The highest score is taken out first, so that no exponential overflows.
    let highest = f64::from(scores[best(scores)]);
    let sum: f64 = scores.iter().map(|&score| libm::exp(f64::from(score) - highest)).sum();
    libm::log(sum) + highest - f64::from(scores[label])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_sum_to_one_equal_scores_share_it_and_huge_ones_do_not_overflow() {
        let mut scores = [0.0; CLASSES];
        assert!(probabilities(&scores).iter().all(|share| (share - 0.1).abs() < 1e-12));
        scores[3] = 2.0;
        assert!((probabilities(&scores).iter().sum::<f64>() - 1.0).abs() < 1e-12);
        scores[3] = 1000.0;
        assert_eq!((cross_entropy(&scores, 3), cross_entropy(&scores, 5)), (0.0, 1000.0));
    }
}
