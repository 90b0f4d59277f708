//! The first real question, asked over HTTP like any customer's.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use bromo_providers::client;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, Response};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::print;

const QUESTION: &str = "What is the capital of France?";
const TIMEOUT: Duration = Duration::from_secs(120);

/// Headers worth showing to a newcomer.
const SHOWN: [&str; 8] = [
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-concurrent-limit",
    "x-concurrent-current",
    "x-concurrent-remaining",
    "x-credits-charged",
    "x-credits-remaining",
    "x-latency-ms",
];

/// Asks, and answers with the whole response.
pub(super) fn ask(api: SocketAddr, key: &str) -> anyhow::Result<Response<Bytes>> {
    let mut headers = HeaderMap::new();
    let authorization = HeaderValue::from_str(&format!("Bearer {key}")).context("the key is no text")?;
    headers.insert(AUTHORIZATION, authorization);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let body = json!({ "prompt": QUESTION, "country": "US" }).to_string().into();
    let address = format!("http://{api}/v1/monitor/chatgpt");
    let asking =
        async { client::request(Method::POST, &address, headers, body, Instant::now() + TIMEOUT).await };
    crate::runtime()?.block_on(asking).context("bromo does not answer itself")
}

/// The headers of a response that are worth showing.
pub(super) fn shown(answer: &Response<Bytes>) -> BTreeMap<&'static str, &str> {
    let value = |name| Some((name, answer.headers().get(name)?.to_str().ok()?));
    SHOWN.into_iter().filter_map(value).collect()
}

pub(super) fn run(api: SocketAddr, key: &str) -> anyhow::Result<()> {
    print::line(format_args!("bromo asks itself: {QUESTION}"));
    let answer = ask(api, key)?;
    let value: Value = serde_json::from_slice(answer.body()).context("bromo answered itself without JSON")?;
    match value["result"]["text"].as_str() {
        Some(text) => {
            let model = print::field(&value["result"], "model");
            let provider = print::field(&value["result"], "provider");
            print::line(format_args!("{model} ({provider}) answers: {text}\n"));
        }
        None => {
            print::line(format_args!("{}: {}\n", answer.status(), print::field(&value["error"], "message")))
        }
    }
    for (name, value) in shown(&answer) {
        print::line(format_args!("  {name}: {value}"));
    }
    Ok(())
}
