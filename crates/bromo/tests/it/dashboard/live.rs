//! What pages show while calls run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bromo_rules::key::KeyKind;

use super::signed_in;
use crate::support::{Bromo, Upstream, until};

/// docs/dashboard.md: a line appears within a second of its end.
const LINE_MAX: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_in_one_click_under_load_is_in_the_next_response_of_every_key() {
    let bromo = Bromo::sandbox();
    let customer = bromo.customer("lite").await;
    let keys = [
        customer.clone(),
        bromo.key(&customer, KeyKind::Live).await,
        bromo.key(&customer, KeyKind::Test).await,
    ];
    let stop = Arc::new(AtomicBool::new(false));
    let load: Vec<_> = keys
        .iter()
        .cloned()
        .map(|key| {
            let stop = Arc::clone(&stop);
            tokio::spawn(async move {
                let mut limits = Vec::new();
                while !stop.load(Ordering::SeqCst) {
                    let reply = key.ask("[sandbox latency_ms=20] tea").await;
                    assert_eq!(reply.status, 200, "{reply:?}");
                    limits.push(reply.slots().0);
                }
                limits
            })
        })
        .collect();
    let browser = signed_in(&bromo, &customer).await;
    browser.go("/plan").await;
    browser.press("Upgrade to Hobby").await;
    browser.reads("20 slots for the next request of every key").await;
    for key in &keys {
        assert_eq!(key.ask("next").await.slots().0, 20);
    }
    stop.store(true, Ordering::SeqCst);
    for load in load {
        let limits = load.await.unwrap();
        assert!(limits.is_sorted() && limits.first() == Some(&10), "the old limit came back: {limits:?}");
    }
    browser.holds("document.querySelector('#top-slots b').textContent.endsWith('/20')").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gauge_of_slots_follows_calls_up_and_down() {
    let upstream = Upstream::holding().await;
    let bromo = Bromo::before(&upstream);
    let customer = bromo.customer("lite").await;
    let browser = signed_in(&bromo, &customer).await;
    browser.go("/account").await;
    browser.script("window.unloaded = false", vec![]).await;
    let shows = async |used: &str| {
        browser.holds(&format!("document.querySelector('#top-slots b').textContent === '{used}/10'")).await;
    };
    shows("0").await;
    let mut calls = Vec::new();
    for _ in 0..3 {
        calls.push(customer.begin("tea").await);
    }
    until("calls run", || upstream.running() == 3).await;
    shows("3").await;
    for _ in 0..7 {
        calls.push(customer.begin("tea").await);
    }
    shows("10").await;
    assert!(browser.has("#top-slots.full").await);
    // Half of them hang up.
    calls.truncate(5);
    shows("5").await;
    upstream.release();
    shows("0").await;
    browser.holds("window.unloaded === false").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_line_appears_by_itself_within_a_second() {
    let bromo = Bromo::sandbox();
    let customer = bromo.customer("lite").await;
    let browser = signed_in(&bromo, &customer).await;
    browser.go("/logs").await;
    browser.holds("document.querySelector('[data-live-state]').textContent === 'live'").await;
    browser.script("window.unloaded = false", vec![]).await;
    let mut took = Vec::new();
    for _ in 0..3 {
        let reply = customer.ask("tea").await;
        let answered = Instant::now();
        let request = reply.headers["x-request-id"].to_str().unwrap();
        browser.one(&format!("#rows tr [href='/logs/{request}']")).await;
        took.push(answered.elapsed());
    }
    // One of three: a busy machine is no fault of the page's.
    assert!(took.iter().min().unwrap() < &LINE_MAX, "{took:?}");
    // A filter binds what comes later too.
    browser.go("/logs?status=429").await;
    browser.holds("document.querySelector('[data-live-state]').textContent === 'live'").await;
    customer.ask("passed over").await;
    browser.script("window.unloaded = false", vec![]).await;
    bromo.engine().set_plan(customer.account, "free").await.unwrap();
    let held = customer.begin("[sandbox latency_ms=60000] tea").await;
    until("a call runs", || bromo.in_use() == 1).await;
    let refused = customer.ask("tea").await;
    assert_eq!(refused.status, 429);
    let request = refused.headers["x-request-id"].to_str().unwrap();
    browser.one(&format!("#rows tr [href='/logs/{request}']")).await;
    browser.holds("document.querySelectorAll('#rows tr[id]').length === 1").await;
    browser.holds("window.unloaded === false").await;
    drop(held);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_page_stays_as_it_is_and_says_so() {
    let bromo = Bromo::sandbox();
    let customer = bromo.customer("lite").await;
    let browser = signed_in(&bromo, &customer).await;
    browser.go("/logs").await;
    browser.holds("document.querySelector('[data-live-state]').textContent === 'live'").await;
    browser.click("[data-live-pause]").await;
    browser.holds("document.querySelector('[data-live-state]').textContent === 'paused'").await;
    let first = customer.ask("tea").await.headers["x-request-id"].to_str().unwrap().to_owned();
    until("it is logged", || bromo.engine().log().written.get() == 1).await;
    assert!(!browser.has(&format!("[href='/logs/{first}']")).await);
    browser.click("[data-live-pause]").await;
    browser.one(&format!("#rows [href='/logs/{first}']")).await;
}
