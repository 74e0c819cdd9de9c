//! Power cuts, kills and disk errors, briefly.

use torture::crash;

#[test]
fn no_crash_loses_doubles_or_damages_a_sample() {
    let finding = crash::states(1, 3000).unwrap();
    assert!(finding.violations.is_empty(), "{finding:#?}");
}

#[test]
fn no_disk_error_loses_doubles_or_damages_a_sample() {
    let finding = crash::errors(1, 3000).unwrap();
    assert!(finding.violations.is_empty(), "{finding:#?}");
}
