//! Everything outside `/v1`: stored answers, the reference.

use std::time::Duration;

use http::{HeaderMap, Method};

use crate::support::{Bromo, Reply, call};

async fn get(bromo: &Bromo, path: &str) -> Reply {
    call(bromo.running().api, Method::GET, path, HeaderMap::new(), String::new()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_page_needs_no_key_runs_nothing_and_is_gone_after_a_day() {
    let bromo = Bromo::sandbox();
    let customer = bromo.customer("free").await;
    let body = r#"{"prompt":"<script>alert(1)</script>","include":{"html":true}}"#;
    let answer = customer.post("monitor/gemini", body).await;
    let address = answer.body["result"]["html"].as_str().unwrap();
    let path = address.strip_prefix(&format!("http://{}", bromo.running().api)).unwrap().to_owned();
    let page = get(&bromo, &path).await;
    assert_eq!(page.status, 200);
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; sandbox;") && !policy.contains("script-src"));
    assert_eq!(page.headers["x-content-type-options"], "nosniff");
    assert!(!page.body.as_str().unwrap().contains("<script"));
    bromo.advance(Duration::from_millis(86_400_000 - 1));
    assert_eq!(get(&bromo, &path).await.status, 200);
    bromo.advance(Duration::from_millis(1));
    let gone = get(&bromo, &path).await;
    assert_eq!((gone.status, gone.code()), (404, "RESOURCE_NOT_FOUND"));
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_pages_are_404_in_the_envelope_without_a_key() {
    let bromo = Bromo::sandbox();
    for path in ["/nothing", "/results/x/page-1.html", "/v2/credits", "/v1x"] {
        let reply = get(&bromo, path).await;
        assert_eq!((reply.status, reply.code()), (404, "RESOURCE_NOT_FOUND"), "{path}");
        assert!(reply.headers.contains_key("x-request-id"));
    }
    let reply = call(bromo.running().api, Method::POST, "/docs", HeaderMap::new(), String::new()).await;
    assert_eq!(reply.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reference_loads_nothing_from_outside() {
    let bromo = Bromo::sandbox();
    for path in ["/docs", "/style.css"] {
        let page = get(&bromo, path).await;
        let text = page.body.as_str().unwrap();
        assert_eq!(page.status, 200);
        for outside in ["src=\"http", "href=\"http", "@import", "url(http", "<script"] {
            assert!(!text.contains(outside), "{outside} in {path}");
        }
    }
    let document = get(&bromo, "/openapi.json").await.body;
    assert_eq!(document["openapi"], "3.1.0");
    let docs = get(&bromo, "/docs").await.body;
    for path in document["paths"].as_object().unwrap().keys() {
        assert!(docs.as_str().unwrap().contains(path.as_str()), "{path}");
    }
}
