//! docs/credits.md and promise M1.

use std::time::Duration;

use bromo_rules::account::EntryKind;
use bromo_rules::credit::Credits;
use bromo_rules::key::KeyKind;

use crate::support::{Bromo, Upstream, until};

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_costs_its_price_and_the_headers_say_so() {
    let bromo = Bromo::sandbox();
    let customer = bromo.customer("lite").await;
    for (path, body, price) in [
        ("chatgpt", r#"{"prompt":"x"}"#, 7),
        ("chatgpt", r#"{"prompt":"x","state":"ny","include":{"shopping":true,"ads":true}}"#, 11),
        ("gemini", r#"{"prompt":"x","include":{"html":true}}"#, 6),
        ("google", r#"{"query":"x","pages":3,"include":{"aioverview":true}}"#, 11),
        ("google/news", r#"{"query":"x"}"#, 5),
        ("aimode", r#"{"prompt":"[sandbox products=4] x","include":{"expandProducts":true}}"#, 10),
    ] {
        let before = customer.get("credits").await.body["remaining"].as_i64().unwrap();
        let reply = customer.post(&format!("monitor/{path}"), body).await;
        assert_eq!((reply.status, reply.number("x-credits-charged")), (200, price), "{path} {body}");
        assert_eq!(reply.number("x-credits-remaining"), before - price);
        assert_eq!(customer.get("credits").await.body["remaining"], before - price);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balance_that_does_not_cover_the_price_is_a_403_until_a_grant() {
    let bromo = Bromo::with("[prices]\nchatgpt = 250\n");
    let customer = bromo.customer("free").await;
    assert_eq!(customer.ask("x").await.number("x-credits-remaining"), 248);
    let reply = customer.ask("x").await;
    assert_eq!((reply.status, reply.code(), reply.slots()), (403, "INSUFFICIENT_CREDITS", (1, 0, 1)));
    bromo.engine().grant(customer.account, Credits::new(4)).await.unwrap();
    assert_eq!(customer.ask("x").await.number("x-credits-remaining"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_calls_never_take_a_balance_below_zero() {
    let upstream = Upstream::holding().await;
    let bromo = Bromo::with(&format!(
        "[prices]\nchatgpt = 198\n[endpoints.chatgpt]\nprovider = \"openai-chat\"\nbase_url = \"{}\"\nmodel = \"m\"\n",
        upstream.base_url()
    ));
    let customer = bromo.customer("free").await;
    bromo.engine().schedule_plan(customer.account, "free").await.unwrap();
    bromo.engine().set_plan(customer.account, "lite").await.unwrap();
    // 500 of free and the difference to lite; leave 500.
    let mut account = bromo.account(&customer).await;
    let request = bromo.engine().request_id();
    let price = account.balance.total() - Credits::new(500);
    account.charge(request, price, account.created_at).unwrap();
    let charge = bromo_store::Charge { request, account: account.id, price, at: account.created_at };
    bromo.engine().store().charge(charge).await.unwrap();
    bromo.engine().grant(customer.account, Credits::new(1)).await.unwrap(); // Makes the balance known.
    let calls: Vec<_> = (0..5)
        .map(|_| {
            let customer = customer.clone();
            tokio::spawn(async move { customer.ask("x").await })
        })
        .collect();
    until("two run", || upstream.running() == 2).await;
    until("three are refused", || calls.iter().filter(|call| call.is_finished()).count() == 3).await;
    upstream.release();
    let mut statuses = Vec::new();
    for call in calls {
        statuses.push(call.await.unwrap().status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 403, 403, 403]);
    assert_eq!(bromo.account(&customer).await.balance.total(), Credits::new(101));
}

#[tokio::test(flavor = "multi_thread")]
async fn test_keys_are_answered_by_the_sandbox_for_nothing_and_still_hold_slots() {
    let bromo = Bromo::with(
        "[endpoints.chatgpt]\nprovider = \"openai-chat\"\nbase_url = \"http://127.0.0.1:1/v1\"\nmodel = \"m\"\n",
    );
    let customer = bromo.customer("free").await;
    let test = bromo.key(&customer, KeyKind::Test).await;
    let reply = test.ask("x").await;
    assert_eq!((reply.status, reply.number("x-credits-charged"), reply.slots()), (200, 0, (1, 1, 0)));
    assert_eq!(reply.body["result"]["provider"], "sandbox");
    assert_eq!(reply.number("x-credits-remaining"), 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_cycle_begins_with_the_first_decision_after_it_and_brings_the_scheduled_plan() {
    let bromo = Bromo::sandbox();
    let customer = bromo.customer("lite").await;
    customer.ask("x").await;
    bromo.engine().schedule_plan(customer.account, "free").await.unwrap();
    let credits = customer.get("credits").await;
    assert_eq!(credits.body["cycleResetsAt"], "2026-12-25T12:00:00.000Z");
    assert_eq!((&credits.body["perCycle"], &credits.body["remaining"]), (&37_500.into(), &37_493.into()));
    bromo.advance(DAY * 30 - Duration::from_millis(1));
    assert_eq!(customer.get("credits").await.slots().0, 10);
    bromo.advance(Duration::from_millis(1));
    let credits = customer.get("credits").await;
    assert_eq!((credits.slots().0, &credits.body["remaining"]), (1, &500.into()));
    let entries = bromo.engine().store().list_entries(customer.account, 0, 10).await.unwrap();
    let kinds: Vec<_> = entries.iter().map(|entry| (entry.kind, entry.amount.get())).collect();
    assert_eq!(
        kinds,
        [(EntryKind::Opening, 37_500), (EntryKind::Charge, -7), (EntryKind::Cycle, 500 - 37_493)]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_on_disk_is_what_the_headers_said() {
    let mut bromo = Bromo::sandbox();
    let customer = bromo.customer("lite").await;
    let mut remaining = 0;
    for _ in 0..5 {
        remaining = customer.ask("x").await.number("x-credits-remaining");
    }
    bromo.restart();
    assert_eq!(bromo.account(&customer).await.balance.total().get(), remaining);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_scheduled_after_the_cycles_end_waits_for_the_next_one() {
    let bromo = Bromo::sandbox();
    let customer = bromo.customer("lite").await;
    bromo.advance(DAY * 31); // Nobody has asked for anything since the cycle ended.
    bromo.engine().schedule_plan(customer.account, "free").await.unwrap();
    assert_eq!(customer.get("credits").await.slots().0, 10);
    bromo.advance(DAY * 31);
    assert_eq!(customer.get("credits").await.slots().0, 1);
}
