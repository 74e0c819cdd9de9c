//! The figures of a live run, as people read them.

use run_folder::LiveSummary;
use terminal::count;

/// As many drifts are named.
const DRIFTS: usize = 5;

/// What every sample of a live run was taken for just before it was trained on.
pub(crate) fn prequential(live: &LiveSummary) -> String {
    let LiveSummary { prequential_accuracy, prequential_kappa, prequential_loss, fading_accuracy, .. } = live;
    let [accuracy, fading] = [prequential_accuracy, fading_accuracy].map(|share| 100.0 * share);
    format!(
        "accuracy {accuracy:.2} %, at the end {fading:.2} % (fading); kappa {prequential_kappa:.4}, loss \
         {prequential_loss:.4}"
    )
}

/// How far the trainer of a live run was behind.
pub(crate) fn behind(live: &LiveSummary) -> String {
    format!("{}, {:.1} s", count(live.behind_samples, "sample"), live.behind_seconds)
}

/// Where the drift detector saw the errors increase.
pub(crate) fn drifts(live: &LiveSummary) -> String {
    let (seqs, unlisted) = (&live.drifts, live.unlisted_drifts);
    let shown: Vec<String> = seqs.iter().take(DRIFTS).map(u64::to_string).collect();
    let seen = match shown.len() {
        0 if unlisted > 0 => return format!("{unlisted} seen, in earlier rounds"),
        0 => return "none seen".into(),
        1 => format!("seen at sample {}", shown[0]),
        _ => format!("seen at samples {}", shown.join(", ")),
    };
    match (seqs.len() - shown.len()) as u64 + unlisted {
        0 => seen,
        more => format!("{seen}, and {more} more"),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn live() -> LiveSummary {
        LiveSummary {
            samples: 6000,
            samples_per_round: 2000,
            replay: "none".into(),
            prequential_accuracy: 0.75,
            prequential_loss: 0.5,
            prequential_kappa: 0.7,
            fading_accuracy: 0.8,
            drifts: Vec::new(),
            unlisted_drifts: 0,
            behind_samples: 1200,
            behind_seconds: 0.25,
        }
    }

    #[test]
    fn many_drifts_are_counted_and_the_first_ones_named() {
        for (seqs, unlisted_drifts, expect) in [
            (&[][..], 0, "none seen"),
            (&[7], 0, "seen at sample 7"),
            (&[7, 90], 0, "seen at samples 7, 90"),
            (&[1, 2, 3, 4, 5, 6, 7], 0, "seen at samples 1, 2, 3, 4, 5, and 2 more"),
            (&[], 3, "3 seen, in earlier rounds"),
            (&[7], 3, "seen at sample 7, and 3 more"),
            (&[1, 2, 3, 4, 5, 6, 7], 3, "seen at samples 1, 2, 3, 4, 5, and 5 more"),
        ] {
            assert_eq!(drifts(&LiveSummary { drifts: seqs.into(), unlisted_drifts, ..live() }), expect);
        }
    }
}
