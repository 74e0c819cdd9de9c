//! A little of a faulty network. `scripts/torture` makes much of it.

use torture::network::{self, Config};

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_network_does_every_sample_is_stored_once_and_both_sides_end_well() {
    let config = Config { seed: 1, seeds: 1, cut_step: 97, at_once: 12, only: None };
    let finding = network::run(config).await.unwrap();
    assert!(finding.violations.is_empty(), "{finding:#?}");
}
