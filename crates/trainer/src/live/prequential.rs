//! Prequential evaluation: each sample is first predicted, then trained on, so every sample of an endless stream is a test
//! sample once. The figures are those of Gama, Sebastião and Rodrigues, "On evaluating stream learning algorithms" (2013).

use event::Prequential;
use sample::CLASSES;
use serde::{Deserialize, Serialize};

/// How many samples of each class (first index) were taken for each class (second index).
pub(crate) type Confusion = [[u64; CLASSES]; CLASSES];

/// What is remembered of all predictions so far. It depends on the predictions in the order of their samples, and on the
/// slices only through the sum of their losses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PrequentialState {
    /// α, between 0 and 1.
    fading_factor: f64,
    confusion: Confusion,
    loss_sum: f64,
    /// Sᵢ = xᵢ + α Sᵢ₋₁, where x is 1 for a right prediction and 0 for a wrong one.
    fading_right: f64,
    /// Bᵢ = 1 + α Bᵢ₋₁.
    fading_count: f64,
}

impl PrequentialState {
    /// That of a stream of which nothing was predicted yet.
    pub(crate) fn new(fading_factor: f64) -> Self {
        Self { fading_factor, confusion: Confusion::default(), loss_sum: 0.0, fading_right: 0.0, fading_count: 0.0 }
    }

    /// Whether it can have come of this new one by so many samples; for one from a file, which anybody may have written.
    pub(super) fn is_sound(&self, new: &Self, samples: u64) -> bool {
        let counts = self.confusion.as_flattened().iter().map(|count| u128::from(*count));
        counts.sum::<u128>() == u128::from(samples)
            && (0.0..=self.fading_count).contains(&self.fading_right)
            && self.fading_factor == new.fading_factor
    }

    /// Adds the predictions of a slice, each as (label, predicted), in the order of the samples, with their mean loss; gives
    /// the figures of the slice. `position` is where it ends.
    ///
    /// # Panics
    /// If a label or a predicted class is not below 10.
    pub(crate) fn add_slice(&mut self, position: u64, predictions: &[(u8, u8)], mean_loss: f64) -> Prequential {
        let mut slice = Confusion::default();
        for &(label, predicted) in predictions {
            slice[usize::from(label)][usize::from(predicted)] += 1;
            self.fading_right = f64::from(u8::from(label == predicted)) + self.fading_factor * self.fading_right;
            self.fading_count = 1.0 + self.fading_factor * self.fading_count;
        }
        for (sum, more) in self.confusion.as_flattened_mut().iter_mut().zip(slice.as_flattened()) {
            *sum += more;
        }
        self.loss_sum += mean_loss * predictions.len() as f64;
        Prequential {
            position,
            accuracy: accuracy(&slice),
            loss: mean_loss,
            kappa: kappa(&slice),
            fading_accuracy: self.fading_accuracy(),
        }
    }

    /// Share of all samples that was predicted right, 0 to 1.
    pub(crate) fn accuracy(&self) -> f64 {
        accuracy(&self.confusion)
    }

    /// Mean loss of all predictions.
    pub(crate) fn loss(&self) -> f64 {
        ratio(self.loss_sum, total(&self.confusion) as f64)
    }

    /// Cohen's kappa of all predictions.
    pub(crate) fn kappa(&self) -> f64 {
        kappa(&self.confusion)
    }

    /// The accuracy in which a sample counts less by the fading factor for each later one: S / B.
    pub(crate) fn fading_accuracy(&self) -> f64 {
        ratio(self.fading_right, self.fading_count)
    }
}

/// Share of the predictions that is right; 0 if there is none.
fn accuracy(confusion: &Confusion) -> f64 {
    ratio(right(confusion) as f64, total(confusion) as f64)
}

