//! docs/concurrency.md, and the promises S1 and S2.

use std::time::Duration;

use crate::support::{Bromo, Reply, Upstream, until};

#[tokio::test(flavor = "multi_thread")]
async fn the_provider_sees_exactly_n_calls_under_three_times_n_callers() {
    const N: u32 = 10; // Plan lite.
    let upstream = Upstream::holding().await;
    let bromo = Bromo::before(&upstream);
    let customer = bromo.customer("lite").await;
    let callers: Vec<_> = (0..3 * N)
        .map(|_| {
            let customer = customer.clone();
            tokio::spawn(async move { customer.ask("hello").await })
        })
        .collect();
    until("N calls run", || upstream.running() == N).await;
    until("the others are refused", || callers.iter().filter(|caller| caller.is_finished()).count() == 20)
        .await;
    assert_eq!(upstream.most(), N);
    upstream.release();
    let mut replies: Vec<Reply> = Vec::new();
    for caller in callers {
        replies.push(caller.await.unwrap());
    }
    let (answered, refused): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply.status == 200);
    assert_eq!((answered.len(), refused.len()), (10, 20));
    for reply in &refused {
        assert_eq!((reply.status, reply.code()), (429, "CONCURRENCY_LIMIT_EXCEEDED"));
        assert_eq!(reply.slots(), (10, 10, 0));
        assert_eq!(reply.body["error"]["details"]["limit"], 10);
        assert!((1..=30).contains(&reply.number("retry-after")));
        assert!(!reply.headers.contains_key("x-credits-charged"));
    }
    let mut current: Vec<_> = answered.iter().map(|reply| reply.slots().1).collect();
    current.sort_unstable();
    assert_eq!(current, (1..=10).collect::<Vec<_>>(), "each answer counted itself and those before it");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_calls_one_after_the_other_on_one_slot_are_never_refused() {
    let upstream = Upstream::start().await;
    let bromo = Bromo::before(&upstream);
    let customer = bromo.customer("free").await;
    bromo.engine().grant(customer.account, bromo_rules::credit::Credits::new(1_000_000)).await.unwrap();
    for call in 0..10_000 {
        let reply = customer.ask("hello").await;
        assert_eq!((reply.status, reply.slots()), (200, (1, 1, 0)), "call {call}");
    }
    assert_eq!(upstream.most(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_is_in_force_on_the_next_request_of_every_key() {
    let upstream = Upstream::holding().await;
    let bromo = Bromo::before(&upstream);
    let customer = bromo.customer("free").await;
    let other = bromo.key(&customer, bromo_rules::key::KeyKind::Live).await;
    let _running = customer.begin("hold").await;
    until("it runs", || upstream.running() == 1).await;
    assert_eq!(other.ask("refused").await.status, 429);
    bromo.engine().set_plan(customer.account, "lite").await.unwrap();
    for caller in [&other, &customer] {
        assert_eq!(caller.get("credits").await.slots(), (10, 1, 9));
    }
    upstream.release();
    assert_eq!(other.ask("admitted").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_downgrade_under_load_kills_nothing_and_admits_nobody_until_the_count_is_below() {
    let upstream = Upstream::holding().await;
    let bromo = Bromo::before(&upstream);
    let customer = bromo.customer("lite").await;
    let running: Vec<_> = (0..3)
        .map(|_| {
            let customer = customer.clone();
            tokio::spawn(async move { customer.ask("hold").await })
        })
        .collect();
    until("three run", || upstream.running() == 3).await;
    bromo.engine().set_plan(customer.account, "free").await.unwrap();
    let refused = customer.ask("too many").await;
    assert_eq!((refused.status, refused.slots()), (429, (1, 3, 0)));
    upstream.release();
    for call in running {
        assert_eq!(call.await.unwrap().status, 200);
    }
    assert_eq!(customer.ask("fits").await.slots(), (1, 1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_have_slots_of_their_own_and_keys_of_one_account_share_them() {
    let upstream = Upstream::holding().await;
    let bromo = Bromo::before(&upstream);
    let (one, other) = (bromo.customer("free").await, bromo.customer("free").await);
    let same = bromo.key(&one, bromo_rules::key::KeyKind::Live).await;
    let _running = one.begin("hold").await;
    until("it runs", || upstream.running() == 1).await;
    assert_eq!(same.ask("shared").await.status, 429);
    let _other = other.begin("hold").await;
    until("both run", || upstream.running() == 2).await;
    upstream.release();
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_after_tells_when_a_slot_is_likely_to_free() {
    let upstream = Upstream::holding().await;
    let bromo = Bromo::before(&upstream);
    let customer = bromo.customer("free").await;
    let _running = customer.begin("hold").await;
    until("it runs", || upstream.running() == 1).await;
    let waits = [0, 2_500, 1_400, 5_000].map(Duration::from_millis);
    let mut told = Vec::new();
    for wait in waits {
        bromo.advance(wait);
        told.push(customer.ask("refused").await.number("retry-after"));
    }
    // Answers are thought to take 5 s until one has come.
    assert_eq!(told, [5, 3, 2, 1]);
    upstream.release();
}
