//! The summary of a run: for programs, and as a few lines for people, the number that matters last.

use std::path::Path;

use run_folder::{FINAL_MODEL, REPORT, Rates, Seconds, Summary, TestSet, record::Record};
use terminal::count;

use super::{FinalEvaluation, RunInputs, provenance};
use crate::{config::Config, data::test_set};

/// The summary of a run with these rounds and this final model, on which the trainer has worked for so many seconds.
pub(super) fn of(
    config: &Config,
    given: RunInputs<'_>,
    history: &[Record],
    model: &FinalEvaluation,
    seconds: f64,
) -> Summary {
    let RunInputs { manifest, test_set } = given;
    let last = history.last().expect("a run has at least one round");
    let train: f64 = history.iter().map(|record| record.train_seconds).sum();
    let trained = match &model.live {
        Some(_) => history.iter().flat_map(|record| &record.partitions).map(|partition| partition.n_samples).sum(),
        None => manifest.samples * history.len() as u64,
    };
    let passed = trained as f64 * f64::from(config.training.local.local_epochs);
    let rate = |samples: f64, seconds: f64| Some(samples / seconds).filter(|rate| rate.is_finite());
    Summary {
        dataset: manifest.dataset.name.clone(),
        n_samples: model.live.as_ref().map_or(manifest.samples, |live| live.samples),
        n_test_samples: test_set.samples.len(),
        test_set: Some(TestSet { name: test_set.name.clone(), digest: hex::encode(test_set.digest()) }),
        n_chunks: manifest.chunks.len() as u64,
        n_streams: Some(manifest.streams.len() as u64),
        engine: config.flag("engine"),
        partitions: config.partitions,
        rounds: last.round,
        seed: config.training.seed,
        step: config.flag("step"),
        test_loss: last.test_loss,
        test_accuracy: last.test_accuracy,
        received_accuracy: model.received_accuracy,
        live: model.live.clone(),
        model_sha256: last.model_sha256.clone(),
        seconds: Seconds {
            // A live run trains while it receives.
            total: if model.live.is_some() { seconds } else { manifest.seconds + seconds },
            send: manifest.seconds,
            train,
            evaluate: history.iter().map(|record| record.evaluate_seconds).sum(),
        },
        samples_per_second: Rates {
            ingest: rate(manifest.samples as f64, manifest.seconds),
            train: rate(passed, train),
        },
        provenance: provenance::here(),
    }
}

pub(super) fn text(summary: &Summary, test_set: &str, run_folder: &Path) -> String {
    let Summary { n_samples, n_test_samples, model_sha256, .. } = summary;
    let Seconds { total, send, train, evaluate } = summary.seconds;
    let [model, report] = [FINAL_MODEL, REPORT].map(|name| run_folder.join(name));
    let generated = match summary.dataset.as_str() {
        "generated" => "dataset            generated digits, drawn by the program: this is not MNIST\n",
        _ => "",
    };
    format!(
        "{generated}\
         model              {}\n\
         report             {}\n\
         model SHA-256      {model_sha256}\n\
         seconds            {total:.1}: receiving {send:.1}, training {train:.1}, evaluating {evaluate:.1}\n\
         training speed     {:.0} samples/s\n\
         received accuracy  {:.2} % of {}\n\
         test accuracy      {:.2} % of {}{}",
        model.display(),
        report.display(),
        summary.samples_per_second.train.unwrap_or(f64::INFINITY),
        100.0 * summary.received_accuracy.unwrap_or(f64::NAN),
        count(*n_samples, "sample"),
        100.0 * summary.test_accuracy,
        count(*n_test_samples, "sample"),
        test_set::foreign(test_set, &summary.dataset),
    )
}
