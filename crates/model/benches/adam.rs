//! One step of Adam over all 421,642 weights of SimpleCnn.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tch::{Device, Kind, Tensor};

// The optimizer is private to `model`; here it is compiled by itself.
#[path = "../src/adam.rs"]
#[expect(unused_imports, reason = "without a test harness, the imports of its tests are all that is left of them")]
mod adam;

/// Of the layers, weights and bias each.
const SHAPES: [&[i64]; 8] = [&[32, 9], &[32], &[64, 288], &[64], &[128, 3136], &[128], &[10, 128], &[10]];

fn step(criterion: &mut Criterion) {
    tch::set_num_threads(1);
    let tensors = || SHAPES.map(|shape| Tensor::ones(shape, (Kind::Float, Device::Cpu)));
    let (mut weights, gradients) = (tensors(), tensors());
    let mut adam = adam::Adam::new(&weights, 1e-3);
    let mut group = criterion.benchmark_group("model");
    group.throughput(Throughput::Elements(weights.iter().map(|weight| weight.numel() as u64).sum()));
    group.bench_function("step of Adam", |bencher| bencher.iter(|| adam.step(&mut weights, &gradients)));
}

criterion_group!(benches, step);
criterion_main!(benches);
