//! Compares both ways to compute the network, its gradients and its optimizers with PyTorch's own, from `scripts/reference.py`.

use std::sync::LazyLock;

use safetensors::SafeTensors;
use sample::{CLASSES, PIXELS};

use crate::{Learner, Optimizer, SIMPLE_CNN, Settings, StateDict, Step, evaluate, libtorch, logits};

const BATCH: usize = 9;

/// Of tensors with more than 512 elements the script keeps every 97th.
const SAMPLE: usize = 97;

static ARRAYS: LazyLock<SafeTensors<'_>> =
    LazyLock::new(|| SafeTensors::deserialize(include_bytes!("../tests/reference/arrays.safetensors")).unwrap());

fn f32s(name: &str) -> Vec<f32> {
    let tensor = ARRAYS.tensor(name).unwrap();
    tensor.data().chunks(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

fn f64s(name: &str) -> Vec<f64> {
    let tensor = ARRAYS.tensor(name).unwrap();
    tensor.data().chunks(8).map(|bytes| f64::from_le_bytes(bytes.try_into().unwrap())).collect()
}

/// Integers below 2^16 that look random: a multiplicative hash of the index.
fn noise(stream: usize) -> impl Iterator<Item = u32> {
    (0..).map(move |i: u32| i.wrapping_add(stream as u32 * 1_000_003).wrapping_mul(2_654_435_761) >> 16)
}

/// The script's `weights`: every tensor uniform in ±1/√fan_in.
fn weights() -> StateDict {
    let mut dict = SIMPLE_CNN.zeros();
    let fan_in = [9.0f32, 9.0, 288.0, 288.0, 3136.0, 3136.0, 128.0, 128.0];
    let lengths: Vec<usize> = dict.tensors().map(|(_, _, values)| values.len()).collect();
    let mut rest = dict.values_mut();
    for (stream, (len, fan_in)) in lengths.into_iter().zip(fan_in).enumerate() {
        let (values, tail) = rest.split_at_mut(len);
        for (value, noise) in values.iter_mut().zip(noise(stream)) {
            *value = (noise as f32 / 32768.0 - 1.0) * (1.0 / fan_in.sqrt());
        }
        rest = tail;
    }
    dict
}

/// The script's `images`: a bright bar on a dark noisy ground.
fn images() -> (Vec<u8>, Vec<u8>) {
    let mut pixels: Vec<u8> = noise(100).take(BATCH * PIXELS).map(|noise| (noise % 64) as u8).collect();
    for (n, image) in pixels.chunks_mut(PIXELS).enumerate() {
        for row in 2 * n + 4..2 * n + 8 {
            image[row * 28 + 3 + n..row * 28 + 20 + n % 5].iter_mut().for_each(|pixel| *pixel += 180);
        }
    }
    (pixels, (0..BATCH).map(|n| (3 * n % CLASSES) as u8).collect())
}

#[track_caller]
fn check_close(what: &str, ours: &[f32], theirs: &[f32]) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    // What is not a number is not close either.
    let is_close = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-5;
    let far = ours.iter().zip(theirs).find(|pair| !is_close(*pair));
    assert_eq!(far, None, "{what}");
}

#[track_caller]
fn check_dict(prefix: &str, ours: &StateDict) {
    for (name, _, values) in ours.tensors() {
        let kept: Vec<f32> = values.iter().copied().step_by(if values.len() > 512 { SAMPLE } else { 1 }).collect();
        check_close(&format!("{prefix}/{name}"), &kept, &f32s(&format!("{prefix}/{name}")));
        let sum: f64 = values.iter().map(|&value| f64::from(value)).sum();
        let squares: f64 = values.iter().map(|&value| f64::from(value).powi(2)).sum();
        let expected = f64s(&format!("{prefix}/{name}/sums"));
        let tolerance = 1e-5 * (values.len() as f64 * squares).sqrt().max(1.0);
        assert!((sum - expected[0]).abs() < tolerance, "{prefix}/{name}: sum {sum}, {expected:?}");
        assert!((squares - expected[1]).abs() < 1e-4 * expected[1], "{prefix}/{name}: squares {squares}, {expected:?}");
    }
}

const STEPS: [Step; 2] = [Step::Native, Step::Libtorch];

fn after(step: Step, optimizer: Optimizer, learning_rate: f64, steps: usize) -> StateDict {
    let (images, labels) = images();
    let mut learner = Learner::new(&weights(), Settings { step, optimizer, learning_rate });
    for _ in 0..steps {
        learner.whole_step(&images, &labels);
    }
    learner.state_dict()
}

#[test]
fn the_scores_are_pytorchs() {
    let images = images().0;
    check_close("logits", logits(&weights(), &images).as_flattened(), &f32s("logits"));
    check_close("logits", &libtorch::scores(&weights(), &images), &f32s("logits"));
}

#[test]
fn the_loss_is_pytorchs_in_training_and_in_evaluation() {
    let (images, labels) = images();
    let expected = f64::from(f32s("loss")[0]);
    let evaluated = evaluate(&weights(), &images, &labels).loss;
    assert!((evaluated - expected).abs() < 1e-5, "{evaluated} instead of {expected}");
    for step in STEPS {
        let settings = Settings { step, optimizer: Optimizer::Sgd, learning_rate: 0.0 };
        let trained = Learner::new(&weights(), settings).whole_step(&images, &labels);
        assert!((trained - expected).abs() < 1e-5, "{step:?}: {trained} instead of {expected}");
    }
}

#[test]
fn the_gradients_are_pytorchs() {
    let (images, labels) = images();
    check_dict("gradient", &libtorch::gradients(&weights(), &images, &labels));
    for isa in native::Isa::available() {
        check_dict("gradient", &native::gradients(isa, &weights(), &images, &labels));
    }
}

#[test]
fn a_step_of_sgd_is_pytorchs() {
    STEPS.into_iter().for_each(|step| check_dict("sgd1", &after(step, Optimizer::Sgd, 0.1, 1)));
}

#[test]
fn steps_of_adam_are_pytorchs() {
    STEPS.into_iter().for_each(|step| check_dict("adam1", &after(step, Optimizer::Adam, 1e-3, 1)));
    STEPS.into_iter().for_each(|step| check_dict("adam3", &after(step, Optimizer::Adam, 1e-3, 3)));
}
