//! What a checkpoint says of what it does not list. A live run may have no end, and writes a checkpoint after each round; so
//! that lists the newest rounds, and of all before keeps nothing but sums.

use serde::{Deserialize, Serialize};

use crate::record::Record;

/// Sums over rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sums {
    /// How many rounds.
    pub rounds: u32,
    /// Seconds spent on training and averaging.
    pub train_seconds: f64,
    /// Seconds spent on evaluating.
    pub evaluate_seconds: f64,
    /// Samples trained on, as far as it is known which partition had how many.
    pub samples: u64,
    /// Samples at which the drift detector saw the errors increase.
    pub drifts: u64,
}

/// How much a checkpoint lists: so many of the newest rounds, and of the newest of these their partitions and drifts, as
/// long as they are not more than so many together.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the sentence above says it")]
pub struct Listed {
    pub rounds: usize,
    pub partitions: usize,
    pub drifts: usize,
}

impl Listed {
    /// By the checkpoints of a live run. A round takes 600 bytes, a partition 60 and a drift 10, which together is less than
    /// the weights take, and a sixteenth of the longest header that is read.
    pub const LIVE: Self = Self { rounds: 1000, partitions: 4096, drifts: 4096 };
}

impl Sums {
    /// Seconds that the rounds took.
    pub fn seconds(&self) -> f64 {
        self.train_seconds + self.evaluate_seconds
    }

    /// Adds a round.
    pub fn add(&mut self, record: &Record) {
        self.rounds = self.rounds.saturating_add(1);
        self.train_seconds += record.train_seconds;
        self.evaluate_seconds += record.evaluate_seconds;
        self.add_partitions(record);
        self.add_drifts(record);
    }

    /// Takes out of a history, and adds, what is more than is to be listed. The newest round stays whole.
    pub fn take_over(&mut self, history: &mut Vec<Record>, listed: Listed) {
        let more = history.len().saturating_sub(listed.rounds.max(1));
        history.drain(..more).for_each(|record| self.add(&record));
        let (mut partitions, mut drifts) = (0, 0);
        for (age, record) in history.iter_mut().rev().enumerate() {
            partitions += record.partitions.len();
            drifts += record.drifts.len();
            if age > 0 && partitions > listed.partitions {
                self.add_partitions(record);
                record.partitions = Vec::new();
            }
            if age > 0 && drifts > listed.drifts {
                self.add_drifts(record);
                record.drifts = Vec::new();
            }
        }
    }

    fn add_partitions(&mut self, record: &Record) {
        let samples = record.partitions.iter().map(|partition| partition.n_samples);
        self.samples = samples.fold(self.samples, u64::saturating_add);
    }

    fn add_drifts(&mut self, record: &Record) {
        self.drifts = self.drifts.saturating_add(record.drifts.len() as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::PartitionRecord;

    /// A round of two partitions of ten samples each, with this many drifts.
    fn record(round: u32, drifts: usize) -> Record {
        let partitions = vec![PartitionRecord { n_samples: 10, train_loss: 0.5 }; 2];
        Record { partitions, drifts: vec![u64::from(round); drifts], ..Record::example(round) }
    }

    fn all(sums: Sums, history: &[Record]) -> Sums {
        history.iter().fold(sums, |mut sums, record| {
            sums.add(record);
            sums
        })
    }

    #[test]
    fn what_is_not_listed_is_summed_and_the_newest_round_stays_whole() {
        // What is listed of five rounds with a drift each: the rounds, and how many of them have partitions, and drifts.
        for (rounds, partitions, drifts, expect) in [
            (9, 99, 99, (&[1, 2, 3, 4, 5][..], 5, 5)),
            (5, 10, 5, (&[1, 2, 3, 4, 5], 5, 5)),
            (3, 99, 99, (&[3, 4, 5], 3, 3)),
            (3, 5, 1, (&[3, 4, 5], 2, 1)),
            (9, 4, 99, (&[1, 2, 3, 4, 5], 2, 5)),
            (1, 0, 0, (&[5], 1, 1)),
            (0, 0, 0, (&[5], 1, 1)),
        ] {
            let listed = Listed { rounds, partitions, drifts };
            let (mut at_once, mut one_by_one) = ((1..=5).map(|round| record(round, 1)).collect::<Vec<_>>(), Vec::new());
            let expect_sums = all(Sums::default(), &at_once);
            let (mut sums, mut sums_one_by_one) = (Sums::default(), Sums::default());
            for record in &at_once {
                one_by_one.push(record.clone());
                sums_one_by_one.take_over(&mut one_by_one, listed);
            }
            sums.take_over(&mut at_once, listed);
            let rounds: Vec<u32> = at_once.iter().map(|record| record.round).collect();
            let with = |has: fn(&Record) -> bool| at_once.iter().filter(|record| has(record)).count();
            let found =
                (&rounds[..], with(|record| !record.partitions.is_empty()), with(|record| !record.drifts.is_empty()));
            assert_eq!(found, expect, "{listed:?}");
            assert_eq!(all(sums, &at_once), expect_sums, "{listed:?}");
            assert_eq!((sums, at_once), (sums_one_by_one, one_by_one), "{listed:?}");
        }
    }
}
