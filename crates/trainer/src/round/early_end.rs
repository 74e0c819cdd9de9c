//! Early end: whether a run has had enough rounds before all of `--rounds`. A pure function of the rounds so far, so a resumed
//! run ends where it would have ended.

use flags::Training;
use run_folder::record::Record;

/// Why the run ends after these rounds, all that it had; `None` if it goes on.
pub(super) fn reason(flags: &Training, history: &[Record]) -> Option<String> {
    let last = history.last()?;
    let (round, accuracy) = (last.round, last.test_accuracy);
    if let Some(until) = flags.until.filter(|until| accuracy >= *until) {
        return Some(format!("after round {round}: the test accuracy is at least {:.2} %", 100.0 * until));
    }
    let best = history.iter().map(|record| record.test_accuracy).fold(0.0, f64::max);
    let first_best = history.iter().find(|record| record.test_accuracy >= best)?;
    let since = round - first_best.round;
    flags.patience.filter(|patience| since >= *patience).map(|_| {
        format!("after round {round}: the test accuracy has not become better since round {}", first_best.round)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::config;

    #[test]
    fn a_run_ends_when_it_is_good_enough_or_becomes_no_better() {
        let by = |flags: &[&str], accuracies: &[f64]| {
            let record = |(round, &test_accuracy)| Record { test_accuracy, ..Record::example(round) };
            reason(&config(flags).training, &(1..).zip(accuracies).map(record).collect::<Vec<_>>())
        };
        let good = |round| Some(format!("after round {round}: the test accuracy is at least 90.00 %"));
        let stuck = |round, best| {
            Some(format!("after round {round}: the test accuracy has not become better since round {best}"))
        };
        for (flags, accuracies, expect) in [
            (&[][..], &[0.5, 0.5, 0.1, 1.0][..], None),
            (&["--until=0.9", "--patience=1"], &[], None),
            (&["--until=0.9"], &[0.8, 0.89], None),
            (&["--until=0.9"], &[0.8, 0.9], good(2)),
            (&["--until=0.9"], &[0.95, 0.8], None),
            (&["--patience=2"], &[0.8, 0.7], None),
            (&["--patience=2"], &[0.8, 0.7, 0.8], stuck(3, 1)),
            (&["--patience=2"], &[0.8, 0.9, 0.7], None),
            (&["--patience=1"], &[0.8, 0.8], stuck(2, 1)),
            (&["--patience=1", "--until=0.9"], &[0.95, 0.94], good(2)),
        ] {
            assert_eq!(by(flags, accuracies), expect, "{flags:?} {accuracies:?}");
        }
    }
}
