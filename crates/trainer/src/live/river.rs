//! Our figures beside those of River, the library for learning from streams. `scripts/river-check` makes the file.

use serde::Deserialize;

use super::{adwin::Adwin, prequential::PrequentialState};

/// Predictions in the order of their samples, and what River says of them.
#[derive(Deserialize)]
struct Stream {
    name: String,
    /// A digit a sample, as the next.
    labels: String,
    predicted: String,
    fading_factor: f64,
    delta: f64,
    /// Samples of a slice.
    slice: usize,
    /// At the end of each slice.
    figures: Vec<Figures>,
    /// The samples, from 0, at which ADWIN saw a change, and whether it was a rise.
    changes: Vec<(usize, bool)>,
    /// Samples since the last change.
    samples_since: u64,
}

#[derive(Debug, Deserialize)]
struct Figures {
    slice_accuracy: f64,
    slice_kappa: f64,
    accuracy: f64,
    kappa: f64,
    fading_accuracy: f64,
}

impl Stream {
    fn predictions(&self) -> Vec<(u8, u8)> {
        self.labels.bytes().zip(self.predicted.bytes()).map(|(label, taken)| (label - b'0', taken - b'0')).collect()
    }
}

fn streams() -> Vec<Stream> {
    let streams: Vec<Stream> = serde_json::from_str(include_str!("../../tests/reference/river.json")).unwrap();
    assert!(streams.iter().map(|stream| stream.changes.len()).sum::<usize>() > 30);
    streams
}

#[test]
fn prequential_figures_are_rivers() {
    for stream in streams() {
        let mut state = PrequentialState::new(stream.fading_factor);
        let predictions = stream.predictions();
        let slices = predictions.chunks(stream.slice);
        assert_eq!(slices.len(), stream.figures.len());
        for (slice, figures) in slices.zip(&stream.figures) {
            let of_slice = state.add_slice(0, slice, 0.0);
            for (ours, rivers) in [
                (of_slice.accuracy, figures.slice_accuracy),
                (of_slice.kappa, figures.slice_kappa),
                (of_slice.fading_accuracy, figures.fading_accuracy),
                (state.accuracy(), figures.accuracy),
                (state.kappa(), figures.kappa),
            ] {
                assert!((ours - rivers).abs() < 1e-12, "{}: {ours} beside {figures:?}", stream.name);
            }
        }
    }
}

#[test]
fn changes_are_seen_at_the_samples_at_which_river_sees_them() {
    for stream in streams() {
        let mut adwin = Adwin::new(stream.delta);
        let mut changes = Vec::new();
        for (seq, (label, taken)) in stream.predictions().into_iter().enumerate() {
            let is_rise = adwin.update(label != taken);
            if adwin.samples == 0 {
                changes.push((seq, is_rise));
            }
        }
        assert_eq!((&changes, adwin.samples), (&stream.changes, stream.samples_since), "{}", stream.name);
    }
}
