//! What the figures of a live run go on from. It is in each checkpoint, so it may come from anybody, and is looked at
//! before it is used.

use flags::LiveTraining;
use serde::{Deserialize, Serialize};

use super::{adwin::Adwin, prequential::PrequentialState};
use crate::round::journal::Journal;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Figures {
    pub(super) prequential: PrequentialState,
    pub(super) detector: Adwin,
}

impl Figures {
    /// Those that a run goes on from whose stream begins at seq `offset`.
    ///
    /// # Errors
    /// When its checkpoint has none, or such that no run has; it is named.
    pub(super) fn of(live: &LiveTraining, offset: u64, journal: &Journal<'_>) -> anyhow::Result<Self> {
        let new =
            Self { prequential: PrequentialState::new(live.fading_factor), detector: Adwin::new(live.drift_delta) };
        let Some(position) = journal.position() else {
            return match journal.next_round() {
                1 => Ok(new),
                _ => Err(journal.damaged("it does not say where in its stream the run stands".into())),
            };
        };
        let stored = Self::deserialize(&position.figures)
            .map_err(|error| journal.damaged(format!("its figures are not those of this version: {error}")))?;
        match position.seq.checked_sub(offset) {
            Some(samples) if stored.are_sound(&new, samples) => Ok(stored),
            _ => Err(journal.damaged(format!("its figures cannot be those of a stream up to {}", position.seq))),
        }
    }

    /// Whether they can have come of these new ones by so many samples.
    fn are_sound(&self, new: &Self, samples: u64) -> bool {
        self.prequential.is_sound(&new.prequential, samples) && self.detector.is_sound(&new.detector, samples)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn new() -> Figures {
        Figures { prequential: PrequentialState::new(0.5), detector: Adwin::new(0.002) }
    }

    #[test]
    fn figures_that_no_stream_gives_are_found() {
        let mut figures = new();
        let predictions: Vec<(u8, u8)> = (0..100).map(|i| (i % 10, i % 7)).collect();
        figures.prequential.add_slice(100, &predictions, 0.5);
        predictions.iter().for_each(|(label, predicted)| _ = figures.detector.update(label != predicted));
        let sound = serde_json::to_value(&figures).unwrap();
        let are_sound = |figures: &Value, samples| Figures::deserialize(figures).unwrap().are_sound(&new(), samples);
        assert!(are_sound(&sound, 100));
        assert!(!are_sound(&sound, 99) && !are_sound(&sound, 101));
        for (pointer, value) in [
            ("/prequential/fading_factor", json!(0.25)),
            ("/prequential/fading_right", json!(-1)),
            ("/prequential/fading_right", json!(99)),
            ("/prequential/fading_count", json!(-1)),
            ("/prequential/confusion/0/0", json!(u64::MAX)),
            ("/prequential/confusion/9/9", json!(99)),
            ("/detector/delta", json!(0.5)),
            ("/detector/samples", json!(99)),
            ("/detector/samples", json!(u64::MAX)),
            ("/detector/errors", json!(u64::MAX)),
            ("/detector/rows", json!([])),
            ("/detector/rows/0/0", json!(2)),
            ("/detector/rows/1/0", json!(u64::MAX)),
            ("/detector/rows/0", json!(vec![0; 6])),
            ("/detector/rows", json!(vec![Vec::<u64>::new(); 64])),
            ("/detector/rows", json!(vec![vec![1; 5]; 63])),
        ] {
            let mut forged = sound.clone();
            *forged.pointer_mut(pointer).unwrap() = value;
            assert!(!are_sound(&forged, 100), "{pointer}: {forged}");
        }
    }
}
