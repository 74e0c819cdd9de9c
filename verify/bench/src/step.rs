//! Training steps: samples per second of ours and of PyTorch's. The peak beside them is what the machine can do at best:
//! products of square matrices by libtorch on one core, which is most of what a training step consists of.

use std::{
    ffi::OsString,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use anyhow::anyhow;
use dataset::Dataset;
use flags::{BatchSize, Optimizer};
use model::SIMPLE_CNN;
use serde::Deserialize;
use tch::{Device, Kind, Tensor};
use trainer::round::local::{Local, Turn, train_partition};

use crate::{
    Measurement, PRECISIONS, Precision, Target, mnist, mnist_dir, name as flag_value,
    python::{self, Python},
    series::{Series, Unit},
    turns::{self, Contestant, Results},
};

const BATCH: u32 = 64;
const STEPS: usize = 100;
const WARM_UP: usize = 10;
/// What a step computes for each sample: 8.48 MFLOP forward (0.45 conv1, 7.23 conv2, 0.80 fc1), twice that backward.
const FLOP_PER_SAMPLE: f64 = 25.4e6;

/// Rows and columns of a matrix: large enough to be limited by arithmetic, small enough for a fraction of a second.
const MATRIX_SIDE: i64 = 2048;
const PEAK_TIME: Duration = Duration::from_secs(1);

pub(crate) fn measure(turns: u32) -> anyhow::Result<Measurement> {
    let (data, python) = (&mnist()?, Python::provide());
    let mut contestants = Vec::new();
    for precision in PRECISIONS {
        let peak = move || matrix_product(precision);
        contestants.push(Contestant::of(product(precision), Unit::GflopPerSecond, peak));
        if let Ok(python) = &python {
            contestants.push(pytorch(python, "eager.py", eager(precision), precision));
        }
        for partitions in [1, 2] {
            let train = move || train(data, partitions, precision);
            contestants.push(Contestant::of(ours(partitions, precision), Unit::SamplesPerSecond, train));
        }
        if let Ok(python) = &python {
            contestants.push(pytorch(python, "ddp.py", ddp(precision), precision));
        }
    }
    let mut results = turns::take(turns, &mut contestants)?;
    let targets = targets(&results);
    let shares: Vec<_> = PRECISIONS.iter().filter_map(|&precision| share(&results, precision)).collect();
    results.series.extend(shares);
    let about = format!(
        "SimpleCNN on MNIST, Adam, {BATCH} samples a step, one thread a partition or process, {STEPS} steps in a turn \
         after {WARM_UP} that are not measured. Ours is what the trainer runs in a partition. Peak: products of \
         matrices of 2048 by 2048 by libtorch on one core; a step takes 25.4 MFLOP a sample."
    );
    let note = python::note(&python);
    Ok(Measurement { title: "Training step".into(), about, series: results.series, targets, notes: vec![note] })
}

fn ours(partitions: usize, precision: Precision) -> String {
    format!("ours, {}, {}", ["1 partition", "2 partitions"][partitions - 1], flag_value(&precision))
}

fn eager(precision: Precision) -> String {
    format!("PyTorch eager, {}", flag_value(&precision))
}

fn ddp(precision: Precision) -> String {
    format!("PyTorch DDP, 2 processes, {}", flag_value(&precision))
}

fn product(precision: Precision) -> String {
    format!("matrix product, 1 core, {}", flag_value(&precision))
}

fn share(results: &Results, precision: Precision) -> Option<Series> {
    let percent = |samples, gflop| 100.0 * samples * FLOP_PER_SAMPLE / (gflop * 1e9);
    let (ours, peak) = (results.get(&ours(1, precision))?, results.get(&product(precision))?);
    Some(ours.with(peak, format!("{}, of the peak", ours.name), Unit::Percent, percent))
}

fn targets(results: &Results) -> Vec<Target> {
    use Precision::{Bf16, F32};
    let ratio = |bound, what: &str, ours: String, theirs: String| {
        Target::at_least(bound, Unit::Times, what, results.ratio(&ours, &theirs))
    };
    vec![
        ratio(2.2, "ours on one core / PyTorch eager, f32", ours(1, F32), eager(F32)),
        Target::at_least(65.0, Unit::Percent, "ours on one core, share of the peak, f32", share(results, F32)),
        ratio(2.5, "ours on one core / PyTorch eager, bf16", ours(1, Bf16), eager(Bf16)),
        ratio(3.0, "ours on one core in bf16 / PyTorch eager in f32", ours(1, Bf16), eager(F32)),
        ratio(1.85, "ours on two cores / on one, f32", ours(2, F32), ours(1, F32)),
        ratio(2.0, "ours on two cores / PyTorch DDP, f32", ours(2, F32), ddp(F32)),
    ]
}

/// Samples per second of our training in so many partitions at once, as the engine `rayon` trains them.
fn train(data: &Dataset, partitions: usize, precision: Precision) -> anyhow::Result<f64> {
    let (weights, local) = (SIMPLE_CNN.init(42), local(precision));
    let part = |partition: usize, steps: usize| {
        let (first, count) = (partition * STEPS * BATCH as usize, steps * BATCH as usize);
        let samples = data.samples.slice(first..first + count);
        let turn = Turn { seed: 42, round: 1, partition: partition as u32 };
        train_partition(&local, turn, &weights, samples, &|_, _| Ok(()))
    };
    let together = Barrier::new(partitions);
    let timed = &|partition| {
        part(partition, WARM_UP)?;
        together.wait();
        let start = Instant::now();
        part(partition, STEPS)?;
        anyhow::Ok(start.elapsed())
    };
    let longest = thread::scope(|scope| {
        let threads: Vec<_> = (0..partitions).map(|partition| scope.spawn(move || timed(partition))).collect();
        let times = threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("training panicked"))?);
        times.collect::<anyhow::Result<Vec<Duration>>>()
    })?
    .into_iter()
    .fold(Duration::ZERO, Duration::max);
    Ok((partitions * STEPS * BATCH as usize) as f64 / longest.as_secs_f64())
}

