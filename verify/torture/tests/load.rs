//! A little load. `scripts/torture` applies much of it.

#![cfg(target_os = "linux")]

use torture::load::{self, Config};

#[tokio::test(flavor = "multi_thread")]
async fn senders_get_through_beside_strangers_within_the_memory_that_is_allowed() {
    let config = Config { senders: 40, samples: 1000, strangers: 200, cycles: 500, throughput: 0.0 };
    let finding = load::run(config).await.unwrap();
    assert!(finding.violations.is_empty(), "{finding:#?}");
}
