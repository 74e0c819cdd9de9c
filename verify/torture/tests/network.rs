//! A little of a faulty network. `scripts/torture network` makes much of it, and repeats a case by its name.

use torture::network::{self, Config};

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_network_does_every_sample_is_stored_once_and_both_sides_end_well() {
    let config = Config { seed: 1, seeds: 2, cut_step: 61, at_once: 12, only: None };
    let finding = network::run(config).await.unwrap();
    assert!(finding.cases > 0 && finding.violations.is_empty(), "{finding:#?}");
}
