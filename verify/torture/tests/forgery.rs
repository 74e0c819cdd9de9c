//! A few forged handshakes; `scripts/torture` makes many.

use torture::forgery;

#[tokio::test(flavor = "multi_thread")]
async fn no_forged_handshake_gets_through_or_hears_why() {
    let finding = forgery::run(400, 1).await.unwrap();
    assert!(finding.cases > 0 && finding.violations.is_empty(), "{finding:#?}");
}
