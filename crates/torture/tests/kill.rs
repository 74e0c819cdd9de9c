//! A few dozen kills. `scripts/torture` makes a thousand.

#![cfg(target_os = "linux")]

use torture::kill::{self, Config};

#[test]
fn a_run_whose_processes_are_killed_again_and_again_ends_as_if_nothing_had_happened() {
    let finding = kill::run(Config { kills: 60, seed: 1, at_once: 4 }).unwrap();
    assert!(finding.violations.is_empty(), "{:#?}\n{}", finding, finding.violations.join("\n\n"));
    assert!(finding.cases >= 60, "{finding:#?}");
    for victim in ["receiver", "sender", "trainer", "orchestrator"] {
        let name = format!("{victim}s killed");
        assert!(finding.figures.iter().any(|(figure, _)| *figure == name), "no {name}: {finding:#?}");
    }
}
