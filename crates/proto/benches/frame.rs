//! The frame of a batch of 500 samples, the sender's default: made, read, and the checksum in both.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use proto::{
    MAX_BODY,
    frame::{HEADER_BYTES, Header},
    message::{Batch, Message},
};
use sample::{PIXELS, Samples};

const SAMPLES: usize = 500;

fn batch(criterion: &mut Criterion) {
    let samples = Samples { labels: vec![3; SAMPLES], images: vec![7; SAMPLES * PIXELS] };
    let frame = Batch::frame(0, samples.as_slice());
    let (header, body) = frame.split_first_chunk::<HEADER_BYTES>().unwrap();
    let mut group = criterion.benchmark_group("frame of 500 samples");
    group.throughput(Throughput::Bytes(frame.len() as u64));
    group.bench_function("encode", |bencher| bencher.iter(|| Batch::frame(0, black_box(samples.as_slice()))));
    group.bench_function("decode", |bencher| {
        let decode = |body| Message::decode(&Header::decode(black_box(header), MAX_BODY).unwrap(), body).unwrap();
        bencher.iter_batched(|| body.to_vec(), decode, BatchSize::SmallInput);
    });
    group.bench_function("CRC-32C", |bencher| bencher.iter(|| crc32c::crc32c(black_box(body))));
}

criterion_group!(benches, batch);
criterion_main!(benches);
