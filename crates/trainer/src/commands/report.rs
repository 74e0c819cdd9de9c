//! Reporting makes `report.html` of what a run folder holds: at the end of a run, and again whenever `trainer report`
//! is asked to, also of several runs beside each other.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use dataset::{Dataset, Drift};
use model::{StateDict, best, logits, measure, probabilities};
use process::{exit::Code, file};
use report::{Point, Prequential, Report, Round, Test, Wrong};
use run_folder::{
    Checkpoint, LiveSummary, PARTITIONS, REPORT, ROUNDS, Streaming, Summary, Sums,
    record::{PartitionRecord, Record},
};
use sample::{CLASSES, PIXELS};
use terminal::{count, shell};

use super::kept::Kept;
use crate::{config::as_typed, data::test_set, live::text, output};

/// What several runs are compared in, in the first one's folder.
const COMPARISON: &str = "comparison.html";
const SHOWN: usize = 24;

/// Makes the report of the first of these runs, with the others beside it, and prints where it is.
///
/// # Errors
/// When a folder holds no finished run, a file in it is damaged, or the test set is missing or another one.
pub fn run(folders: &[PathBuf], out: Option<&Path>, test_data: Option<&Path>) -> anyhow::Result<()> {
    let kept: Vec<Kept> = folders.iter().map(|folder| Kept::read(folder)).collect::<anyhow::Result<_>>()?;
    let Some((first, others)) = kept.split_first() else {
        fail!(Code::Usage, "name a run folder, such as runs/latest");
    };
    let test_set = test_set_of(first, test_data)?;
    let scores = logits(&first.checkpoint.global, &test_set.samples.images);
    let others = others.iter().map(compared).collect();
    let name = if kept.len() > 1 { COMPARISON } else { REPORT };
    let path = out.map_or_else(|| first.folder.join(name), Path::to_owned);
    file::write(&path, page(first, &test_set, &scores, others).as_bytes())?;
    output::say(&path.display().to_string());
    Ok(())
}

/// The report of a run that has just ended, whose model gives these scores.
pub(crate) fn of_run(folder: &Path, test_set: &Dataset, scores: &[[f32; CLASSES]]) -> anyhow::Result<String> {
    Ok(page(&Kept::read(folder)?, test_set, scores, Vec::new()))
}

/// The test set of a run: the one named here, else the one that it was told, else where such a one usually is.
fn test_set_of(kept: &Kept, chosen: Option<&Path>) -> anyhow::Result<Dataset> {
    let told = kept.config.get("test-data").and_then(toml::Value::as_str).map(PathBuf::from);
    let default = || told.unwrap_or_else(|| dataset::default_dir(Drift::of_name(&kept.summary.dataset).0));
    let dir = chosen.map_or_else(default, Path::to_owned);
    let test_set = test_set::load(&dir)?;
    let Summary { dataset, test_set: measured, .. } = &kept.summary;
    let is_the_runs = match measured {
        Some(measured) => measured.digest == hex::encode(test_set.digest()),
        None => test_set.name == *dataset,
    };
    if !is_the_runs {
        fail!(
            Code::Data,
            "the test set in `{}`, of dataset `{}`, is not that of run `{}`, of dataset `{}`; name the latter's by \
             --test-data",
            dir.display(),
            test_set.name,
            kept.folder.display(),
            measured.as_ref().map_or(dataset, |measured| &measured.name)
        );
    }
    Ok(test_set)
}

fn page(kept: &Kept, test_set: &Dataset, scores: &[[f32; CLASSES]], others: Vec<Report>) -> String {
    let (summary, streaming) = (&kept.summary, kept.streaming.as_ref());
    let points = streaming.map_or(&[][..], |streaming| &streaming.points);
    let report = Report {
        facts: facts(kept),
        notes: notes(kept),
        n_samples: summary.n_samples,
        received_accuracy: summary.received_accuracy,
        prequential_accuracy: summary.live.as_ref().map(|live| live.prequential_accuracy),
        phases: phases(kept),
        ingest: points.iter().map(|point| Point { seconds: point.seconds, samples: point.samples }).collect(),
        bytes_per_sample: PIXELS as u64 + 1, // Its label.
        test: Some(Test {
            confusion: measure(scores, &test_set.samples.labels).confusion,
            wrong: wrong(test_set, scores),
        }),
        filters: filters(&kept.checkpoint.global),
        others,
        ..compared(kept)
    };
    report.html()
}

