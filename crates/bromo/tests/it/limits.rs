//! docs/rate-limits.md: one window a key and route template.

use std::time::Duration;

use bromo_rules::key::KeyKind;
use http::Method;

use crate::support::Bromo;

const THREE: &str = "[limits]\nrequests_per_second = 3\n";

#[tokio::test(flavor = "multi_thread")]
async fn the_request_after_the_last_is_refused_until_the_next_second() {
    let bromo = Bromo::with(THREE);
    let customer = bromo.customer("free").await;
    for remaining in [2, 1, 0] {
        let reply = customer.get("countries").await;
        assert_eq!((reply.status, reply.number("x-ratelimit-remaining")), (200, remaining));
    }
    let reply = customer.get("countries").await;
    assert_eq!((reply.status, reply.code()), (429, "RATE_LIMIT_EXCEEDED"));
    assert_eq!((reply.number("x-ratelimit-remaining"), reply.number("retry-after")), (0, 1));
    assert!(reply.body["error"].get("details").is_none());
    assert_eq!(reply.slots(), (1, 0, 1));
    bromo.advance(Duration::from_millis(999));
    assert_eq!(customer.get("countries").await.status, 429);
    bromo.advance(Duration::from_millis(1));
    assert_eq!(customer.get("countries").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_of_other_routes_and_keys_are_unaffected_and_unknown_paths_share_one() {
    let bromo = Bromo::with(THREE);
    let customer = bromo.customer("free").await;
    let other = bromo.key(&customer, KeyKind::Test).await;
    for path in ["nothing", "nobody/here", "nothing?x=1"] {
        assert_eq!(customer.get(path).await.status, 404);
    }
    assert_eq!(customer.get("no/where").await.code(), "RATE_LIMIT_EXCEEDED");
    assert_eq!(customer.send(Method::PUT, "credits", String::new()).await.code(), "RATE_LIMIT_EXCEEDED");
    assert_eq!(customer.get("credits").await.status, 200);
    assert_eq!(other.get("nothing").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_shares_its_routes_window() {
    let bromo = Bromo::with(THREE);
    let customer = bromo.customer("free").await;
    for path in ["google/news", "google-news", "google/news"] {
        assert_eq!(customer.post(&format!("monitor/{path}"), r#"{"query":"tea"}"#).await.status, 200);
    }
    assert_eq!(
        customer.post("monitor/google-news", r#"{"query":"tea"}"#).await.code(),
        "RATE_LIMIT_EXCEEDED"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_requests_count_and_a_used_up_window_comes_before_every_other_refusal() {
    let bromo = Bromo::with(THREE);
    let customer = bromo.customer("free").await;
    for _ in 0..3 {
        assert_eq!(customer.post("monitor/chatgpt", "not json").await.status, 400);
    }
    for body in ["not json", r#"{"prompt":"x"}"#] {
        assert_eq!(customer.post("monitor/chatgpt", body).await.code(), "RATE_LIMIT_EXCEEDED");
    }
}