fn matrix_product(precision: Precision) -> anyhow::Result<f64> {
    // In a thread of its own, because the number of threads that libtorch computes on belongs to the calling one.
    thread::scope(|scope| scope.spawn(|| multiply(precision)).join()).map_err(|_| anyhow!("the product panicked"))?
}

fn multiply(precision: Precision) -> anyhow::Result<f64> {
    let kind = match precision {
        Precision::F32 => Kind::Float,
        Precision::Bf16 => Kind::BFloat16,
    };
    tch::set_num_threads(1);
    let a = Tensor::ones([MATRIX_SIDE, MATRIX_SIDE], (kind, Device::Cpu));
    let mut product = a.f_matmul(&a)?;
    let (start, mut products) = (Instant::now(), 0);
    while start.elapsed() < PEAK_TIME {
        product = a.f_matmul_out(&product, &a)?;
        products += 1;
    }
    let operations = f64::from(products) * 2.0 * (MATRIX_SIDE as f64).powi(3);
    Ok(operations / start.elapsed().as_secs_f64() / 1e9)
}

/// How the trainer is told to do what PyTorch does here.
fn local(precision: Precision) -> Local {
    Local {
        local_epochs: 1,
        batch_size: BatchSize::Samples(BATCH),
        learning_rate: 0.001,
        optimizer: Optimizer::Adam,
        precision,
    }
}

#[derive(Deserialize)]
struct Trained {
    samples: f64,
    seconds: f64,
}

fn pytorch<'a>(python: &'a Python, script: &'static str, name: String, precision: Precision) -> Contestant<'a> {
    Contestant::of(name, Unit::SamplesPerSecond, move || {
        let flag = |name: &str, value: &dyn std::fmt::Display| OsString::from(format!("--{name}={value}"));
        let data = mnist_dir().display().to_string();
        let Trained { samples, seconds } = python.run(
            script,
            &[
                flag("data", &data),
                flag("precision", &flag_value(&precision)),
                flag("batch", &BATCH),
                flag("steps", &STEPS),
                flag("warm-up", &WARM_UP),
            ],
        )?;
        Ok(samples / seconds)
    })
}