/// What a run is compared by.
fn compared(kept: &Kept) -> Report {
    Report {
        name: kept.name.clone(),
        rounds: kept.checkpoint.history.iter().map(round).collect(),
        settings: kept.config.iter().map(|(key, value)| (key.clone(), as_typed(value))).collect(),
        seconds: kept.summary.seconds.total,
        ..Report::default()
    }
}

fn round(record: &Record) -> Round {
    let partition = |partition: &PartitionRecord| (partition.n_samples, partition.train_loss);
    Round {
        round: record.round,
        train_loss: record.train_loss,
        test_loss: record.test_loss,
        test_accuracy: record.test_accuracy,
        received_accuracy: record.received_accuracy,
        prequential: record.prequential.map(|slice| Prequential {
            position: slice.position,
            accuracy: slice.accuracy,
            loss: slice.loss,
            kappa: slice.kappa,
            fading_accuracy: slice.fading_accuracy,
        }),
        drifts: record.drifts.clone(),
        seconds: record.seconds(),
        partitions: record.partitions.iter().map(partition).collect(),
    }
}

fn notes(kept: &Kept) -> Vec<String> {
    let generated = "The digits were drawn by the program itself: this is not MNIST.";
    let generated = (Drift::of_name(&kept.summary.dataset).0 == "generated").then(|| generated.to_owned());
    generated.into_iter().chain(kept.damage.clone()).chain(unlisted(&kept.checkpoint)).collect()
}

/// What of a long live run the page does not show, because its checkpoint does not list it.
fn unlisted(checkpoint: &Checkpoint) -> Option<String> {
    let Checkpoint { unlisted, history, .. } = checkpoint;
    if *unlisted == Sums::default() {
        return None;
    }
    let rounds = history.first()?.round;
    let partitions = history.iter().find(|record| !record.partitions.is_empty()).map_or(rounds, |record| record.round);
    let partitions = match partitions > rounds {
        true => format!(", their partitions from {partitions} on"),
        false => String::new(),
    };
    let drifts = match unlisted.drifts {
        0 => String::new(),
        drifts => format!(" Drifts seen before, and not shown: {drifts}."),
    };
    Some(format!(
        "The page shows the rounds from {rounds} on{partitions}; {ROUNDS} and {PARTITIONS} in the run folder have all.{drifts}"
    ))
}

