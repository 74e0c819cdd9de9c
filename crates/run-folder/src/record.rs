//! A record is the figures of one round. Records are kept in the checkpoints and shown as a line on the console, an
//! event, and a row of `rounds.csv`.

use event::{Event, Prequential};
use serde::{Deserialize, Serialize};

/// The figures of one round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// From 1.
    pub round: u32,
    /// Mean loss over the samples trained on.
    pub train_loss: f64,
    /// Mean loss of the averaged model on the test set.
    pub test_loss: f64,
    /// Share of the test set that the averaged model gets right, 0 to 1.
    pub test_accuracy: f64,
    /// The same on the received data, where it was measured.
    pub received_accuracy: Option<f64>,
    /// How the model did on the round's slice before it was trained on it; of a live run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prequential: Option<Prequential>,
    /// The seqs of the samples of this slice at which the drift detector saw the errors increase.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drifts: Vec<u64>,
    /// SHA-256 of the averaged model.
    pub model_sha256: String,
    /// Seconds spent on training and averaging.
    pub train_seconds: f64,
    /// Seconds spent on evaluating.
    pub evaluate_seconds: f64,
    /// What each partition brought, in partition order; empty in a checkpoint of a trainer that did not keep it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partitions: Vec<PartitionRecord>,
}

/// The figures of one partition in one round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartitionRecord {
    /// The samples it holds.
    pub n_samples: u64,
    /// Mean loss over the samples trained on.
    pub train_loss: f64,
}

/// The columns that the table on the console has beside those of every run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Columns {
    /// The prequential accuracy: of a live run.
    pub prequential: bool,
    /// The received accuracy: where it is measured in each round.
    pub received: bool,
}

/// The first line of the table on the console.
pub fn header(columns: Columns) -> String {
    let prequential = if columns.prequential { "  prequential accuracy" } else { "" };
    let received = if columns.received { "  received accuracy" } else { "" };
    format!("round  train loss{prequential}  test loss  test accuracy{received}  seconds  model SHA-256")
}

impl Record {
    /// Seconds that the round took.
    pub fn seconds(&self) -> f64 {
        self.train_seconds + self.evaluate_seconds
    }

    /// The record as it is told.
    pub fn event(&self) -> Event {
        Event::Round {
            round: self.round,
            train_loss: self.train_loss,
            test_loss: self.test_loss,
            test_accuracy: self.test_accuracy,
            received_accuracy: self.received_accuracy,
            prequential: self.prequential,
            model_sha256: self.model_sha256.clone(),
            seconds: self.seconds(),
        }
    }

    /// The record as a line under [`header`]; of the hash it shows the start.
    pub fn line(&self, columns: Columns) -> String {
        let Self { round, train_loss, test_loss, .. } = self;
        let accuracy = 100.0 * self.test_accuracy;
        let percent = |is_shown: bool, share: Option<f64>, width: usize| match share {
            _ if !is_shown => String::new(),
            Some(share) => format!("  {:>1$.2} %", 100.0 * share, width - 2),
            None => format!("  {:>width$}", "-"),
        };
        let prequential = percent(columns.prequential, self.prequential.map(|figures| figures.accuracy), 20);
        let received = percent(columns.received, self.received_accuracy, 17);
        let (seconds, hash) = (self.seconds(), self.model_sha256.get(..16).unwrap_or(&self.model_sha256));
        format!(
            "{round:>5}  {train_loss:>10.4}{prequential}  {test_loss:>9.4}  {accuracy:>11.2} %{received}  {seconds:>7.2}  {hash}"
        )
    }

    /// A record for tests.
    #[doc(hidden)]
    pub fn example(round: u32) -> Self {
        Record {
            round,
            train_loss: 0.5,
            test_loss: 0.25,
            test_accuracy: 0.9841,
            received_accuracy: None,
            prequential: None,
            drifts: Vec::new(),
            model_sha256: "0123456789abcdef".repeat(4),
            train_seconds: 1.5,
            evaluate_seconds: 0.5,
            partitions: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREQUENTIAL: Prequential =
        Prequential { position: 4000, accuracy: 0.875, loss: 0.5, kappa: 0.75, fading_accuracy: 0.625 };

    #[test]
    fn a_line_stands_under_its_header() {
        let record = Record::example(3);
        let measured = Record { received_accuracy: Some(1.0), prequential: Some(PREQUENTIAL), ..record.clone() };
        for (prequential, received) in [(false, false), (false, true), (true, false), (true, true)] {
            let columns = Columns { prequential, received };
            for record in [&record, &measured] {
                let (header, line) = (header(columns), record.line(columns));
                // Every column but the last ends where its heading ends.
                let column = |text: &str| text.rfind("  ").unwrap();
                assert_eq!(column(&line), column(&header), "\n{header}\n{line}");
            }
        }
        let [plain, live] = [false, true].map(|prequential| Columns { prequential, received: false });
        assert_eq!(record.line(plain), "    3      0.5000     0.2500        98.41 %     2.00  0123456789abcdef");
        let expect = "    3      0.5000               87.50 %     0.2500        98.41 %     2.00  0123456789abcdef";
        assert_eq!(measured.line(live), expect);
    }

    #[test]
    fn a_record_comes_back_from_its_json_to_the_last_bit() {
        // A parser that is not exact reads the second number one bit off.
        let losses = [0.5, 0.041861723513539964].map(|loss| Record { train_loss: loss, ..Record::example(1) });
        for record in losses {
            let json = serde_json::to_string(&record).unwrap();
            assert_eq!(serde_json::from_str::<Record>(&json).unwrap(), record);
        }
    }

    #[test]
    fn a_record_without_partitions_is_read_and_written_as_it_was_before_they_were_kept() {
        let json = serde_json::to_string(&Record::example(1)).unwrap();
        assert!(!json.contains("partitions"), "{json}");
        assert_eq!(serde_json::from_str::<Record>(&json).unwrap(), Record::example(1));
    }
}
