//! The first real question, asked over HTTP like any customer's.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use bromo_providers::client;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method};
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

pub(super) fn run(api: SocketAddr, key: &str) -> anyhow::Result<()> {
    print::line(format_args!("bromo asks itself: {QUESTION}"));
    let mut headers = HeaderMap::new();
    headers.insert(
        AUTHORIZATION,
        HeaderValue::from_str(&format!("Bearer {key}")).context("the key is no text")?,
    );
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let body = json!({ "prompt": QUESTION, "country": "US" }).to_string().into();
    let address = format!("http://{api}/v1/monitor/chatgpt");
    let answer = crate::runtime()?
        .block_on(async {
            client::request(Method::POST, &address, headers, body, Instant::now() + TIMEOUT).await
        })
        .context("bromo does not answer itself")?;
    let value: Value = serde_json::from_slice(answer.body()).context("bromo answered itself without JSON")?;
    match value["result"]["text"].as_str() {
        Some(text) => {
            let (model, provider) =
                (print::field(&value["result"], "model"), print::field(&value["result"], "provider"));
            print::line(format_args!("{model} ({provider}) answers: {text}\n"));
        }
        None => {
            print::line(format_args!("{}: {}\n", answer.status(), print::field(&value["error"], "message")))
        }
    }
    for name in SHOWN {
        if let Some(value) = answer.headers().get(name).and_then(|value| value.to_str().ok()) {
            print::line(format_args!("  {name}: {value}"));
        }
    }
    Ok(())
}
