//! A record is the figures of one round. Records are kept in the checkpoints and shown as a line on the console, an
//! event, and a row of `rounds.csv`.

use event::Prequential;
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
    /// The seqs of the samples of this slice at which the drift detector saw a change.
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

/// The first line of the table on the console. The column of the received accuracy is there if it is wanted.
pub fn header(received: bool) -> String {
    let received = if received { "  received accuracy" } else { "" };
    format!("round  train loss  test loss  test accuracy{received}  seconds  model SHA-256")
}

impl Record {
    /// Seconds that the round took.
    pub fn seconds(&self) -> f64 {
        self.train_seconds + self.evaluate_seconds
    }

    /// The record as a line under [`header`]; of the hash it shows the start.
    pub fn line(&self, received: bool) -> String {
        let Self { round, train_loss, test_loss, .. } = self;
        let accuracy = 100.0 * self.test_accuracy;
        let received = match self.received_accuracy {
            Some(share) if received => format!("  {:>15.2} %", 100.0 * share),
            None if received => format!("  {:>17}", "-"),
            _ => String::new(),
        };
        let (seconds, hash) = (self.seconds(), self.model_sha256.get(..16).unwrap_or(&self.model_sha256));
        format!(
            "{round:>5}  {train_loss:>10.4}  {test_loss:>9.4}  {accuracy:>11.2} %{received}  {seconds:>7.2}  {hash}"
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

/// The records as the text of `rounds.csv`.
pub fn csv(records: &[Record]) -> String {
    let mut text = String::from(
        "round,train_loss,test_loss,test_accuracy,received_accuracy,train_seconds,evaluate_seconds,model_sha256\n",
    );
    for record in records {
        let Record { round, train_loss, test_loss, test_accuracy, train_seconds, evaluate_seconds, .. } = record;
        let received = record.received_accuracy.map(|share| share.to_string()).unwrap_or_default();
        let hash = &record.model_sha256;
        text += &format!("{round},{train_loss},{test_loss},{test_accuracy},{received},");
        text += &format!("{train_seconds},{evaluate_seconds},{hash}\n");
    }
    text
}

/// What each partition brought to each round, as the text of `partitions.csv`. Partitions count from 0.
pub fn partitions_csv(records: &[Record]) -> String {
    let mut text = String::from("round,partition,n_samples,train_loss\n");
    for record in records {
        for (partition, PartitionRecord { n_samples, train_loss }) in record.partitions.iter().enumerate() {
            text += &format!("{},{partition},{n_samples},{train_loss}\n", record.round);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stands_under_its_header() {
        let record = Record::example(3);
        let measured = Record { received_accuracy: Some(1.0), ..record.clone() };
        for (record, received) in [(&record, false), (&record, true), (&measured, false), (&measured, true)] {
            let (header, line) = (header(received), record.line(received));
            // Every column but the last ends where its heading ends.
            let column = |text: &str| text.rfind("  ").unwrap();
            assert_eq!(column(&line), column(&header), "\n{header}\n{line}");
        }
        assert_eq!(record.line(false), "    3      0.5000     0.2500        98.41 %     2.00  0123456789abcdef");
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

    #[test]
    fn partitions_have_a_row_for_every_round() {
        let partitions =
            [(10, 0.5), (9, 0.25)].map(|(n_samples, train_loss)| PartitionRecord { n_samples, train_loss });
        let record = Record { partitions: partitions.into(), ..Record::example(2) };
        assert_eq!(partitions_csv(&[record]), "round,partition,n_samples,train_loss\n2,0,10,0.5\n2,1,9,0.25\n");
    }

    #[test]
    fn what_was_not_measured_is_an_empty_field() {
        let hash = "0123456789abcdef".repeat(4);
        let rows = csv(&[Record::example(1), Record { received_accuracy: Some(0.75), ..Record::example(2) }]);
        let rows: Vec<&str> = rows.lines().skip(1).collect();
        assert_eq!(rows[0], format!("1,0.5,0.25,0.9841,,1.5,0.5,{hash}"));
        assert_eq!(rows[1], format!("2,0.5,0.25,0.9841,0.75,1.5,0.5,{hash}"));
    }
}
