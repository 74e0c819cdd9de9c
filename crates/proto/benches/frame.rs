//! The frame of a batch of 500 samples, the sender's default: made, read, and the checksum in both.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use proto::{
    IMAGE_BYTES, MAX_BODY,
    frame::{HEADER_BYTES, Header},
    message::{Batch, Message},
};

const SAMPLES: usize = 500;

fn batch(criterion: &mut Criterion) {
    let (labels, images) = (vec![3; SAMPLES], vec![7; SAMPLES * IMAGE_BYTES]);
    let frame = Batch::frame(0, &labels, &images);
    let (header, body) = frame.split_first_chunk::<HEADER_BYTES>().unwrap();
    let mut group = criterion.benchmark_group("frame of 500 samples");
    group.throughput(Throughput::Bytes(frame.len() as u64));
    group.bench_function("encode", |bencher| bencher.iter(|| Batch::frame(0, black_box(&labels), black_box(&images))));
    group.bench_function("decode", |bencher| {
        let decode = |body| Message::decode(&Header::decode(black_box(header), MAX_BODY).unwrap(), body).unwrap();
        bencher.iter_batched(|| body.to_vec(), decode, BatchSize::SmallInput);
    });
    group.bench_function("CRC-32C", |bencher| bencher.iter(|| crc32c::crc32c(black_box(body))));
}

criterion_group!(benches, batch);
criterion_main!(benches);
