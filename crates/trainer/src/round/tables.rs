//! `rounds.csv` and `partitions.csv` of a run at work. Those of a live run, which may have no end, grow by the rows of each
//! round; those of any other are written anew.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::Context;
use process::file;
use run_folder::{Table, record::Record};

pub(crate) struct Tables {
    tables: [(PathBuf, Table); 2],
    /// Where the next rows go, in a live run.
    ends: Option<[File; 2]>,
}

impl Tables {
    /// Makes the tables those of a run with this history. Rows of a live run's earlier rounds, which its history does not
    /// list, stay.
    pub(crate) fn open(run_folder: &Path, is_live: bool, history: &[Record]) -> anyhow::Result<Self> {
        let tables = Table::all(is_live).map(|table| (run_folder.join(table.name), table));
        let mut tables = Self { tables, ends: None };
        if !is_live {
            tables.write(history)?;
            return Ok(tables);
        }
        let [rounds, partitions] = &tables.tables;
        tables.ends = Some([mend(rounds, history)?, mend(partitions, history)?]);
        Ok(tables)
    }

    /// Adds the last round of a history.
    pub(crate) fn record(&mut self, history: &[Record]) -> anyhow::Result<()> {
        let (Some(ends), Some(record)) = (&mut self.ends, history.last()) else { return self.write(history) };
        for ((path, table), end) in self.tables.iter().zip(ends) {
            // A part of them, after a kill or on a full disk, is mended when the run goes on.
            let added = end.write_all(table.rows(record).as_bytes()).and_then(|()| end.sync_data());
            added.with_context(|| format!("failed to append to `{}`", path.display()))?;
        }
        Ok(())
    }

    fn write(&self, history: &[Record]) -> anyhow::Result<()> {
        self.tables.iter().try_for_each(|(path, table)| file::replace(path, table.text(history).as_bytes()))
    }
}

/// Makes a table whole, and opens it at its end.
fn mend((path, table): &(PathBuf, Table), history: &[Record]) -> anyhow::Result<File> {
    let present = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        present => present.with_context(|| format!("failed to read `{}`", path.display()))?,
    };
    file::replace(path, table.mended(&present, history).as_bytes())?;
    let end = OpenOptions::new().append(true).open(path);
    end.with_context(|| format!("failed to open `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use run_folder::{PARTITIONS, ROUNDS, record::PartitionRecord};

    use super::*;

    #[test]
    fn a_live_run_appends_and_its_earlier_rows_outlive_a_history_that_lists_them_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let record = |round| {
            let partitions = vec![PartitionRecord { n_samples: 9, train_loss: 0.5 }; 2];
            Record { partitions, ..Record::example(round) }
        };
        let all: Vec<Record> = (1..=6).map(record).collect();
        let read = || [ROUNDS, PARTITIONS].map(|name| fs::read_to_string(dir.path().join(name)).unwrap());
        let expect = |rounds: usize| Table::all(true).map(|table| table.text(&all[..rounds]));
        let mut tables = Tables::open(dir.path(), true, &[]).unwrap();
        for round in 1..=4 {
            tables.record(&all[..round]).unwrap();
            assert_eq!(read(), expect(round));
        }
        // The rows of round 4 came after the checkpoint to go on from, or half of them before a kill.
        for cut in [0, 3, 30] {
            let path = dir.path().join(PARTITIONS);
            let present = fs::read(&path).unwrap();
            fs::write(&path, &present[..present.len() - cut]).unwrap();
            Tables::open(dir.path(), true, &all[2..4]).unwrap();
            assert_eq!(read(), expect(4));
        }
        let mut tables = Tables::open(dir.path(), true, &all[1..3]).unwrap();
        assert_eq!(read(), expect(3));
        (4..=6).for_each(|round| tables.record(&all[round - 2..round]).unwrap());
        assert_eq!(read(), expect(6));
        let mut plain = Tables::open(dir.path(), false, &all[..1]).unwrap();
        plain.record(&all[..2]).unwrap();
        assert_eq!(read(), Table::all(false).map(|table| table.text(&all[..2])));
    }
}
