//! A little of a faulty network. `scripts/torture` makes much of it; `CASE="flip bits, seed 7" cargo test -p torture --test
//! network` repeats one case.

use torture::network::{self, Config};

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_network_does_every_sample_is_stored_once_and_both_sides_end_well() {
    let short = Config { seed: 1, seeds: 2, cut_step: 61, at_once: 12, only: None };
    let config = match std::env::var("CASE") {
        Ok(case) => Config { seed: 0, seeds: 1000, cut_step: 1, only: Some(case), ..short },
        Err(_) => short,
    };
    let finding = network::run(config).await.unwrap();
    assert!(finding.cases > 0 && finding.violations.is_empty(), "{finding:#?}");
}
