//! Writing a chunk: samples appended, encoded, digested, and made durable on the disk of the temporary directory.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use sample::{Extent, PIXELS, Samples};
use store::{DatasetId, Mode, Store};

/// The default of the receiver.
const SAMPLES: usize = 1000;

fn write(criterion: &mut Criterion) {
    let samples = Samples { labels: vec![3; SAMPLES], images: vec![7; SAMPLES * PIXELS] };
    let dataset = DatasetId { name: "made-up".into(), digest: "0".repeat(64) };
    let open = || {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(&dir.path().join("chunks"), Mode::Continue, SAMPLES).unwrap();
        store.open_stream("s", &dataset, Extent::range(0..SAMPLES as u64)).unwrap();
        (dir, store)
    };
    let mut group = criterion.benchmark_group("store");
    group.throughput(Throughput::Elements(SAMPLES as u64));
    group.bench_function("write a chunk of 1000 samples", |bencher| {
        let write = |(dir, mut store): (tempfile::TempDir, Store)| {
            store.append("s", 0, samples.as_slice()).unwrap();
            store.commit().unwrap();
            (dir, store) // Criterion drops them, and does not count it.
        };
        bencher.iter_batched(open, write, BatchSize::PerIteration);
    });
}

criterion_group!(benches, write);
criterion_main!(benches);
