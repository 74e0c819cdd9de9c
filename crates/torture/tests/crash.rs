//! Power cuts and disk errors, briefly.

use torture::crash::{self, Config};

#[test]
fn no_crash_loses_doubles_or_damages_what_was_acknowledged() {
    let finding = crash::states(&Config { seed: 1, cases: 3000 }).unwrap();
    assert!(finding.violations.is_empty(), "{finding:#?}");
    eprintln!("{finding:#?}");
}

#[test]
fn no_disk_error_is_acknowledged_away() {
    let finding = crash::errors(&Config { seed: 1, cases: 1000 }).unwrap();
    assert!(finding.violations.is_empty(), "{finding:#?}");
    eprintln!("{finding:#?}");
}
