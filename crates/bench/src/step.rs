//! Training steps: samples per second of ours and of PyTorch's, with the peak of matrix products beside them.

use std::{
    ffi::OsString,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use anyhow::anyhow;
use cli::flags::{self, BatchSize, Optimizer};
use dataset::{Dataset, PIXELS};
use model::StateDict;
use serde::Deserialize;
use trainer::{config::Local, data::Slice, local::train_partition};

use crate::{
    Measurement, Precision, Target, mnist, mnist_dir, peak,
    python::{self, Python},
    series::{Series, Unit},
    turns::{self, Contestant, Results},
};

/// Samples per step, for everybody.
const BATCH: u32 = 64;
/// Steps that are measured in a turn, in each partition or process.
const STEPS: usize = 100;
/// Steps before that which are not.
const WARM_UP: usize = 10;
/// What a step computes for each sample: 8.48 MFLOP forward (0.45 conv1, 7.23 conv2, 0.80 fc1), twice that backward.
const FLOP_PER_SAMPLE: f64 = 25.4e6;

/// Measures it.
///
/// # Errors
/// When there is no MNIST, or a contestant fails.
pub fn measure(turns: u32) -> anyhow::Result<Measurement> {
    let (data, python) = (&mnist()?, Python::provide());
    let mut contestants = Vec::new();
    for precision in Precision::ALL {
        let peak = move || peak::matrix_product(precision);
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
    let shares: Vec<_> = Precision::ALL.iter().filter_map(|&precision| share(&results, precision)).collect();
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
    format!("ours, {}, {}", ["1 partition", "2 partitions"][partitions - 1], precision.name())
}

fn eager(precision: Precision) -> String {
    format!("PyTorch eager, {}", precision.name())
}

fn ddp(precision: Precision) -> String {
    format!("PyTorch DDP, 2 processes, {}", precision.name())
}

fn product(precision: Precision) -> String {
    format!("matrix product, 1 core, {}", precision.name())
}

/// What part of the peak our step on one core reaches.
fn share(results: &Results, precision: Precision) -> Option<Series> {
    let percent = |samples, gflop| 100.0 * samples * FLOP_PER_SAMPLE / (gflop * 1e9);
    let (ours, peak) = (results.get(&ours(1, precision))?, results.get(&product(precision))?);
    Some(ours.with(peak, format!("{}, of the peak", ours.name), Unit::Percent, percent))
}

fn targets(results: &Results) -> Vec<Target> {
    use Precision::{Bf16, F32};
    let against = |ours: String, theirs: String| results.ratio(&ours, &theirs);
    vec![
        Target::at_least(2.2, Unit::Times, "ours on one core / PyTorch eager, f32", against(ours(1, F32), eager(F32))),
        Target::at_least(65.0, Unit::Percent, "ours on one core, share of the peak, f32", share(results, F32)),
        Target::at_least(
            2.5,
            Unit::Times,
            "ours on one core / PyTorch eager, bf16",
            against(ours(1, Bf16), eager(Bf16)),
        ),
        Target::at_least(
            3.0,
            Unit::Times,
            "ours on one core in bf16 / PyTorch eager in f32",
            against(ours(1, Bf16), eager(F32)),
        ),
        Target::at_least(1.85, Unit::Times, "ours on two cores / on one, f32", against(ours(2, F32), ours(1, F32))),
        Target::at_least(2.0, Unit::Times, "ours on two cores / PyTorch DDP, f32", against(ours(2, F32), ddp(F32))),
    ]
}

/// Samples per second of our training in so many partitions at once, as the engine `rayon` trains them.
fn train(data: &Dataset, partitions: usize, precision: Precision) -> anyhow::Result<f64> {
    let weights = StateDict::init(42);
    let part = |partition: usize, steps: usize| {
        let (first, count) = (partition * STEPS * BATCH as usize, steps * BATCH as usize);
        let images = &data.images[first * PIXELS..(first + count) * PIXELS];
        let samples = Slice { labels: &data.labels[first..first + count], images };
        train_partition(1, partition as u32, &weights, samples, &local(precision), &|_, _| Ok(()))
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

/// How the trainer is told to do what PyTorch does here.
fn local(precision: Precision) -> Local {
    let precision = match precision {
        Precision::F32 => flags::Precision::F32,
        Precision::Bf16 => flags::Precision::Bf16,
    };
    Local {
        seed: 42,
        local_epochs: 1,
        batch_size: BatchSize::Samples(BATCH),
        learning_rate: 0.001,
        optimizer: Optimizer::Adam,
        precision,
    }
}

/// What a script says of its training.
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
                flag("precision", &precision.name()),
                flag("batch", &BATCH),
                flag("steps", &STEPS),
                flag("warm-up", &WARM_UP),
            ],
        )?;
        Ok(samples / seconds)
    })
}
