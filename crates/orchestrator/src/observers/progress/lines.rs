//! What is said of a round, in one line: when it is done, and of its partitions while it is trained.

use event::{Event, Prequential};
use indicatif::HumanCount;
use terminal::count;

/// What a round of this name has come to. Empty for any other event.
pub(super) fn round_line(name: &str, event: &Event) -> String {
    let Event::Round {
        train_loss,
        test_loss,
        test_accuracy,
        received_accuracy,
        prequential,
        model_sha256,
        seconds,
        ..
    } = event
    else {
        return String::new();
    };
    let accuracy = |of: &str, share: f64| format!("{of} accuracy {:.2} %", 100.0 * share);
    let mut parts = match prequential {
        Some(Prequential { position, accuracy: share, .. }) => {
            vec![format!("to sample {}", HumanCount(*position)), accuracy("prequential", *share)]
        }
        None => vec![format!("train loss {train_loss:.4}"), format!("test loss {test_loss:.4}")],
    };
    parts.push(accuracy("test", *test_accuracy));
    parts.extend(received_accuracy.map(|share| accuracy("received", share)));
    parts.push(format!("model {}", model_sha256.get(..12).unwrap_or(model_sha256)));
    format!("{name}  {}  {seconds:.1} s", parts.join("  "))
}

/// `partitions 41, 40 %`; of more than a few, `12 partitions, 38 to 41 %`; of one, or where none is known, their number alone.
pub(super) fn partitions_line(partitions: u64, done: &[u64], of: u64) -> String {
    /// So many can be read at a glance.
    const FEW: usize = 4;
    let percent = |done: &u64| u128::from(*done) * 100 * u128::from(partitions) / u128::from(of.max(1));
    match (done, done.iter().min(), done.iter().max()) {
        ([_, _, ..], Some(least), Some(most)) if done.len() > FEW => {
            format!("{partitions} partitions, {} to {} %", percent(least), percent(most).min(100))
        }
        ([_, _, ..], ..) => {
            let each: Vec<String> = done.iter().map(|done| percent(done).min(100).to_string()).collect();
            format!("partitions {} %", each.join(", "))
        }
        _ => count(partitions, "partition"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_shown_with_its_partitions() {
        assert_eq!(partitions_line(2, &[4100, 4000], 20_000), "partitions 41, 40 %");
        assert_eq!(partitions_line(6, &[0, 5, 10, 9, 4, 3], 60), "6 partitions, 0 to 100 %");
        assert_eq!(partitions_line(1, &[50], 100), "1 partition");
        assert_eq!(partitions_line(3, &[], 100), "3 partitions");
        assert_eq!(partitions_line(2, &[0, 6], 11), "partitions 0, 100 %", "one has a sample more than the other");
    }

    #[test]
    fn a_round_of_a_live_run_says_how_well_its_samples_were_predicted() {
        let prequential =
            Prequential { position: 14_000, accuracy: 0.961, loss: 0.1, kappa: 0.9, fading_accuracy: 0.95 };
        assert_eq!(
            round_line("round 7", &round(Some(prequential))),
            "round 7  to sample 14,000  prequential accuracy 96.10 %  test accuracy 97.52 %  model 0123456789ab  1.2 s"
        );
        assert_eq!(
            round_line("round 7/9", &round(None)),
            "round 7/9  train loss 0.5000  test loss 0.2500  test accuracy 97.52 %  model 0123456789ab  1.2 s"
        );
    }

    fn round(prequential: Option<Prequential>) -> Event {
        Event::Round {
            round: 7,
            train_loss: 0.5,
            test_loss: 0.25,
            test_accuracy: 0.9752,
            received_accuracy: None,
            prequential,
            model_sha256: "0123456789abcdef".into(),
            seconds: 1.2,
        }
    }
}
