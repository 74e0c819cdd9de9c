//! Whole runs: what one command takes from nothing to a trained model, against the original's algorithm on PySpark.

use std::{ffi::OsString, fs, path::Path, process::Command, time::Instant};

use anyhow::Context;
use serde::Deserialize;
use tempfile::TempDir;
use torture::programs;

use crate::{
    Measurement, Precision, Target, child, mnist, mnist_dir,
    programs::{LIMIT, Summary},
    python::{self, Python},
    record,
    series::Unit,
    turns::{self, Contestant, Figure, Results},
};

/// Of both: the defaults of the orchestrator, and of the original.
const SAMPLES: u32 = 20_000;
const ROUNDS: u32 = 5;
const PYSPARK: &str = "the original's algorithm on PySpark";

/// Measures it.
///
/// # Errors
/// When there is no MNIST, or a run fails.
pub fn measure(turns: u32) -> anyhow::Result<Measurement> {
    mnist()?; // A run would fetch it, which is not what is measured.
    let (programs, python) = (install()?, Python::provide());
    let ours = |&precision| {
        let orchestrator = programs.path().join("orchestrator");
        Contestant::new(ours(precision), move || run(&orchestrator, precision))
    };
    let mut contestants: Vec<_> = Precision::ALL.iter().map(ours).collect();
    if let Ok(python) = &python {
        contestants.push(Contestant::new(PYSPARK, || original(python)));
    }
    let results = turns::take(turns, &mut contestants)?;
    let targets = targets(&results);
    let about = format!(
        "{SAMPLES} samples, {ROUNDS} rounds. Ours: the orchestrator with its defaults and no simulated delay, from its \
         start to its end: it streams, stores, trains {ROUNDS} epochs in minibatches of 32 on as many partitions as \
         there are cores, and evaluates on the test set. PySpark: 12 partitions, each one full-batch step of a fresh \
         Adam a round, uniform average on the driver, accuracy on the training data; nothing is streamed, the chunks \
         lie there when it starts. The rest is start-up, reading chunks and saving."
    );
    Ok(Measurement {
        title: "Whole run".into(),
        about,
        series: results.series,
        targets,
        notes: vec![python::note(&python)],
    })
}

fn targets(results: &Results) -> Vec<Target> {
    let total = |precision| results.get(&ours(precision)).cloned();
    let faster = results.ratio(PYSPARK, &ours(Precision::F32));
    vec![
        Target::at_most(14.0, Unit::Seconds, "default run, f32", total(Precision::F32)),
        Target::at_most(10.0, Unit::Seconds, "default run, bf16", total(Precision::Bf16)),
        Target::at_least(10.0, Unit::Times, "PySpark / default run, f32, time of all", faster),
        // No set of flags is known yet that reaches it, so there is nothing to run.
        Target::at_most(25.0, Unit::Seconds, "training to 99 % test accuracy with 60,000 samples", None),
    ]
}

fn ours(precision: Precision) -> String {
    format!("ours, {}", precision.name())
}

/// Copies the programs into one directory outside cargo's, as an installation has them: there, nothing is looked for or
/// built.
fn install() -> anyhow::Result<TempDir> {
    let directory = tempfile::tempdir()?;
    for name in ["orchestrator", "receiver", "sender", "trainer"] {
        let (from, to) = (programs::path(name)?, directory.path().join(name));
        fs::copy(&from, &to).with_context(|| format!("failed to copy `{}`", from.display()))?;
    }
    Ok(directory)
}

fn run(orchestrator: &Path, precision: Precision) -> anyhow::Result<Vec<Figure>> {
    let folder = record::scratch()?;
    let mut command = Command::new(orchestrator);
    command.current_dir(folder.path());
    command.args([format!("--samples={SAMPLES}"), format!("--rounds={ROUNDS}")]);
    command.args(["--dataset=mnist", "--batch-delay=0ms", "--data"]).arg(mnist_dir());
    command.arg(format!("--precision={}", precision.name()));
    let start = Instant::now();
    child::output(&mut command, LIMIT)?;
    let total = start.elapsed().as_secs_f64();
    let seconds = Summary::of(&folder.path().join("runs/latest"))?.seconds;
    let rest = total - seconds.send - seconds.train - seconds.evaluate;
    let name = ours(precision);
    let figure = |what: &str, value| Figure { name: format!("{name}{what}"), unit: Unit::Seconds, value };
    Ok(vec![
        figure("", total),
        figure(": receiving", seconds.send),
        figure(": training", seconds.train),
        figure(": evaluating", seconds.evaluate),
        figure(": rest", rest),
    ])
}

/// What the script says of its run.
#[derive(Deserialize)]
struct Original {
    total: f64,
    training: f64,
    evaluating: f64,
}

fn original(python: &Python) -> anyhow::Result<Vec<Figure>> {
    let flags = [format!("--samples={SAMPLES}"), format!("--rounds={ROUNDS}"), "--data".into()].map(OsString::from);
    let Original { total, training, evaluating } =
        python.run("original.py", &[&flags[..], &[mnist_dir().into()]].concat())?;
    let figure = |what: &str, value| Figure { name: format!("{PYSPARK}{what}"), unit: Unit::Seconds, value };
    Ok(vec![
        figure("", total),
        figure(": training", training),
        figure(": evaluating", evaluating),
        figure(": rest", total - training - evaluating),
    ])
}