fn facts(kept: &Kept) -> Vec<(String, String)> {
    let checkpoint = &kept.checkpoint;
    let digest = checkpoint.position.as_ref().map_or(&checkpoint.origin.data, |position| &position.digest);
    let (summary, origin) = (&kept.summary, &kept.summary.provenance);
    let command = kept.streaming.as_ref().map_or(&origin.command, |streaming| &streaming.command);
    let streams = summary.n_streams.map(|streams| count(streams, "sender")); // Each sends one stream.
    let known = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let cores = format!("{}, {}", origin.cpu, count(origin.cores, "core"));
    let (samples, chunks) = (count(summary.n_samples, "sample"), count(summary.n_chunks, "chunk"));
    let data = format!("{}, {samples} in {chunks}", summary.dataset);
    let versions = format!("Tributary {}, libtorch {}", origin.tributary, origin.libtorch);
    let live = |value: fn(&LiveSummary) -> String| summary.live.as_ref().map(value);
    let facts = [
        ("command", known(&typed(command))),
        ("data", Some(data)),
        ("data digest", Some(digest.clone())),
        ("streamed by", streams),
        ("training", Some(training(kept))),
        ("slices", live(slices)),
        ("prequential", live(text::prequential)),
        ("drift", live(text::drifts)),
        ("most behind", live(text::behind)),
        ("seed", Some(summary.seed.to_string())),
        ("model SHA-256", Some(summary.model_sha256.clone())),
        ("processor", known(&origin.cpu).map(|_| cores)),
        ("system", known(&origin.os)),
        ("versions", known(&origin.tributary).map(|_| versions)),
        ("finished", known(&origin.finished)),
    ];
    facts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn training(kept: &Kept) -> String {
    let Summary { rounds, partitions, step, engine, .. } = &kept.summary;
    let flag = |key: &str| Some(format!("{} {}", key.replace('-', " "), as_typed(kept.config.get(key)?)));
    let strategy = flag("strategy").filter(|strategy| strategy != "strategy fedavg");
    let flags = ["optimizer", "learning-rate", "batch-size"].into_iter().filter_map(flag).chain(strategy);
    let first =
        [count(*rounds, "round"), count(*partitions, "partition"), format!("step {step}"), format!("engine {engine}")];
    first.into_iter().chain(flags).collect::<Vec<_>>().join(", ")
}

fn slices(live: &LiveSummary) -> String {
    format!("{} a round, replay {}", count(live.samples_per_round, "sample"), live.replay)
}

/// A command line as it would be typed, without the path of its program, which is nobody else's business.
fn typed(command: &[String]) -> String {
    let Some((program, arguments)) = command.split_first() else { return String::new() };
    let name = Path::new(program).file_name().unwrap_or(program.as_ref());
    shell::command_line([name].into_iter().chain(arguments.iter().map(OsStr::new)))
}

/// Where the time went: what the orchestrator saw before training, and what the trainer did. A live run trains while it
/// receives.
fn phases(kept: &Kept) -> Vec<(String, f64)> {
    let seconds = &kept.summary.seconds;
    if kept.summary.live.is_some() {
        let other = seconds.total - seconds.train - seconds.evaluate;
        let phases = [
            ("training", seconds.train),
            ("evaluating", seconds.evaluate),
            ("waiting for samples, and other", other.max(0.0)),
        ];
        return phases.map(|(name, seconds)| (name.to_owned(), seconds)).into();
    }
    let before = match &kept.streaming {
        Some(Streaming { phases, .. }) => phases.clone(),
        None => vec![("receiving".to_owned(), seconds.send)],
    };
    let other = seconds.total - seconds.send - seconds.train - seconds.evaluate;
    let after = [("training", seconds.train), ("evaluating", seconds.evaluate), ("other", other.max(0.0))];
    before.into_iter().chain(after.map(|(name, seconds)| (name.to_owned(), seconds))).collect()
}

fn wrong(test_set: &Dataset, scores: &[[f32; CLASSES]]) -> Vec<Wrong> {
    let mistake = |(index, (scores, &label)): (usize, (&[f32; CLASSES], &u8))| {
        let shares = probabilities(scores);
        let predicted = best(scores);
        let pixels = || test_set.samples.image(index).to_vec();
        let (predicted, probability) = (predicted as u8, shares[predicted]);
        (predicted != label).then(|| Wrong { index, pixels: pixels(), label, predicted, probability })
    };
    let mut wrong: Vec<Wrong> = scores.iter().zip(&test_set.samples.labels).enumerate().filter_map(mistake).collect();
    wrong.sort_by(|a, b| b.probability.total_cmp(&a.probability).then(a.index.cmp(&b.index)));
    wrong.truncate(SHOWN);
    wrong
}

fn filters(global: &StateDict) -> Vec<[f32; 9]> {
    let first = global.tensors().find(|(name, ..)| *name == "conv1.weight");
    first.map_or_else(Vec::new, |(_, _, weights)| weights.as_chunks().0.to_vec()) // [32, 1, 3, 3]
}

#[cfg(test)]
mod tests {
    use run_folder::{Origin, ServerState};

    use super::*;

    #[test]
    fn what_a_long_run_does_not_show_is_said() {
        let partitions = vec![PartitionRecord { n_samples: 9, train_loss: 0.5 }];
        let record = |round| Record { partitions: partitions.clone(), ..Record::example(round) };
        let sums = |rounds, drifts| Sums { rounds, drifts, samples: 9, ..Sums::default() };
        let tables = "; rounds.csv and partitions.csv in the run folder have all.";
        for (sums, history, expect) in [
            (Sums::default(), vec![record(1), record(2)], None),
            (Sums::default(), vec![Record::example(1), Record::example(2)], None),
            (sums(2, 0), vec![record(3), record(4)], Some(format!("The page shows the rounds from 3 on{tables}"))),
            (
                sums(0, 1),
                vec![Record::example(1), record(2)],
                Some(format!(
                    "The page shows the rounds from 1 on, their partitions from 2 on{tables} Drifts seen before, and not shown: 1."
                )),
            ),
        ] {
            let origin = Origin { flags: Vec::new(), data: String::new(), dataset: "mnist".into() };
            let global = model::SIMPLE_CNN.zeros();
            let checkpoint =
                Checkpoint { origin, history, unlisted: sums, global, position: None, server: ServerState::default() };
            assert_eq!(unlisted(&checkpoint), expect);
        }
    }

    #[test]
    fn a_command_is_shown_as_it_could_be_typed() {
        let command = ["/home/me/target/release/trainer", "--run-dir", "my runs/1", "it's", ""].map(String::from);
        assert_eq!(typed(&command), r"trainer --run-dir 'my runs/1' 'it'\''s' ''");
    }
}
