//! Training steps: samples per second of ours and of PyTorch's. Beside them stands the dense limit: what a core could do at
//! best if it computed every product of a step, by a loop of nothing but multiply-adds.

use std::{
    ffi::OsString,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use anyhow::anyhow;
use dataset::Dataset;
use flags::{BatchSize, Optimizer, Step};
use model::{ISA, SIMPLE_CNN, logits};
use native::{Isa, peak};
use sample::PIXELS;
use serde::Deserialize;
use tch::{Device, Kind, Tensor};
use trainer::round::local::{Local, Turn, train_partition};

use crate::{
    Measurement, STEPS, Target, mnist, mnist_dir, name as flag_value,
    python::{self, Python},
    series::{Series, Unit},
    turns::{self, Contestant, Results},
};

const BATCH: u32 = 64;
const STEPS_IN_A_TURN: usize = 100;
const WARM_UP: usize = 10;
/// What a step computes for each sample: 8.48 MFLOP forward (0.45 conv1, 7.23 conv2, 0.80 fc1), twice that backward.
const FLOP_PER_SAMPLE: f64 = 25.4e6;

/// Rows and columns of a matrix: large enough to be limited by arithmetic, small enough for a fraction of a second.
const MATRIX_SIDE: i64 = 2048;
const PEAK_TIME: Duration = Duration::from_secs(1);

const EAGER: &str = "PyTorch eager";
const DDP: &str = "PyTorch DDP, 2 processes";
const MULTIPLY_ADDS: &str = "multiply-adds, 1 core";
const PRODUCT: &str = "libtorch's matrix product, 1 core";
const EVALUATION: &str = "evaluation, 1 core";

pub(crate) fn measure(turns: u32) -> anyhow::Result<Measurement> {
    let (data, python) = (&mnist()?, Python::provide());
    let mut contestants = vec![
        Contestant::of(MULTIPLY_ADDS, Unit::GflopPerSecond, || Ok(multiply_adds(*ISA))),
        Contestant::of(PRODUCT, Unit::GflopPerSecond, matrix_product),
    ];
    for partitions in [1, 2] {
        if let Ok(python) = &python {
            contestants.push(match partitions {
                1 => pytorch(python, "eager.py", EAGER),
                _ => pytorch(python, "ddp.py", DDP),
            });
        }
        for step in STEPS {
            let train = move || train(data, partitions, step);
            contestants.push(Contestant::of(ours(partitions, step), Unit::SamplesPerSecond, train));
        }
    }
    contestants.push(Contestant::of(EVALUATION, Unit::SamplesPerSecond, || evaluate(data)));
    let mut results = turns::take(turns, &mut contestants)?;
    let targets = targets(&results);
    let shares: Vec<_> = STEPS.iter().filter_map(|&step| share(&results, step)).collect();
    results.series.extend(shares);
    let about = format!(
        "SimpleCNN on MNIST, Adam, {BATCH} samples a step, f32, one thread a partition or process, {STEPS_IN_A_TURN} steps \
         in a turn after {WARM_UP} that are not measured. Ours is what the trainer runs in a partition, by `--step native` or \
         `--step libtorch`. The dense limit is 25.4 MFLOP a sample at the speed of a loop of multiply-adds between \
         registers, on one core ({}).",
        ISA.name()
    );
    let note = python::note(&python);
    Ok(Measurement { title: "Training step".into(), about, series: results.series, targets, notes: vec![note] })
}

fn ours(partitions: usize, step: Step) -> String {
    format!("ours, {}, {}", ["1 partition", "2 partitions"][partitions - 1], flag_value(&step))
}

fn share(results: &Results, step: Step) -> Option<Series> {
    let percent = |samples, gflop| 100.0 * samples * FLOP_PER_SAMPLE / (gflop * 1e9);
    let (ours, peak) = (results.get(&ours(1, step))?, results.get(MULTIPLY_ADDS)?);
    Some(ours.with(peak, format!("{}, of the dense limit", ours.name), Unit::Percent, percent))
}

fn targets(results: &Results) -> Vec<Target> {
    use Step::{Libtorch, Native};
    let ratio = |bound, what: &str, ours: &str, theirs: &str| {
        Target::at_least(bound, Unit::Times, what, results.ratio(ours, theirs))
    };
    vec![
        ratio(3.5, "native step on one core / PyTorch eager", &ours(1, Native), EAGER),
        Target::at_least(
            140.0,
            Unit::Percent,
            "native step on one core, share of the dense limit",
            share(results, Native),
        ),
        ratio(3.5, "native step on two cores / PyTorch DDP", &ours(2, Native), DDP),
        ratio(1.85, "native step on two cores / on one", &ours(2, Native), &ours(1, Native)),
        ratio(1.3, "libtorch's step on one core / PyTorch eager", &ours(1, Libtorch), EAGER),
    ]
}

/// Billions of floating-point operations a second; a multiply-add is two.
fn multiply_adds(isa: Isa) -> f64 {
    let (start, mut done) = (Instant::now(), 0);
    while start.elapsed() < PEAK_TIME {
        let (count, result) = peak::multiply_adds(isa);
        std::hint::black_box(result);
        done += count;
    }
    2.0 * done as f64 / start.elapsed().as_secs_f64() / 1e9
}

/// Images per second of an evaluation on one thread.
fn evaluate(data: &Dataset) -> anyhow::Result<f64> {
    let (weights, images) = (SIMPLE_CNN.init(42), &data.samples.images[..10_000 * PIXELS]);
    let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    alone.install(|| logits(&weights, images));
    let start = Instant::now();
    alone.install(|| logits(&weights, images));
    Ok(10_000.0 / start.elapsed().as_secs_f64())
}

/// Samples per second of our training in so many partitions at once, as the engine `rayon` trains them.
fn train(data: &Dataset, partitions: usize, step: Step) -> anyhow::Result<f64> {
    let (weights, local) = (SIMPLE_CNN.init(42), local(step));
    let part = |partition: usize, steps: usize| {
        let (first, count) = (partition * STEPS_IN_A_TURN * BATCH as usize, steps * BATCH as usize);
        let samples = data.samples.slice(first..first + count);
        let turn = Turn { seed: 42, round: 1, partition: partition as u32 };
        train_partition(&local, turn, &weights, samples, &|_, _| Ok(()))
    };
    let together = Barrier::new(partitions);
    let timed = &|partition| {
        part(partition, WARM_UP)?;
        together.wait();
        let start = Instant::now();
        part(partition, STEPS_IN_A_TURN)?;
        anyhow::Ok(start.elapsed())
    };
    let longest = thread::scope(|scope| {
        let threads: Vec<_> = (0..partitions).map(|partition| scope.spawn(move || timed(partition))).collect();
        let times = threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("training panicked"))?);
        times.collect::<anyhow::Result<Vec<Duration>>>()
    })?
    .into_iter()
    .fold(Duration::ZERO, Duration::max);
    Ok((partitions * STEPS_IN_A_TURN * BATCH as usize) as f64 / longest.as_secs_f64())
}

