//! docs/credits.md#changing-plans.

use bromo_rules::credit::Credits;

use crate::support::Bromo;

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_gives_the_new_allocation_minus_what_was_used() {
    let bromo = Bromo::sandbox();
    let customer = bromo.customer("free").await;
    customer.ask("x").await;
    bromo.engine().set_plan(customer.account, "hobby").await.unwrap();
    let credits = customer.get("credits").await;
    assert_eq!((credits.slots().0, &credits.body["remaining"]), (20, &(250_000 - 7).into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_is_in_force_on_the_next_request() {
    let bromo = Bromo::sandbox();
    let customer = bromo.customer("free").await;
    customer.ask("x").await;
    bromo.engine().grant(customer.account, Credits::new(1_000)).await.unwrap();
    assert_eq!(customer.ask("x").await.number("x-credits-remaining"), 1_000 + 500 - 14);
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_of_the_configuration_replace_the_table() {
    let bromo = Bromo::with("[[plans]]\nname = \"own\"\nslots = 3\ncredits = 9\n");
    let customer = bromo.customer("own").await;
    assert_eq!(customer.get("credits").await.slots(), (3, 0, 3));
    assert!(bromo.engine().set_plan(customer.account, "hobby").await.is_err());
}
