//! What TensorBoard shows of a run: the figures of every round, the confusion matrix on the test set and the distribution
//! of weights as they change, and in its tab HPARAMS the flags that decide the model's bits.
//!
//! A round's event is durable before its checkpoint, so a run that goes on from a checkpoint finds all earlier events, and
//! takes back a later one.

use std::{collections::BTreeMap, path::Path};

use anyhow::Context;
use model::StateDict;
use picture::Picture;
use run_folder::{Checkpoint, Origin, TENSORBOARD, record::Record};
use sample::CLASSES;
use tensorboard::{EventFile, Hyperparameter, Value};

const CELL: usize = 20;

/// How many images of each class (first index) were taken for each class (second index).
pub(crate) type Confusion = [[u64; CLASSES]; CLASSES];

#[derive(Debug)]
pub(crate) struct Board {
    events: EventFile,
}

impl Board {
    /// Opens the event file of a run that stands where `state` says.
    pub(crate) fn open(run_folder: &Path, state: &Checkpoint) -> anyhow::Result<Self> {
        let dir = run_folder.join(TENSORBOARD);
        let events = EventFile::open(&dir, state.rounds(), hyperparameters(&state.origin));
        let events = events.with_context(|| format!("failed to open an event file in `{}`", dir.display()))?;
        let mut board = Self { events };
        // Only of a file that was removed or damaged there are fewer. Figures are kept elsewhere, pictures are not.
        let last_step = board.events.last_step();
        for record in state.history.iter().filter(|record| record.round > last_step) {
            board.write(record.round, figures(record))?;
        }
        Ok(board)
    }

    pub(crate) fn record(&mut self, record: &Record, global: &StateDict, confusion: &Confusion) -> anyhow::Result<()> {
        let picture = picture_of(confusion);
        let mut values = figures(record);
        values.push(Value::image("confusion/test", picture.width(), picture.height(), picture.png()));
        values.extend(global.tensors().map(|(name, _, weights)| {
            let tag = name.replacen('.', "/", 1); // TensorBoard groups tags by what stands before the slash.
            Value::histogram(&tag, weights)
        }));
        self.write(record.round, values)
    }

    pub(crate) fn finish(&mut self) -> anyhow::Result<()> {
        let written = self.events.finish();
        written.with_context(|| format!("failed to write `{}`", self.events.path().display()))
    }

    fn write(&mut self, round: u32, values: Vec<Value>) -> anyhow::Result<()> {
        let written = self.events.write(round, values);
        written.with_context(|| format!("failed to write `{}`", self.events.path().display()))
    }
}

fn hyperparameters(origin: &Origin) -> BTreeMap<String, Hyperparameter> {
    let text = ("dataset".to_owned(), Hyperparameter::Text(origin.dataset.clone()));
    let value =
        |value: &String| value.parse().map_or_else(|_| Hyperparameter::Text(value.clone()), Hyperparameter::Number);
    origin.flags.iter().map(|(name, text)| (name.clone(), value(text))).chain([text]).collect()
}

fn figures(record: &Record) -> Vec<Value> {
    let always = [
        ("loss/train", record.train_loss),
        ("loss/test", record.test_loss),
        ("accuracy/test", record.test_accuracy),
        ("seconds/train", record.train_seconds),
        ("seconds/evaluate", record.evaluate_seconds),
    ];
    let received = record.received_accuracy.map(|share| ("accuracy/received", share));
    let drifts = record.drifts.len() as f64;
    let live = record.prequential.map(|figures| {
        [
            ("accuracy/prequential", figures.accuracy),
            ("accuracy/fading", figures.fading_accuracy),
            ("loss/prequential", figures.loss),
            ("kappa/prequential", figures.kappa),
            ("drifts/prequential", drifts),
        ]
    });
    always
        .into_iter()
        .chain(received)
        .chain(live.into_iter().flatten())
        .map(|(tag, value)| Value::scalar(tag, value))
        .collect()
}

/// A row for each class, in it a cell for each class that it was taken for: the brighter, the more often. The square root
/// lets rare mistakes be seen.
fn picture_of(confusion: &Confusion) -> Picture {
    let side = CLASSES * CELL;
    let bright = |row: &[u64; CLASSES], column: usize| {
        let share = row[column] as f64 / row.iter().sum::<u64>().max(1) as f64;
        (255.0 * share.sqrt()).round() as u8
    };
    let pixels = (0..side * side).map(|pixel| bright(&confusion[pixel / side / CELL], pixel % side / CELL)).collect();
    Picture::new(side, side, pixels)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use event::Prequential;
    use run_folder::{ServerState, Sums};

    use super::*;

    #[test]
    fn a_cell_is_as_bright_as_the_root_of_its_share_of_the_row() {
        let mut confusion = [[0; CLASSES]; CLASSES];
        (confusion[3][3], confusion[3][5]) = (99, 1);
        let picture = picture_of(&confusion);
        let cell = |row: usize, column: usize| picture.pixels()[(row * CELL + 1) * picture.width() + column * CELL + 1];
        assert_eq!((cell(3, 3), cell(3, 5), cell(5, 3), cell(0, 0)), (254, 26, 0, 0));
    }

    #[test]
    fn a_live_run_has_the_figures_of_its_slices_too() {
        let slice = Prequential { position: 9, accuracy: 0.5, loss: 0.25, kappa: 0.125, fading_accuracy: 0.75 };
        let live = Record { prequential: Some(slice), drifts: vec![3, 7], ..Record::example(1) };
        let expect = [
            ("accuracy/prequential", 0.5),
            ("accuracy/fading", 0.75),
            ("loss/prequential", 0.25),
            ("kappa/prequential", 0.125),
            ("drifts/prequential", 2.0),
        ];
        let more = expect.map(|(tag, value)| Value::scalar(tag, value));
        assert_eq!(figures(&live), [figures(&Record::example(1)), more.into()].concat());
    }

    #[test]
    fn flags_are_numbers_where_they_can_be() {
        let flags = vec![("seed".into(), "42".into()), ("batch-size".into(), "full".into())];
        let origin = Origin { flags, data: String::new(), dataset: "mnist".into() };
        let text = |text: &str| Hyperparameter::Text(text.into());
        let expect = [("batch-size", text("full")), ("dataset", text("mnist")), ("seed", Hyperparameter::Number(42.0))];
        assert!(hyperparameters(&origin).into_iter().eq(expect.map(|(name, value)| (name.to_owned(), value))));
    }

    #[test]
    fn a_removed_event_file_gets_the_figures_of_all_rounds_again() {
        let dir = tempfile::tempdir().unwrap();
        let origin = Origin { flags: Vec::new(), data: String::new(), dataset: "mnist".into() };
        let history = vec![Record::example(1), Record::example(2)];
        let unlisted = Sums::default();
        let mut state = Checkpoint {
            origin,
            history,
            unlisted,
            global: model::SIMPLE_CNN.zeros(),
            position: None,
            server: ServerState::default(),
        };
        for _ in 0..2 {
            let board = Board::open(dir.path(), &state).unwrap();
            assert_eq!(board.events.last_step(), 2);
        }
        // Those of a round that is not listed stay.
        let events = |board: &Board| fs::read(board.events.path()).unwrap();
        let before = events(&Board::open(dir.path(), &state).unwrap());
        state.unlisted.add(&state.history.remove(0));
        assert!(events(&Board::open(dir.path(), &state).unwrap()) == before);
    }
}
