//! The summary of a run: for programs, and as a few lines for people, the number that matters last.

use std::path::Path;

use dataset::Drift;
use run_folder::{Checkpoint, FINAL_MODEL, LiveSummary, REPORT, Rates, Seconds, Summary, TestSet};
use terminal::count;

use super::{FinalEvaluation, RunInputs, provenance};
use crate::{config::Config, data::test_set, live::text};

/// The summary of a run that ended so, with this final model, on which the trainer has worked for so many seconds.
pub(super) fn of(
    config: &Config,
    given: RunInputs<'_>,
    state: &Checkpoint,
    model: &FinalEvaluation,
    seconds: f64,
) -> Summary {
    let RunInputs { manifest, test_set } = given;
    let last = state.history.last().expect("a run has at least one round");
    let sums = state.sums();
    let trained = match &model.live {
        Some(_) => sums.samples,
        None => manifest.samples * u64::from(sums.rounds),
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
            train: sums.train_seconds,
            evaluate: sums.evaluate_seconds,
        },
        samples_per_second: Rates {
            ingest: rate(manifest.samples as f64, manifest.seconds),
            train: rate(passed, sums.train_seconds),
        },
        provenance: provenance::here(),
    }
}

/// What people read at the end; `ended` is why it came early.
pub(super) fn text(summary: &Summary, test_set: &str, run_folder: &Path, ended: Option<String>) -> String {
    let Seconds { total, send, train, evaluate } = summary.seconds;
    let [model, report] = [FINAL_MODEL, REPORT].map(|name| run_folder.join(name).display().to_string());
    let is_generated = Drift::of_name(&summary.dataset).0 == "generated";
    let generated = is_generated.then(|| "generated digits, drawn by the program: this is not MNIST".to_owned());
    let seconds = match summary.live {
        Some(_) => format!("{total:.1}: training {train:.1}, evaluating {evaluate:.1}; receiving took {send:.1}"),
        None => format!("{total:.1}: receiving {send:.1}, training {train:.1}, evaluating {evaluate:.1}"),
    };
    let of = |share: f64, samples: String| format!("{:.2} % of {samples}", 100.0 * share);
    let foreign = test_set::foreign(test_set, &summary.dataset);
    let live = |value: fn(&LiveSummary) -> String| summary.live.as_ref().map(value);
    let lines = [
        ("dataset", generated),
        ("ended early", ended),
        ("model", Some(model)),
        ("report", Some(report)),
        ("model SHA-256", Some(summary.model_sha256.clone())),
        ("seconds", Some(seconds)),
        ("training speed", summary.samples_per_second.train.map(|rate| format!("{rate:.0} samples/s"))),
        ("most behind", live(text::behind)),
        ("drift", live(text::drifts)),
        ("prequential", live(text::prequential)),
        ("received accuracy", summary.received_accuracy.map(|share| of(share, count(summary.n_samples, "sample")))),
        ("test accuracy", Some(of(summary.test_accuracy, count(summary.n_test_samples, "sample")) + &foreign)),
    ];
    let line = |(name, value): (&str, Option<String>)| Some(format!("{name:<19}{}", value?));
    lines.into_iter().filter_map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary() -> Summary {
        let json = r#"{"dataset":"mnist","n_samples":4000,"n_test_samples":100,"n_chunks":4,"engine":"rayon","partitions":1,
            "rounds":2,"seed":42,"test_accuracy":0.875,"received_accuracy":0.5,"model_sha256":"abc",
            "seconds":{"total":4,"send":1,"train":2,"evaluate":1},"samples_per_second":{"ingest":null,"train":3}}"#;
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn the_text_has_a_line_for_each_figure_and_ends_with_the_test_accuracy() {
        let always = "model              run/final_cnn_model.safetensors\n\
                      report             run/report.html\n\
                      model SHA-256      abc\n\
                      seconds            4.0: receiving 1.0, training 2.0, evaluating 1.0\n\
                      training speed     3 samples/s\n";
        let expect = format!(
            "{always}received accuracy  50.00 % of 4000 samples\n\
             test accuracy      87.50 % of 100 samples"
        );
        assert_eq!(text(&summary(), "mnist", Path::new("run"), None), expect);

        let always = always
            .replace("receiving 1.0, training 2.0, evaluating 1.0", "training 2.0, evaluating 1.0; receiving took 1.0");
        let of_a_live_run = Summary { live: Some(text::tests::live()), received_accuracy: None, ..summary() };
        let expect = format!(
            "{always}most behind        1200 samples, 0.2 s\n\
             drift              none seen\n\
             prequential        accuracy 75.00 %, at the end 80.00 % (fading); kappa 0.7000, loss 0.5000\n\
             test accuracy      87.50 % of 100 samples"
        );
        assert_eq!(text(&of_a_live_run, "mnist", Path::new("run"), None), expect);

        let unmeasured = Summary { samples_per_second: Rates::default(), received_accuracy: None, ..summary() };
        let said = text(&unmeasured, "mnist", Path::new("run"), None);
        assert!(!said.contains("NaN") && !said.contains("inf") && !said.contains("speed"), "{said}");
    }
}
