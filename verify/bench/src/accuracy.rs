//! Accuracy: what the default training reaches by the native step, beside what it reaches by libtorch's from the same seed.

use std::path::Path;

use flags::Step;

use crate::{
    Measurement, STEPS, Target, mnist, name, programs, record,
    series::{Series, Unit},
    turns::{self, Contestant},
};

/// As the orchestrator has them by default, but for the seeds, which take the place of repeats.
const SAMPLES: u64 = 20_000;
const ROUNDS: u32 = 5;
const SEEDS: [u64; 5] = [42, 1, 2, 3, 4];

pub(crate) fn measure() -> anyhow::Result<Measurement> {
    mnist()?; // The sender would fetch it, or fail less clearly.
    let dir = record::scratch()?;
    let chunks = &dir.path().join("chunks");
    programs::ingest(chunks, SAMPLES, "0ms")?;
    let contestant = |step: Step| {
        let mut seeds = SEEDS.into_iter();
        Contestant::of(series(step), Unit::Accuracy, move || train(chunks, step, seeds.next().unwrap_or_default()))
    };
    let results = turns::take(SEEDS.len() as u32, &mut STEPS.map(contestant))?;
    let distance = distance(results.get(&series(Step::Native)), results.get(&series(Step::Libtorch)));
    let targets = vec![Target::at_most(
        0.1,
        Unit::Accuracy,
        "native step, distance of its mean accuracy from libtorch's",
        distance,
    )];
    let about = format!(
        "Test accuracy of the default training ({SAMPLES} samples, {ROUNDS} rounds, two partitions) with the seeds {SEEDS:?}, \
         one in each turn."
    );
    Ok(Measurement { title: "Accuracy".into(), about, series: results.series, targets, notes: Vec::new() })
}

fn series(step: Step) -> String {
    format!("test accuracy, {}", name(&step))
}

fn train(chunks: &Path, step: Step, seed: u64) -> anyhow::Result<f64> {
    let step = format!("--step={}", name(&step));
    let flags = [step, format!("--seed={seed}"), format!("--rounds={ROUNDS}"), "--partitions=2".into()];
    Ok(100.0 * programs::train(chunks, &flags)?.0.test_accuracy)
}

fn distance(one: Option<&Series>, other: Option<&Series>) -> Option<Series> {
    let mean = |series: &Series| series.values.iter().sum::<f64>() / series.values.len() as f64;
    let values = vec![(mean(one?) - mean(other?)).abs()];
    Some(Series { name: "distance of the means".into(), unit: Unit::Accuracy, values })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_is_that_of_the_means_whichever_is_higher() {
        let series = |values: &[f64]| Series { name: "a".into(), unit: Unit::Accuracy, values: values.into() };
        let (low, high) = (series(&[98.0, 99.0]), series(&[99.0, 98.5]));
        for (one, other) in [(&low, &high), (&high, &low)] {
            assert_eq!(distance(Some(one), Some(other)).unwrap().values, [0.25]);
        }
        assert_eq!(distance(Some(&low), None), None);
    }
}
