//! Accuracy: what the default training reaches in bfloat16, beside what it reaches in f32 from the same seed.

use std::path::Path;

use crate::{
    Measurement, PRECISIONS, Precision, Target, mnist, name, programs, record,
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
    programs::ingest(chunks, SAMPLES)?;
    let contestant = |precision: Precision| {
        let mut seeds = SEEDS.into_iter();
        Contestant::of(series(precision), Unit::Accuracy, move || {
            train(chunks, precision, seeds.next().unwrap_or_default())
        })
    };
    let results = turns::take(SEEDS.len() as u32, &mut PRECISIONS.map(contestant))?;
    let distance = distance(results.get(&series(Precision::F32)), results.get(&series(Precision::Bf16)));
    let targets = vec![Target::at_most(0.1, Unit::Accuracy, "bf16, distance of its mean accuracy from f32", distance)];
    let about = format!(
        "Test accuracy of the default training ({SAMPLES} samples, {ROUNDS} rounds, two partitions) with the seeds {SEEDS:?}, \
         one in each turn. Weights are kept and averaged, and models are evaluated, in f32 in either case."
    );
    Ok(Measurement { title: "Accuracy".into(), about, series: results.series, targets, notes: Vec::new() })
}

fn series(precision: Precision) -> String {
    format!("test accuracy, {}", name(&precision))
}

fn train(chunks: &Path, precision: Precision, seed: u64) -> anyhow::Result<f64> {
    let precision = format!("--precision={}", name(&precision));
    let flags = [precision, format!("--seed={seed}"), format!("--rounds={ROUNDS}"), "--partitions=2".into()];
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
