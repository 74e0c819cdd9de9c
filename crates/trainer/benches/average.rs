//! Averaging the models of twelve partitions.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use flags::Weighting;
use model::SIMPLE_CNN;
use run_folder::ServerState;
use trainer::round::{
    local::LocalUpdate,
    strategy::{FedAvg, Strategy},
};

fn twelve(criterion: &mut Criterion) {
    let update = |partition: u32| LocalUpdate {
        partition,
        state_dict: SIMPLE_CNN.init(partition.into()),
        n_samples: 1667,
        train_loss: 0.1,
    };
    let updates: Vec<LocalUpdate> = (0..12).map(update).collect();
    let (global, strategy) = (SIMPLE_CNN.init(12), FedAvg { weighting: Weighting::Samples });
    criterion.bench_function("average of 12 models", |bencher| {
        bencher.iter(|| strategy.step(&mut ServerState::default(), &global, black_box(&updates)));
    });
}

criterion_group!(benches, twelve);
criterion_main!(benches);
