//! A few dozen kills. `scripts/torture` makes a thousand.

#![cfg(target_os = "linux")]

use torture::kill::{self, pairs, schedules};

#[test]
fn of_two_runs_in_one_directory_none_ends_with_the_others_model() {
    let finding = pairs::run(20, 1, 2).unwrap();
    assert!(finding.violations.is_empty(), "{:#?}\n{}", finding, finding.violations.join("\n\n"));
    let right = finding.counts["runs that ended with their own model"];
    assert!(right >= 20, "one of each pair: {finding:#?}");
}

#[test]
fn a_live_run_has_the_model_of_its_replay_whatever_the_schedule() {
    let finding = schedules::run(10, 1, 2).unwrap();
    assert!(finding.violations.is_empty(), "{:#?}\n{}", finding, finding.violations.join("\n\n"));
    for count in ["trainers killed", "streams without an end", "of more than five senders"] {
        assert!(finding.counts.contains_key(count), "no {count}: {finding:#?}");
    }
}

#[test]
fn a_run_whose_processes_are_killed_again_and_again_ends_as_if_nothing_had_happened() {
    let finding = kill::run(60, 1, 4).unwrap();
    assert!(finding.violations.is_empty(), "{:#?}\n{}", finding, finding.violations.join("\n\n"));
    assert!(finding.cases >= 60, "{finding:#?}");
    for victim in ["receiver", "sender", "trainer", "orchestrator"] {
        let name = format!("{victim}s killed");
        assert!(finding.counts.contains_key(&name), "no {name}: {finding:#?}");
    }
}
