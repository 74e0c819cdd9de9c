//! The tables of a run folder, for spreadsheets: a row for each round, and a row for each partition of each round.

use event::Prequential;

use crate::{
    PARTITIONS, ROUNDS,
    record::{PartitionRecord, Record},
};

const ROUND: &str =
    "round,train_loss,test_loss,test_accuracy,received_accuracy,train_seconds,evaluate_seconds,model_sha256";
/// What a live run has behind the others.
const LIVE: &str = ",position,prequential_accuracy,prequential_loss,prequential_kappa,fading_accuracy";
const PARTITION: &str = "round,partition,n_samples,train_loss";

/// A table, and how it is written.
#[derive(Debug)]
pub struct Table {
    /// Its file.
    pub name: &'static str,
    header: String,
    /// Columns at the front, of whole numbers, by which the rows are ordered. The first is the round.
    keys: usize,
    rows: fn(&Record) -> String,
}

impl Table {
    /// Those of a run. [`ROUNDS`] has more columns in a live one.
    pub fn all(is_live: bool) -> [Self; 2] {
        let (live, rows): (_, fn(&Record) -> String) = if is_live { (LIVE, live_row) } else { ("", row) };
        [
            Self { name: ROUNDS, header: format!("{ROUND}{live}\n"), keys: 1, rows },
            Self { name: PARTITIONS, header: format!("{PARTITION}\n"), keys: 2, rows: partition_rows },
        ]
    }

    /// The rows of a round.
    pub fn rows(&self, record: &Record) -> String {
        (self.rows)(record)
    }

    /// The whole table of these rounds.
    pub fn text(&self, records: &[Record]) -> String {
        self.mended(b"", records)
    }

    /// The table as it is to be after these rounds, which may be the newest only: their rows, behind those of rounds before
    /// them that are `present`. What else is there, such as half a row after a kill, is left out.
    pub fn mended(&self, present: &[u8], records: &[Record]) -> String {
        let rows = records.iter().map(|record| (record.round, self.rows(record))).filter(|(_, rows)| !rows.is_empty());
        let rows: Vec<(u32, String)> = rows.collect();
        // Rounds without rows, whose partitions are not listed, have theirs in the file.
        let last = records.last().map_or(0, |record| record.round);
        let written_anew = rows.first().map_or(last.saturating_add(1), |(round, _)| *round);
        let (mut text, mut newest) = (self.header.clone(), Vec::new());
        for row in present.split_inclusive(|&byte| byte == b'\n').filter_map(|row| str::from_utf8(row).ok()) {
            let Some(key) = self.key(row).filter(|key| key[0] < written_anew && *key > newest) else { continue };
            text += row;
            newest = key;
        }
        rows.iter().for_each(|(_, rows)| text += rows);
        text
    }

    /// What a row is ordered by; `None` if it is not a whole one.
    fn key(&self, row: &str) -> Option<Vec<u32>> {
        let cells: Vec<&str> = row.strip_suffix('\n')?.split(',').collect();
        let is_whole = cells.len() == self.header.split(',').count();
        is_whole.then(|| cells[..self.keys].iter().map(|cell| cell.parse().ok()).collect())?
    }
}

fn row(record: &Record) -> String {
    cells(record) + "\n"
}

fn live_row(record: &Record) -> String {
    let live = match record.prequential {
        Some(Prequential { position, accuracy, loss, kappa, fading_accuracy }) => {
            format!("{position},{accuracy},{loss},{kappa},{fading_accuracy}")
        }
        None => ",".repeat(4),
    };
    format!("{},{live}\n", cells(record))
}

fn cells(record: &Record) -> String {
    let Record { round, train_loss, test_loss, test_accuracy, train_seconds, evaluate_seconds, model_sha256, .. } =
        record;
    let received = record.received_accuracy.map(|share| share.to_string()).unwrap_or_default();
    format!(
        "{round},{train_loss},{test_loss},{test_accuracy},{received},{train_seconds},{evaluate_seconds},{model_sha256}"
    )
}

