//! Averaging the models of twelve partitions.

use std::hint::black_box;

use cli::flags::Weighting;
use criterion::{Criterion, criterion_group, criterion_main};
use model::StateDict;
use trainer::{average::average, local::LocalUpdate};

fn twelve(criterion: &mut Criterion) {
    let update = |partition: u32| LocalUpdate {
        partition,
        state_dict: StateDict::init(partition.into()),
        n_samples: 1667,
        train_loss: 0.1,
    };
    let updates: Vec<LocalUpdate> = (0..12).map(update).collect();
    criterion.bench_function("average of 12 models", |bencher| {
        bencher.iter(|| average(black_box(&updates), Weighting::Samples));
    });
}

criterion_group!(benches, twelve);
criterion_main!(benches);
