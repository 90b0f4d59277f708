//! The admin API, its token, health and metrics.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Value, json};

use crate::support::{Bromo, Customer, Reply, call, until};

async fn ask(bromo: &Bromo, method: Method, path: &str, body: Value) -> Reply {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {}", bromo.token())).unwrap());
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    let body = if body.is_null() { String::new() } else { body.to_string() };
    call(bromo.running().admin, method, path, headers, body).await
}

/// Every log line of the customer's account.
pub(crate) async fn log_lines(bromo: &Bromo, customer: &Customer) -> Vec<Value> {
    let reply = ask(
        bromo,
        Method::GET,
        &format!("/admin/v1/logs?account={}&count=1000", customer.account),
        Value::Null,
    )
    .await;
    reply.body["lines"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_made_changed_and_listed() {
    let bromo = Bromo::sandbox();
    let made =
        ask(&bromo, Method::POST, "/admin/v1/accounts", json!({ "name": "Acme Ltd", "plan": "free" })).await;
    assert_eq!(made.status, 200);
    let key = made.body["key"].as_str().unwrap();
    assert!(key.starts_with("sk_live_") && key.len() == 40);
    let again =
        ask(&bromo, Method::POST, "/admin/v1/accounts", json!({ "name": "Acme Ltd", "plan": "free" })).await;
    assert_eq!((again.status, again.code()), (409, "RESOURCE_ALREADY_EXISTS"));
    let plan =
        ask(&bromo, Method::POST, "/admin/v1/accounts/Acme%20Ltd/plan", json!({ "plan": "lite" })).await;
    assert_eq!((plan.status, &plan.body["slots"]), (200, &10.into()));
    let id = made.body["account"].as_str().unwrap();
    let grant =
        ask(&bromo, Method::POST, &format!("/admin/v1/accounts/{id}/grants"), json!({ "credits": 5 })).await;
    assert_eq!(grant.body["credits"], 37_505);
    let list = ask(&bromo, Method::GET, "/admin/v1/accounts", Value::Null).await;
    assert_eq!(list.body["accounts"][0]["name"], "Acme Ltd");
    let test =
        ask(&bromo, Method::POST, &format!("/admin/v1/accounts/{id}/keys"), json!({ "test": true })).await;
    assert!(test.body["key"].as_str().unwrap().starts_with("sk_test_"));
    let keys = ask(&bromo, Method::GET, &format!("/admin/v1/accounts/{id}/keys"), Value::Null).await;
    assert_eq!(keys.body["keys"].as_array().unwrap().len(), 2);
    assert!(!keys.body.to_string().contains("sk_test_"), "keys are shown once");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_gets_a_reason() {
    let bromo = Bromo::sandbox();
    for (path, body, status, reason) in [
        ("/admin/v1/accounts", json!({ "name": "x", "plan": "none" }), 400, "no plan `none`"),
        ("/admin/v1/accounts", json!({ "name": " ", "plan": "free" }), 400, "1 to 64 characters"),
        ("/admin/v1/accounts", json!({ "nam": "x", "plan": "free" }), 422, "unknown field `nam`"),
        ("/admin/v1/accounts/nobody/plan", json!({ "plan": "free" }), 404, "no such account"),
    ] {
        let reply = ask(&bromo, Method::POST, path, body).await;
        let message = reply.body["error"]["message"].as_str().unwrap();
        assert!(reply.status == status && message.contains(reason), "{reply:?}");
    }
    let customer = bromo.customer("free").await;
    let path = format!("/admin/v1/accounts/{}/grants", customer.account);
    for credits in [0, -3, i64::MAX] {
        assert_eq!(ask(&bromo, Method::POST, &path, json!({ "credits": credits })).await.status, 400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_token_nothing_is_told_or_changed() {
    let bromo = Bromo::sandbox();
    let admin = bromo.running().admin;
    for authorization in ["", "Bearer ", "Bearer wrong", &format!("bearer {}", bromo.token())] {
        for path in ["/admin/v1/accounts", "/admin/v1/logs"] {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_str(authorization).unwrap());
            let reply = call(admin, Method::GET, path, headers, String::new()).await;
            assert_eq!((reply.status, reply.code()), (401, "INVALID_ADMIN_TOKEN"), "{authorization}");
        }
    }
    // A customer's listener does not have the admin API.
    let reply =
        call(bromo.running().api, Method::GET, "/admin/v1/accounts", HeaderMap::new(), String::new()).await;
    assert_eq!(reply.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_line_is_there_for_every_request_and_pages_go_back() {
    let bromo = Bromo::sandbox();
    let customer = bromo.customer("free").await;
    for _ in 0..25 {
        customer.ask("x").await;
    }
    until("they are written", || bromo.engine().log().written.get() == 25).await;
    let mut path = format!("/admin/v1/logs?account={}&count=10", customer.account);
    let mut requests = Vec::new();
    for expected in [10, 10, 5] {
        let page = ask(&bromo, Method::GET, &path, Value::Null).await.body;
        let lines = page["lines"].as_array().unwrap();
        assert_eq!(lines.len(), expected);
        requests.extend(lines.iter().map(|line| line["request"].as_str().unwrap().to_owned()));
        path = format!("/admin/v1/logs?account={}&count=10&before={}", customer.account, page["next"]);
    }
    let newest_first = requests.clone();
    requests.sort_unstable_by(|one, other| other.cmp(one));
    requests.dedup();
    assert_eq!(requests.len(), 25);
    assert_eq!(newest_first.len(), 25);
    let one =
        ask(&bromo, Method::GET, &format!("/admin/v1/logs?request={}", requests[7]), Value::Null).await.body;
    assert_eq!(one["lines"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&one["lines"][0]["credits"], &one["lines"][0]["route"]),
        (&7.into(), &"monitor/chatgpt".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_metrics_need_no_token() {
    let bromo = Bromo::sandbox();
    let customer = bromo.customer("free").await;
    customer.ask("x").await;
    customer.ask("[sandbox fail=refused]").await;
    let get =
        |path: &'static str| call(bromo.running().admin, Method::GET, path, HeaderMap::new(), String::new());
    assert_eq!((get("/healthz").await.status, get("/readyz").await.status), (200, 200));
    let metrics = get("/metrics").await;
    let text = metrics.body.as_str().unwrap();
    for line in [
        format!("bromo_slots_limit{{account=\"{}\"}} 1", customer.account),
        format!("bromo_slots_in_use{{account=\"{}\"}} 0", customer.account),
        "bromo_calls_total{end=\"answered\"} 1".to_owned(),
        "bromo_calls_total{end=\"failed\"} 1".to_owned(),
        "bromo_slot_repairs_total 0".to_owned(),
        "bromo_charges_short_total 0".to_owned(),
        "bromo_provider_latency_seconds_count{endpoint=\"chatgpt\"} 2".to_owned(),
    ] {
        assert!(text.contains(&line), "{line} in\n{text}");
    }
}