/// What each partition brought. Partitions count from 0.
fn partition_rows(record: &Record) -> String {
    let row = |(partition, PartitionRecord { n_samples, train_loss }): (usize, &PartitionRecord)| {
        format!("{},{partition},{n_samples},{train_loss}\n", record.round)
    };
    record.partitions.iter().enumerate().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_partitions(round: u32) -> Record {
        let partitions =
            [(10, 0.5), (9, 0.25)].map(|(n_samples, train_loss)| PartitionRecord { n_samples, train_loss });
        Record { partitions: partitions.into(), ..Record::example(round) }
    }

    #[test]
    fn partitions_have_a_row_for_every_round() {
        let [_, table] = Table::all(false);
        let expect = "round,partition,n_samples,train_loss\n2,0,10,0.5\n2,1,9,0.25\n";
        assert_eq!(table.text(&[with_partitions(2)]), expect);
    }

    #[test]
    fn what_was_not_measured_is_an_empty_field() {
        let hash = "0123456789abcdef".repeat(4);
        let [table, _] = Table::all(false);
        let text = table.text(&[Record::example(1), Record { received_accuracy: Some(0.75), ..Record::example(2) }]);
        let rows: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(rows[0], format!("1,0.5,0.25,0.9841,,1.5,0.5,{hash}"));
        assert_eq!(rows[1], format!("2,0.5,0.25,0.9841,0.75,1.5,0.5,{hash}"));
    }

    #[test]
    fn the_rows_of_a_live_run_end_with_its_prequential_figures() {
        let slice = Prequential { position: 4000, accuracy: 0.875, loss: 0.5, kappa: 0.75, fading_accuracy: 0.625 };
        let live = Record { prequential: Some(slice), ..Record::example(2) };
        let [table, _] = Table::all(true);
        let text = table.text(&[Record::example(1), live]);
        let rows: Vec<Vec<&str>> = text.lines().map(|row| row.split(',').skip(8).collect()).collect();
        let heads = ["position", "prequential_accuracy", "prequential_loss", "prequential_kappa", "fading_accuracy"];
        assert_eq!(rows, [&heads[..], &[""; 5], &["4000", "0.875", "0.5", "0.75", "0.625"]]);
    }

    #[test]
    fn rows_of_earlier_rounds_stay_and_all_others_are_those_of_the_records() {
        let [_, table] = Table::all(true);
        let of = |rounds: &[u32]| rounds.iter().map(|&round| with_partitions(round)).collect::<Vec<_>>();
        let (all, newest) = (table.text(&of(&[1, 2, 3, 4])), of(&[3, 4]));
        let bytes = all.len();
        for (present, what) in [
            (all.clone(), "as it is"),
            (all[..bytes - 4].to_owned(), "half a row"),
            (all[..bytes - 20].to_owned(), "a row and a half are missing"),
            (table.text(&of(&[1, 2])), "two rounds are missing"),
            (all.clone() + "5,0,10,0.5\n", "a round that no checkpoint holds"),
            (all.replace("3,0,10", "3,0,99"), "another round 3"),
            (all.replace("2,1,9", "2,1,9,0.25,7\n\0\0\n1,0,10,0.5\n2,1,9"), "rows that are not whole, or again"),
            (all.replace("round,partition", "ronud,partition"), "another header"),
        ] {
            assert_eq!(table.mended(present.as_bytes(), &newest), all, "{what}");
        }
        assert_eq!(table.mended(b"\xff\n1,0,10,0.5\n", &[]), table.text(&[]), "a new run");
    }

    #[test]
    fn partitions_that_no_record_lists_stay_in_the_file() {
        let [rounds, partitions] = Table::all(true);
        let all = [1, 2, 3].map(with_partitions);
        let listed = [Record::example(2), with_partitions(3)];
        assert_eq!(partitions.mended(partitions.text(&all).as_bytes(), &listed), partitions.text(&all));
        assert_eq!(rounds.mended(b"", &listed), rounds.text(&all[1..]));
    }
}
