//! All of the damage, but to fewer of the weights: it takes seconds.

#[test]
fn every_flipped_bit_cut_and_misplaced_file_is_an_error_that_names_it() {
    let finding = torture::damage::run(1000).unwrap();
    assert!(finding.cases > 100_000, "{finding:#?}");
    assert!(finding.violations.is_empty(), "{finding:#?}");
}
