//! The summary is the result of a run, for programs. Fields may be added; those that older versions did not write have a
//! default.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Error, SUMMARY, read};

/// [`SUMMARY`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The dataset's name.
    pub dataset: String,
    /// Samples received and trained on.
    pub n_samples: u64,
    /// Samples in the test set.
    #[serde(default)]
    pub n_test_samples: usize,
    /// Which test set that is.
    #[serde(default)]
    pub test_set: Option<TestSet>,
    /// Chunk files.
    pub n_chunks: u64,
    /// Streams that they came in.
    #[serde(default)]
    pub n_streams: Option<u64>,
    /// Where the partitions trained.
    pub engine: String,
    /// Partitions.
    pub partitions: u32,
    /// Rounds.
    pub rounds: u32,
    /// Seed.
    pub seed: u64,
    /// What computed the training steps; older versions knew nothing but libtorch.
    #[serde(default = "libtorch")]
    pub step: String,
    /// Mean loss on the test set.
    #[serde(default)]
    pub test_loss: f64,
    /// Share of the test set that is right, 0 to 1.
    #[serde(default)]
    pub test_accuracy: f64,
    /// Share of the received data that is right, 0 to 1, where it was measured.
    #[serde(default)]
    pub received_accuracy: Option<f64>,
    /// What a live run brought beside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<LiveSummary>,
    /// SHA-256 of the final model.
    pub model_sha256: String,
    /// Where the time went.
    pub seconds: Seconds,
    /// How fast it was.
    #[serde(default)]
    pub samples_per_second: Rates,
    /// The command, the machine, the versions.
    #[serde(default)]
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

/// What a live run brought beside its model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LiveSummary {
    /// Samples of all slices.
    pub samples: u64,
    /// Samples of a slice.
    pub samples_per_round: u64,
    /// What a round trained on beside its slice, as `--replay` has it.
    pub replay: String,
    /// Share of all samples that was predicted right before they were trained on, 0 to 1.
    pub prequential_accuracy: f64,
    /// Mean loss of these predictions.
    pub prequential_loss: f64,
    /// Cohen's kappa of these predictions.
    pub prequential_kappa: f64,
    /// The accuracy that counts older samples less.
    pub fading_accuracy: f64,
    /// The seqs of the samples at which the drift detector saw the errors increase, of rounds that the checkpoint lists.
    pub drifts: Vec<u64>,
    /// How many there were before.
    #[serde(default)]
    pub unlisted_drifts: u64,
    /// The most samples that the trainer was behind, as far as this process saw, or one that finished the run earlier.
    pub behind_samples: u64,
    /// The most seconds.
    pub behind_seconds: f64,
}

/// Where the time went, in seconds, over all processes that worked on the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Received and stored.
    pub ingest: Option<f64>,
    /// Passed through the network in training; a sample counts once for each local epoch of each round.
    pub train: Option<f64>,
}

/// How a run came about, beside the flags. It is written down when the run ends, since a report may be made later and
/// elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Provenance {
    /// The trainer's command line, its program without the path.
    pub command: Vec<String>,
    /// When it ended, with the offset of the time zone.
    pub finished: String,
    /// The processor's name, as the operating system says it.
    pub cpu: String,
    /// Cores that the trainer could use.
    pub cores: usize,
    /// The operating system.
    pub os: String,
    /// Tributary's version.
    pub tributary: String,
    /// libtorch's version.
    pub libtorch: String,
}

fn libtorch() -> String {
    "libtorch".into()
}

impl Summary {
    /// That of a run folder; `None` if the run is not finished.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn read(run_folder: &Path) -> Result<Option<Self>, Error> {
        read::json(&run_folder.join(SUMMARY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_of_an_older_version_or_without_a_measured_time_is_read() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Summary::read(dir.path()).unwrap(), None);
        let text = r#"{"dataset":"mnist","n_samples":1,"n_chunks":1,"engine":"rayon","partitions":1,"rounds":1,"seed":42,
            "precision":"f32","received_accuracy":0.5,"model_sha256":"","seconds":{"total":0,"send":0,"train":0,"evaluate":0},
            "samples_per_second":{"ingest":null,"train":3}}"#;
        std::fs::write(dir.path().join(SUMMARY), text).unwrap();
        let summary = Summary::read(dir.path()).unwrap().unwrap();
        assert_eq!((&summary.test_set, summary.n_streams, summary.step.as_str()), (&None, None, "libtorch"));
        assert_eq!(summary.samples_per_second, Rates { ingest: None, train: Some(3.0) });
    }
}
