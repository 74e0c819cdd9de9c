//! A few hostile requests at a page. `scripts/torture page` makes many.

use torture::intruders;

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_into_a_page_without_its_token_and_who_has_it_is_served_meanwhile() {
    let finding = intruders::run(1500, 1).await.unwrap();
    assert!(finding.cases > 0 && finding.violations.is_empty(), "{finding:#?}");
}
