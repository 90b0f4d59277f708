//! The admin API of a running server, as the commands call it.

use std::time::Duration;

use anyhow::{Context, bail};
use bromo_providers::client;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method};
use serde_json::Value;
use tokio::time::Instant;

use super::Server;
use crate::secret_file;

/// A server on the same network answers within this time.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Calls the admin API and answers with its JSON.
pub(super) fn call(
    server: &Server,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> anyhow::Result<Value> {
    let config = super::load("", server.config.as_deref())?;
    let base = server.admin.clone().unwrap_or_else(|| format!("http://{}", config.listen.admin));
    let token_file = server.token_file.as_ref().unwrap_or(&config.token_file);
    let token = secret_file::read(token_file)?.with_context(|| {
        format!(
            "no admin token in {}: start the server first (`bromo dev` or `bromo serve --config FILE`), \
             run this in its working directory, or name the file with --token-file",
            token_file.display()
        )
    })?;
    let mut headers = HeaderMap::new();
    headers.insert(
        AUTHORIZATION,
        HeaderValue::from_str(&format!("Bearer {token}")).context("the admin token is no text")?,
    );
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let body = body.map_or_else(Bytes::new, |body| body.to_string().into());
    let address = format!("{}{path}", base.trim_end_matches('/'));
    let answer = crate::runtime()?
        .block_on(async { client::request(method, &address, headers, body, Instant::now() + TIMEOUT).await });
    let answer = answer.with_context(|| {
        format!("no bromo answers on {base}: start one with `bromo dev` or `bromo serve --config FILE`")
    })?;
    let value: Value = serde_json::from_slice(answer.body()).with_context(|| {
        format!("{address} answered {} without JSON: is that the admin listener?", answer.status())
    })?;
    if !answer.status().is_success() {
        bail!("{}", value["error"]["message"].as_str().unwrap_or("the server refused without a reason"));
    }
    Ok(value)
}

/// A name or id as one segment of a path.
pub(super) fn segment(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}
