//! Whole runs: what one command takes from nothing to a trained model, against the original's algorithm on PySpark.

use std::{ffi::OsString, path::Path, process::Command, time::Instant};

use anyhow::ensure;
use flags::Step;
use run_folder::Summary;
use serde::Deserialize;
use torture::programs;

use crate::{
    Measurement, STEPS, Target, child, mnist, mnist_dir, name as flag_value,
    programs::{LIMIT, summary_of},
    python::{self, Python},
    record,
    series::{Series, Unit},
    turns::{self, Contestant, Results},
};

/// Of both: the defaults of the orchestrator, and of the original.
const SAMPLES: u32 = 20_000;
const ROUNDS: u32 = 5;
const PYSPARK: &str = "the original's algorithm on PySpark";
const FAST: &str = "ours, --preset fast";
const ACCURACY: f64 = 0.99;

pub(crate) fn measure(turns: u32) -> anyhow::Result<Measurement> {
    mnist()?; // A run would fetch it, which is not what is measured.
    let (programs, python) = (programs::install()?, Python::provide());
    let orchestrator = &programs.path().join("orchestrator");
    let ours = |&step| Contestant::new(ours(step), move || default_run(orchestrator, step));
    let mut contestants: Vec<_> = STEPS.iter().map(ours).collect();
    contestants.push(Contestant::new(FAST, || fast_run(orchestrator)));
    if let Ok(python) = &python {
        contestants.push(Contestant::new(PYSPARK, || original(python)));
    }
    let results = turns::take(turns, &mut contestants)?;
    let targets = targets(&results);
    let about = format!(
        "{SAMPLES} samples, {ROUNDS} rounds. Ours: the orchestrator with its defaults and no simulated delay, from its \
         start to its end: it streams, stores, trains {ROUNDS} epochs in minibatches of 32 on as many partitions as \
         there are cores, and evaluates on the test set; or with the preset, which must reach 99 %. PySpark: 12 \
         partitions, each one full-batch step of a fresh Adam a round, uniform average on the driver, accuracy on the \
         training data; nothing is streamed, the chunks lie there when it starts. The rest is start-up, reading chunks \
         and saving."
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
    let shorter = results.ratio(&ours(Step::Native), &ours(Step::Libtorch));
    let faster = results.ratio(PYSPARK, &ours(Step::Native));
    vec![
        Target::at_most(0.5, Unit::Times, "default run, native step / libtorch's, time of all", shorter),
        Target::at_least(10.0, Unit::Times, "PySpark / default run, time of all", faster),
        Target::at_most(
            10.0,
            Unit::Seconds,
            "training to 99 % test accuracy with 60,000 samples (--preset fast)",
            results.get(&training(FAST)).cloned(),
        ),
    ]
}

fn ours(step: Step) -> String {
    format!("ours, {}", flag_value(&step))
}

fn default_run(orchestrator: &Path, step: Step) -> anyhow::Result<Vec<Series>> {
    let flags = [format!("--samples={SAMPLES}"), format!("--rounds={ROUNDS}"), "--batch-delay=0ms".into()];
    let step_flag = format!("--step={}", flag_value(&step));
    Ok(run(orchestrator, &ours(step), &[&flags[..], &[step_flag]].concat())?.0)
}

fn fast_run(orchestrator: &Path) -> anyhow::Result<Vec<Series>> {
    let (figures, summary) = run(orchestrator, FAST, &["--preset=fast".into()])?;
    let accuracy = summary.test_accuracy;
    ensure!(accuracy >= ACCURACY, "--preset fast reaches {accuracy} on the test set, not {ACCURACY}");
    Ok(figures)
}

fn run(orchestrator: &Path, name: &str, flags: &[String]) -> anyhow::Result<(Vec<Series>, Summary)> {
    let folder = record::scratch()?;
    let mut command = Command::new(orchestrator);
    command.current_dir(folder.path()).args(flags).args(["--dataset=mnist", "--data"]).arg(mnist_dir());
    let start = Instant::now();
    child::output(command, LIMIT)?;
    let total = start.elapsed().as_secs_f64();
    let summary = summary_of(&folder.path().join("runs/latest"))?;
    let seconds = &summary.seconds;
    let parts = [("receiving", seconds.send), ("training", seconds.train), ("evaluating", seconds.evaluate)];
    Ok((phases(name, total, &parts), summary))
}

/// The seconds of all, of its parts, and of the rest.
fn phases(name: &str, total: f64, parts: &[(&str, f64)]) -> Vec<Series> {
    let rest = total - parts.iter().map(|(_, seconds)| seconds).sum::<f64>();
    let parts = parts.iter().copied().chain([("rest", rest)]);
    let parts = parts.map(|(part, seconds)| (format!("{name}: {part}"), seconds));
    let all = [(name.to_owned(), total)].into_iter().chain(parts);
    all.map(|(name, seconds)| Series::one(name, Unit::Seconds, seconds)).collect()
}

fn training(contestant: &str) -> String {
    format!("{contestant}: training")
}

#[derive(Deserialize)]
struct Original {
    total: f64,
    training: f64,
    evaluating: f64,
}

fn original(python: &Python) -> anyhow::Result<Vec<Series>> {
    let flags = [format!("--samples={SAMPLES}"), format!("--rounds={ROUNDS}"), "--data".into()].map(OsString::from);
    let Original { total, training, evaluating } =
        python.run("original.py", &[&flags[..], &[mnist_dir().into()]].concat())?;
    Ok(phases(PYSPARK, total, &[("training", training), ("evaluating", evaluating)]))
}
