//! What a live run brings beside its rounds: how the model did on each slice before it was trained on it, and where the
//! drift detector saw it begin to do worse.

use crate::{Prequential, Report, Round, number};

/// As many drifts are named.
const DRIFTS: usize = 6;

/// A column of the table of rounds: its heading, and what stands there.
pub(super) type Column = (&'static str, fn(&Round) -> String);

pub(super) fn is_live(report: &Report) -> bool {
    report.rounds.iter().any(|round| round.prequential.is_some())
}

/// Where the drifts stand on an axis of rounds.
pub(super) fn rules(report: &Report) -> Vec<f64> {
    let rounds = report.rounds.iter().filter(|round| !round.drifts.is_empty());
    rounds.map(|round| f64::from(round.round)).collect()
}

/// The prequential figures' columns.
pub(super) fn columns() -> [Column; 6] {
    fn cell(round: &Round, text: fn(&Prequential) -> String) -> String {
        round.prequential.as_ref().map_or_else(|| "–".into(), text)
    }
    [
        ("to sample", |round| cell(round, |slice| number::count(slice.position))),
        ("prequential accuracy", |round| cell(round, |slice| number::percent(slice.accuracy))),
        ("prequential loss", |round| cell(round, |slice| number::fixed(slice.loss, 4))),
        ("kappa", |round| cell(round, |slice| number::fixed(slice.kappa, 4))),
        ("fading accuracy", |round| cell(round, |slice| number::percent(slice.fading_accuracy))),
        ("drifts", |round| round.drifts.len().to_string()),
    ]
}

/// What the lines mean, in sentences.
pub(super) const REMARK: &str = "Prequential: the model of the round before, on the samples of this round's slice before \
    it was trained on them. Fading: the share of all samples so far that was predicted right, older ones counting less.";

/// Where errors became more, in a sentence.
pub(super) fn drifts(report: &Report) -> String {
    let drift = |round: &Round| round.drifts.iter().map(move |&seq| (seq, round.round)).collect::<Vec<_>>();
    let drifts: Vec<(u64, u32)> = report.rounds.iter().flat_map(drift).collect();
    let name = |&(seq, round): &(u64, u32)| format!("{} (round {round})", number::count(seq));
    let named = drifts.iter().take(DRIFTS).map(name).collect::<Vec<_>>().join(", ");
    let more = match drifts.len().saturating_sub(DRIFTS) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    match drifts.len() {
        0 if report.rounds.first().is_some_and(|first| first.round > 1) => {
            "In these rounds the drift detector saw no increase of the prequential errors.".into()
        }
        0 => "The drift detector saw no increase of the prequential errors.".into(),
        1 => format!("The drift detector saw the prequential errors increase at sample {named}."),
        _ => format!("The drift detector saw the prequential errors increase at samples {named}{more}."),
    }
}