fn matrix_product() -> anyhow::Result<f64> {
    // In a thread of its own, because the number of threads that libtorch computes on belongs to the calling one.
    thread::scope(|scope| scope.spawn(multiply).join()).map_err(|_| anyhow!("the product panicked"))?
}

fn multiply() -> anyhow::Result<f64> {
    tch::set_num_threads(1);
    let a = Tensor::ones([MATRIX_SIDE, MATRIX_SIDE], (Kind::Float, Device::Cpu));
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
fn local(step: Step) -> Local {
    Local {
        local_epochs: 1,
        batch_size: BatchSize::Samples(BATCH),
        learning_rate: 0.001,
        optimizer: Optimizer::Adam,
        step,
    }
}

#[derive(Deserialize)]
struct Trained {
    samples: f64,
    seconds: f64,
}

fn pytorch<'a>(python: &'a Python, script: &'static str, name: &str) -> Contestant<'a> {
    Contestant::of(name, Unit::SamplesPerSecond, move || {
        let flag = |name: &str, value: &dyn std::fmt::Display| OsString::from(format!("--{name}={value}"));
        let data = mnist_dir().display().to_string();
        let Trained { samples, seconds } = python.run(
            script,
            &[flag("data", &data), flag("batch", &BATCH), flag("steps", &STEPS_IN_A_TURN), flag("warm-up", &WARM_UP)],
        )?;
        Ok(samples / seconds)
    })
}
