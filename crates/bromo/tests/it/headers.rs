//! The truth in headers (promise S3): docs/concurrency.md#headers and docs/errors.md.

use bromo_rules::key::KeyKind;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Method};

use crate::support::{Bromo, Customer, call};

const LIMITS: [&str; 8] = [
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-concurrent-limit",
    "x-concurrent-current",
    "x-concurrent-remaining",
    "x-concurrency-limit",
    "x-concurrency-current",
    "x-concurrency-remaining",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_authenticated_response_carries_both_families_whatever_its_status() {
    let bromo = Bromo::with("[prices]\nchatgpt = 600\n");
    let customer = bromo.customer("free").await;
    let long = format!("{{\"prompt\":\"{}\"}}", "x".repeat(2_000_000));
    let replies = [
        (200, customer.post("monitor/gemini", r#"{"prompt":"x"}"#).await),
        (200, customer.get("countries").await),
        (200, customer.get("credits").await),
        (400, customer.get("countries?model=none").await),
        (400, customer.post("monitor/gemini", "{").await),
        (403, customer.ask("too dear").await),
        (404, customer.get("nothing").await),
        (404, customer.get("monitor/chatgpt").await),
        (404, customer.send(Method::DELETE, "credits", String::new()).await),
        (413, customer.post("monitor/gemini", long).await),
        (500, customer.post("monitor/gemini", r#"{"prompt":"[sandbox fail=refused]"}"#).await),
    ];
    for (status, reply) in replies {
        assert_eq!(reply.status, status, "{reply:?}");
        let (limit, current, _) = reply.slots();
        assert_eq!(limit, 1);
        assert!(current <= 1);
        assert!(LIMITS.iter().all(|name| reply.headers.contains_key(*name)));
        assert!(reply.headers.contains_key("x-request-id") && reply.number("x-latency-ms") >= 0);
        assert_eq!(
            reply.headers.contains_key("x-credits-charged"),
            reply.code().is_empty() && reply.body["success"] == true
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_401_tells_which_kind_it_is_and_carries_no_limits() {
    let bromo = Bromo::sandbox();
    let customer = bromo.customer("free").await;
    let (good, unknown) = (customer.key.as_str(), "sk_live_00000000000000000000000000000000");
    for (authorization, code) in [
        (None, "MISSING_API_KEY"),
        (Some(String::new()), "MISSING_API_KEY"),
        (Some("Bearer ".to_owned()), "MISSING_API_KEY"),
        (Some(format!("bearer {good}")), "MISSING_API_KEY"),
        (Some(format!("Basic {good}")), "MISSING_API_KEY"),
        (Some(good.to_owned()), "MISSING_API_KEY"),
        (Some(format!("Bearer {}", &good[..39])), "INVALID_API_KEY_FORMAT"),
        (Some(format!("Bearer {good}0")), "INVALID_API_KEY_FORMAT"),
        (Some("Bearer a.b.c".to_owned()), "INVALID_API_KEY_FORMAT"),
        (Some(format!("Bearer {unknown}")), "INVALID_OR_EXPIRED_API_KEY"),
    ] {
        for path in ["/v1/credits", "/v1/nothing", "/v1"] {
            let mut headers = HeaderMap::new();
            if let Some(authorization) = &authorization {
                headers.insert(AUTHORIZATION, HeaderValue::from_str(authorization).unwrap());
            }
            let reply = call(bromo.running().api, Method::GET, path, headers, String::new()).await;
            assert_eq!((reply.status, reply.code()), (401, code), "{authorization:?} {path}");
            assert!(LIMITS.iter().all(|name| !reply.headers.contains_key(*name)));
            assert!(reply.headers.contains_key("x-request-id") && reply.headers.contains_key("x-latency-ms"));
            assert_eq!(reply.body["success"], false);
            assert_eq!(reply.body["error"]["timestamp"], "2026-11-25T12:00:00.000Z");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_authorization_headers_are_as_good_as_none() {
    let bromo = Bromo::sandbox();
    let customer = bromo.customer("free").await;
    let mut headers = HeaderMap::new();
    for _ in 0..2 {
        headers.append(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {}", customer.key)).unwrap());
    }
    let reply = call(bromo.running().api, Method::GET, "/v1/credits", headers, String::new()).await;
    assert_eq!(reply.code(), "MISSING_API_KEY");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_stops_with_the_next_request_and_other_keys_go_on() {
    let bromo = Bromo::sandbox();
    let customer = bromo.customer("free").await;
    let other: Customer = bromo.key(&customer, KeyKind::Live).await;
    assert_eq!((customer.ask("x").await.status, other.ask("x").await.status), (200, 200));
    let keys = bromo.engine().store().list_keys(customer.account).await.unwrap();
    let key = keys.iter().find(|key| customer.key.ends_with(&key.last4)).unwrap();
    bromo.engine().revoke_key(key.id).await.unwrap();
    assert_eq!(customer.ask("x").await.code(), "INVALID_OR_EXPIRED_API_KEY");
    assert_eq!(other.ask("x").await.status, 200);
    // Again changes nothing, and an unknown one is an error.
    bromo.engine().revoke_key(key.id).await.unwrap();
    assert!(bromo.engine().revoke_key(bromo_rules::id::KeyId::from_random(1)).await.is_err());
}
