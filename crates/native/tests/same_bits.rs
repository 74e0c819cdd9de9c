//! The same bits by every set of instructions that this processor has, and on every processor.

use std::convert::Infallible;

use native::{Isa, Learner, Optimizer, Scorer};
use sample::{CLASSES, PIXELS, random::Stream};
use weights::SIMPLE_CNN;

/// Noisy strokes on a blank ground, and a last image that is noise all over.
fn samples(n: usize) -> (Vec<u8>, Vec<u8>) {
    let mut random = Stream::keyed("strokes", &[7]);
    let labels: Vec<u8> = (0..n).map(|i| (i % CLASSES) as u8).collect();
    let mut images = vec![0; n * PIXELS];
    for (i, (image, &label)) in images.chunks_mut(PIXELS).zip(&labels).enumerate() {
        let (top, left) = (4 + usize::from(label), 20 - 2 * usize::from(label));
        for (pixel, value) in image.iter_mut().enumerate() {
            let (row, column) = (pixel / 28, pixel % 28);
            let in_stroke = (top..top + 4).contains(&row) || (left..left + 3).contains(&column) && row > 5;
            let noise = (256.0 * random.unit_f32()) as u8;
            *value = if in_stroke || i + 1 == n { noise } else { 0 };
        }
    }
    (images, labels)
}

/// Minibatches of every kind: more than a slice, one, a few.
fn trained(isa: Isa, optimizer: Optimizer, learning_rate: f64) -> (String, String) {
    let (images, labels) = samples(84);
    let mut learner = Learner::new(isa, &SIMPLE_CNN.init(42), optimizer, learning_rate);
    let mut rest = (&images[..], &labels[..]);
    let mut losses = Vec::new();
    for count in [70, 1, 13] {
        let ((now, images), (labels, later)) = (rest.0.split_at(count * PIXELS), rest.1.split_at(count));
        let Ok(loss) = learner.step(now, labels, |_| Ok::<_, Infallible>(()));
        losses.push(loss);
        rest = (images, later);
    }
    let weights = learner.state_dict();
    let scores = Scorer::new(isa, &weights).scores(&images[..3 * PIXELS]);
    (weights.sha256(), format!("{losses:?} {scores:?}"))
}

/// Whoever sees another hash here has found a processor, or a compiler, on which the promise does not hold.
#[test]
fn one_seed_gives_these_bits() {
    for (optimizer, learning_rate, expect) in [
        (Optimizer::Adam, 0.001, "8571e01e606447d74fbe3f1f6c5c28e50413146c28a08fd2e943eb3dd2c397dd"),
        (Optimizer::Sgd, 0.05, "85ef3a8be50f122ec8128f383649b8e0abad261911f839e379cbfa78907a3835"),
    ] {
        let all = Isa::available();
        let results: Vec<_> = all.iter().map(|&isa| trained(isa, optimizer, learning_rate)).collect();
        for (isa, result) in all.iter().zip(&results) {
            assert_eq!(result, &results[0], "{}", isa.name());
            assert_eq!(result.0, expect, "{}", isa.name());
        }
    }
}
