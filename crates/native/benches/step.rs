//! Training steps from fresh weights, by each fast set of instructions that this processor has; on MNIST where it is to be had
//! (`$MNIST_DIR`, `data/mnist`), else on drawn digits.

use std::convert::Infallible;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use dataset::{Dataset, Split};
use native::{Isa, Learner, Optimizer};
use sample::PIXELS;
use weights::SIMPLE_CNN;

const STEPS: usize = 100;

fn step(criterion: &mut Criterion) {
    let Dataset { name, samples, .. } = digits();
    let mut group = criterion.benchmark_group("native");
    group.sample_size(10);
    for isa in Isa::available().into_iter().filter(|isa| !isa.is_slow()) {
        for minibatch in [32, 64] {
            group.throughput(Throughput::Elements((STEPS * minibatch) as u64));
            let fresh = || Learner::new(isa, &SIMPLE_CNN.init(42), Optimizer::Adam, 1e-3);
            let train = |mut learner: Learner| {
                let slice = samples.slice(0..STEPS * minibatch);
                for (images, labels) in slice.images.chunks(minibatch * PIXELS).zip(slice.labels.chunks(minibatch)) {
                    let Ok(_) = learner.step(images, labels, |_| Ok::<_, Infallible>(()));
                }
                learner // Criterion drops it, and does not count it.
            };
            let what = format!("{STEPS} steps of {minibatch}, {}, {name}", isa.name());
            group.bench_function(what, |bencher| bencher.iter_batched(fresh, train, BatchSize::PerIteration));
        }
    }
}

fn digits() -> Dataset {
    let mnist = dataset::environment().unwrap_or_else(|| dataset::default_dir("mnist"));
    dataset::load(&mnist, Split::Train).unwrap_or_else(|_| {
        let dir = tempfile::tempdir().unwrap();
        dataset::draw_all(dir.path(), [STEPS * 64, 10], &mut |_, _| ()).unwrap();
        dataset::load(dir.path(), Split::Train).unwrap()
    })
}

criterion_group!(benches, step);
criterion_main!(benches);
