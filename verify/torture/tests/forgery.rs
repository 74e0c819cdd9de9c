//! A few forged handshakes; `scripts/torture` makes many. And what real programs let slip of the key.

use torture::forgery::{self, Config};

#[tokio::test(flavor = "multi_thread")]
async fn no_forged_handshake_gets_through_or_hears_why() {
    let finding = forgery::run(Config { machines: 20_000, sockets: 400, seed: 1 }).await.unwrap();
    assert!(finding.cases > 0 && finding.violations.is_empty(), "{finding:#?}");
}
