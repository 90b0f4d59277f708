//! An account and one request, over HTTP.

use std::net::SocketAddr;
use std::time::Duration;

use bromo_providers::client::{self, ClientError};
use bromo_rules::id::AccountId;
use bromo_rules::webhook::WebhookSecret;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, Response};
use serde_json::Value;
use tokio::time::Instant;

/// Nothing here takes so long.
const DEADLINE: Duration = Duration::from_secs(30);

/// An account and what it needs to call and to verify.
#[derive(Clone)]
pub(crate) struct Account {
    pub(crate) id: AccountId,
    pub(crate) key: String,
    pub(crate) secret: WebhookSecret,
}

impl Account {
    /// As the admin API answers when it made one.
    pub(crate) fn read(made: &[u8]) -> Self {
        let made: Value = serde_json::from_slice(made).unwrap();
        let text = |field: &str| made[field].as_str().unwrap_or_else(|| panic!("{made}"));
        Self {
            id: text("account").parse().unwrap(),
            key: text("key").to_owned(),
            secret: WebhookSecret::from_text(text("webhook_secret")).unwrap(),
        }
    }
}

pub(crate) async fn call(
    address: SocketAddr,
    method: Method,
    path: &str,
    bearer: &str,
    body: String,
) -> Result<Response<bytes::Bytes>, ClientError> {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {bearer}")).unwrap());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let url = format!("http://{address}{path}");
    client::request(method, &url, headers, body.into(), Instant::now() + DEADLINE).await
}