/// Cohen's kappa: how much of the agreement that chance leaves open was reached, where chance is to guess each class as
/// often as it was predicted. 1 is perfect, 0 as good as chance, below 0 worse. It is 0, as in River, where chance agrees
/// always, which is when all samples are of one class and taken for it; and where there is no prediction.
///
/// With n predictions, d of them right, and e the sum over the classes of (samples of it) · (predictions of it), it is
/// (d/n − e/n²) / (1 − e/n²) = (dn − e) / (n² − e), of which only the division rounds.
fn kappa(confusion: &Confusion) -> f64 {
    let [n, right] = [total(confusion), right(confusion)].map(i128::from);
    let labels = |class: usize| confusion[class].iter().sum::<u64>();
    let predictions = |class: usize| confusion.iter().map(|row| row[class]).sum::<u64>();
    let by_chance: i128 = (0..CLASSES).map(|class| i128::from(labels(class)) * i128::from(predictions(class))).sum();
    ratio((right * n - by_chance) as f64, (n * n - by_chance) as f64)
}

fn total(confusion: &Confusion) -> u64 {
    confusion.as_flattened().iter().sum()
}

fn right(confusion: &Confusion) -> u64 {
    (0..CLASSES).map(|class| confusion[class][class]).sum()
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole == 0.0 { 0.0 } else { part / whole }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kappa_is_agreement_beyond_chance() {
        let of = |cells: &[(usize, usize, u64)]| {
            let mut confusion = Confusion::default();
            cells.iter().for_each(|&(label, predicted, count)| confusion[label][predicted] = count);
            kappa(&confusion)
        };
        for (cells, expect) in [
            // The example of River's documentation: 42.86 %.
            (&[(0, 1, 1), (1, 1, 2), (0, 0, 2), (2, 0, 1)][..], 3.0 / 7.0),
            // Cohen's usual example: 70 % agree, 50 % would by chance.
            (&[(0, 0, 20), (0, 1, 5), (1, 0, 10), (1, 1, 15)], 0.4),
            (&[(0, 0, 7), (9, 9, 3)], 1.0),
            (&[(0, 9, 5), (9, 0, 5)], -1.0),
            (&[(0, 3, 5), (9, 3, 5)], 0.0),
            // Chance agrees always, or there is nothing to agree on.
            (&[(4, 4, 10)], 0.0),
            (&[], 0.0),
        ] {
            assert_eq!(of(cells), expect, "{cells:?}");
        }
    }

    #[test]
    fn figures_are_of_the_slice_and_sums_of_all_slices() {
        let mut state = PrequentialState::new(0.5);
        let figures = state.add_slice(3, &[(1, 1), (1, 2), (2, 2)], 1.0);
        // From the newest: right, wrong, right, which count 1, 1/2, 1/4.
        let expect =
            Prequential { position: 3, accuracy: 2.0 / 3.0, loss: 1.0, kappa: 0.4, fading_accuracy: 1.25 / 1.75 };
        assert_eq!(figures, expect);
        let figures = state.add_slice(4, &[(3, 5)], 5.0);
        assert_eq!((figures.accuracy, figures.loss, figures.kappa), (0.0, 5.0, 0.0));
        assert_eq!(figures.fading_accuracy, 0.625 / 1.875);
        assert_eq!((state.accuracy(), state.loss(), state.fading_accuracy()), (0.5, 2.0, figures.fading_accuracy));
        assert_eq!(state.kappa(), (2.0 * 4.0 - 4.0) / (16.0 - 4.0));
    }

    #[test]
    fn where_slices_are_cut_changes_nothing_but_the_rounding_of_the_loss() {
        let predictions: Vec<(u8, u8)> = (0..100).map(|i| (i % 10, i % 7)).collect();
        let cut = |length: usize| {
            let mut state = PrequentialState::new(0.99);
            predictions.chunks(length).for_each(|slice| _ = state.add_slice(0, slice, 0.5));
            state
        };
        assert_eq!(cut(100), cut(1));
        assert_eq!(cut(100), cut(33));
    }

    #[test]
    fn it_goes_on_from_its_json_to_the_last_bit_and_is_never_not_a_number() {
        let mut state = PrequentialState::new(0.999);
        assert_eq!([state.accuracy(), state.loss(), state.kappa(), state.fading_accuracy()], [0.0; 4]);
        assert_eq!(state.add_slice(0, &[], 0.0).accuracy, 0.0);
        let predictions: Vec<(u8, u8)> = (0..100).map(|i| (i % 10, i % 7)).collect();
        state.add_slice(100, &predictions, 0.041861723513539964);
        let json = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<PrequentialState>(&json).unwrap(), state);
    }
}
