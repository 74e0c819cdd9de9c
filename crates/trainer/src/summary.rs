//! The summary of a run: `summary.json` for programs, and a few lines for people, the number that matters last.

use std::path::Path;

use checkpoint::record::Record;
use cli::{count, flags::Precision};
use dataset::Dataset;
use serde::{Deserialize, Serialize};
use store::Manifest;

use crate::{
    config::Config,
    provenance::Provenance,
    run_folder::{FINAL_MODEL, REPORT},
    test_set,
};

/// `summary.json`. Fields may be added.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The dataset's name.
    pub dataset: String,
    /// Samples received and trained on.
    pub n_samples: u64,
    /// Samples in the test set.
    pub n_test_samples: usize,
    /// Which test set that is.
    pub test_set: TestSet,
    /// Chunk files.
    pub n_chunks: usize,
    /// Streams that they came in.
    pub n_streams: usize,
    /// Where the partitions trained.
    pub engine: String,
    /// Partitions.
    pub partitions: u32,
    /// Rounds.
    pub rounds: u32,
    /// Seed.
    pub seed: u64,
    /// The type of the numbers that training computes with.
    pub precision: Precision,
    /// Mean loss on the test set.
    pub test_loss: f64,
    /// Share of the test set that is right, 0 to 1.
    pub test_accuracy: f64,
    /// Share of the received data that is right, 0 to 1.
    pub received_accuracy: f64,
    /// SHA-256 of the final model.
    pub model_sha256: String,
    /// Where the time went.
    pub seconds: Seconds,
    /// How fast it was.
    pub samples_per_second: Rates,
    /// The command, the machine, the versions.
    pub provenance: Provenance,
}

/// A test set, as a report finds it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestSet {
    /// Its dataset's name.
    pub name: String,
    /// Its digest, which is that of its content.
    pub digest: String,
}

impl TestSet {
    pub(crate) fn of(test_set: &Dataset) -> Self {
        Self { name: test_set.name.clone(), digest: test_set::hex(test_set.digest()) }
    }
}

/// Where the time went, in seconds, over all processes that worked on the run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Seconds {
    /// Receiving, and everything that the trainer did.
    pub total: f64,
    /// From the first sample received to a complete chunk directory.
    pub send: f64,
    /// Training and averaging.
    pub train: f64,
    /// Evaluating.
    pub evaluate: f64,
}

/// Samples per second; `null` in JSON where no time was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rates {
    /// Received and stored.
    pub ingest: f64,
    /// Passed through the network in training; a sample counts once for each local epoch of each round.
    pub train: f64,
}

/// What a summary is made of, beside the configuration and the manifest.
#[derive(Debug)]
pub(crate) struct Results<'a> {
    pub(crate) engine: &'a str,
    pub(crate) test_set: &'a Dataset,
    pub(crate) history: &'a [Record],
    pub(crate) last: &'a Record,
    pub(crate) received_accuracy: f64,
    /// Seconds that the trainer has worked on the run.
    pub(crate) seconds: f64,
}

impl Summary {
    pub(crate) fn new(config: &Config, manifest: &Manifest, results: &Results<'_>) -> Self {
        let Results { history, last, .. } = results;
        let train: f64 = history.iter().map(|record| record.train_seconds).sum();
        let passes = history.len() as f64 * f64::from(config.local.local_epochs);
        Self {
            dataset: manifest.dataset.name.clone(),
            n_samples: manifest.samples,
            n_test_samples: results.test_set.len(),
            test_set: TestSet::of(results.test_set),
            n_chunks: manifest.chunks.len(),
            n_streams: manifest.streams.len(),
            engine: results.engine.to_owned(),
            partitions: config.partitions,
            rounds: last.round,
            seed: config.local.seed,
            precision: config.local.precision,
            test_loss: last.test_loss,
            test_accuracy: last.test_accuracy,
            received_accuracy: results.received_accuracy,
            model_sha256: last.model_sha256.clone(),
            seconds: Seconds {
                total: manifest.seconds + results.seconds,
                send: manifest.seconds,
                train,
                evaluate: history.iter().map(|record| record.evaluate_seconds).sum(),
            },
            samples_per_second: Rates {
                ingest: manifest.samples as f64 / manifest.seconds,
                train: manifest.samples as f64 * passes / train,
            },
            provenance: Provenance::here(),
        }
    }

    /// The lines for people.
    pub(crate) fn text(&self, run_folder: &Path) -> String {
        let Self { n_samples, n_test_samples, model_sha256, seconds, .. } = self;
        let Seconds { total, send, train, evaluate } = seconds;
        let [model, report] = [FINAL_MODEL, REPORT].map(|name| run_folder.join(name));
        let generated = match self.dataset.as_str() {
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
            self.samples_per_second.train,
            100.0 * self.received_accuracy,
            count(*n_samples, "sample"),
            100.0 * self.test_accuracy,
            count(*n_test_samples, "sample"),
            test_set::foreign(&self.test_set.name, &self.dataset),
        )
    }
}
