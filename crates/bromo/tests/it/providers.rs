//! docs/providers.md: limits, breakers, wires.

use std::time::Duration;

use bromo_rules::key::KeyKind;

use crate::support::{Bromo, Upstream, until};

fn chat(upstream: &Upstream, more: &str) -> String {
    format!(
        "{more}\n[endpoints.chatgpt]\nprovider = \"openai-chat\"\nbase_url = \"{}\"\nmodel = \"m\"\nparallel_max = 1\nline_max = 1\n",
        upstream.base_url()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn past_a_providers_own_limit_calls_wait_in_line_holding_their_slots_and_past_the_line_get_503() {
    let upstream = Upstream::holding().await;
    let bromo = Bromo::with(&chat(&upstream, "[answers]\nattempts_max = 1"));
    let customer = bromo.customer("lite").await;
    let mut calls = Vec::new();
    for held in 1..=2 {
        let customer = customer.clone();
        calls.push(tokio::spawn(async move { customer.ask("hold").await }));
        until("it holds a slot", || bromo.in_use() == held).await;
    }
    until("one runs", || upstream.running() == 1).await;
    let reply = customer.ask("past the line").await;
    assert_eq!((reply.status, reply.code(), reply.slots()), (503, "SERVICE_UNAVAILABLE", (10, 3, 7)));
    assert!(reply.number("retry-after") >= 1);
    upstream.release();
    for call in calls {
        assert_eq!(call.await.unwrap().status, 200);
    }
    assert_eq!(upstream.most(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_endpoint_opens_its_circuit_and_others_go_on() {
    let upstream = Upstream::start().await;
    let bromo = Bromo::with(&chat(
        &upstream,
        "[answers]\nattempts_max = 1\n[breaker]\nfailures_max = 3\nopen_ms = 10000",
    ));
    let customer = bromo.customer("lite").await;
    upstream.set_broken(true);
    for _ in 0..3 {
        assert_eq!(customer.ask("x").await.status, 500);
    }
    let reply = customer.ask("x").await;
    assert_eq!((reply.status, reply.code(), reply.number("retry-after")), (503, "SERVICE_UNAVAILABLE", 10));
    assert_eq!(upstream.begun(), 3);
    assert_eq!(customer.post("monitor/gemini", r#"{"prompt":"x"}"#).await.status, 200);
    assert_eq!(bromo.key(&customer, KeyKind::Test).await.ask("x").await.status, 200);
    upstream.set_broken(false);
    bromo.advance(Duration::from_secs(10));
    assert_eq!(customer.ask("probe").await.status, 200);
    assert_eq!(customer.ask("closed").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_circuit_is_a_503_at_once_even_when_attempts_are_left() {
    let upstream = Upstream::start().await;
    let bromo = Bromo::with(&chat(
        &upstream,
        "[answers]\nattempts_max = 5\n[breaker]\nfailures_max = 2\nopen_ms = 60000",
    ));
    let customer = bromo.customer("lite").await;
    upstream.set_broken(true);
    let reply = customer.ask("x").await;
    assert_eq!((reply.status, reply.number("retry-after")), (503, 60));
    assert_eq!(upstream.begun(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_without_a_provider_is_a_503_that_names_the_setting() {
    // An empty table is no provider.
    let bromo = Bromo::sandbox();
    let customer = bromo.customer("free").await;
    assert_eq!(customer.post("monitor/google", r#"{"query":"x"}"#).await.status, 200);
    let bare = crate::support::Bromo::bare();
    let customer = bare.customer("free").await;
    for (path, body, setting) in [
        ("google", r#"{"query":"x"}"#, "endpoints.google.provider"),
        ("google/news", r#"{"query":"x"}"#, "endpoints.google-news.provider"),
        ("chatgpt", r#"{"prompt":"x"}"#, "endpoints.chatgpt.provider"),
    ] {
        let reply = customer.post(&format!("monitor/{path}"), body).await;
        assert_eq!((reply.status, reply.code(), reply.slots()), (503, "SERVICE_UNAVAILABLE", (1, 0, 1)));
        assert!(reply.body["error"]["message"].as_str().unwrap().contains(setting), "{reply:?}");
        assert!(reply.number("retry-after") > 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn goto_reads_the_target_from_the_address_and_asks_google_for_opaque_ones() {
    let upstream = Upstream::start().await;
    let bromo = Bromo::with(&format!("[providers.goto]\nbase_url = \"{}\"\n", upstream.base_url()));
    let customer = bromo.customer("free").await;
    let known = customer
        .post("monitor/google/goto", r#"{"url":"https://www.google.com/url?q=https://a.example/x&sa=1"}"#)
        .await;
    assert_eq!((known.status, known.body.to_string()), (200, r#"{"url":"https://a.example/x"}"#.to_owned()));
    assert!(!known.headers.contains_key("x-credits-charged"));
    // This upstream answers 200 without a Location.
    let opaque = customer.post("monitor/google/goto", r#"{"url":"https://google.com/goto?url=CAES"}"#).await;
    assert_eq!((opaque.status, opaque.code()), (502, "EXTERNAL_SERVICE_ERROR"));
    assert_eq!(opaque.body["error"]["details"]["service"], "google");
    let foreign = customer.post("monitor/google/goto", r#"{"url":"https://evil.example/goto?url=x"}"#).await;
    assert_eq!((foreign.status, foreign.code()), (400, "VALIDATION_ERROR"));
}
