//! `POST /v1/monitor/google/goto`: resolves one Google redirect. No slot, no price, no envelope.

use std::sync::Arc;
use std::time::Duration;

use bromo_engine::Caller;
use bromo_providers::client;
use bromo_rules::goto::{self, Redirect};
use bromo_rules::problem::Problem;
use bytes::Bytes;
use serde_json::json;
use tokio::time::Instant;

use crate::body::Asked;
use crate::exchange::Exchange;
use crate::problem::Failure;
use crate::reply::Success;
use crate::route::Route;
use crate::{Api, body};

/// Google has so long to answer (contract section 5).
const UPSTREAM: Duration = Duration::from_secs(10);

/// Answers with the target of the redirect: from the address itself where it stands there, else by asking
/// Google once.
pub(crate) async fn post(
    api: &Api,
    exchange: &mut Exchange,
    mut caller: Arc<Caller>,
    body: Asked,
) -> Result<Success, Failure> {
    let checked = match body::read(body, &api.limits).await {
        Ok(whole) => goto::redirect(&whole.bytes, api.strict).map_err(|faults| Failure::invalid(&faults)),
        Err(failure) => Err(failure),
    };
    exchange.decide(&api.engine, &mut caller, Route::Goto, None).await?;
    let redirect = checked?;
    let target = match redirect.target() {
        Some(target) => target,
        None => ask(api, &redirect).await?,
    };
    Ok(Success::json(&json!({ "url": target.as_str() })))
}

/// Asks for the redirect and reads where it leads; it is not followed.
async fn ask(api: &Api, redirect: &Redirect) -> Result<url::Url, Failure> {
    let url = redirect.url();
    let address = format!("{}{}?{}", api.goto_base, url.path(), url.query().unwrap_or_default());
    let deadline = Instant::now() + UPSTREAM;
    let Ok(_pass) = api.goto_gate.enter(deadline).await else { return Err(Failure::unavailable()) };
    let answer =
        client::request(http::Method::GET, &address, http::HeaderMap::new(), Bytes::new(), deadline).await;
    let location = answer.ok().and_then(|response| {
        let location = response.headers().get(http::header::LOCATION)?.to_str().ok()?;
        let target = url::Url::parse(&address).ok()?.join(location).ok()?;
        matches!(target.scheme(), "http" | "https").then_some(target)
    });
    location.ok_or_else(|| Failure {
        details: Some(json!({ "service": "google" })),
        ..Problem::EXTERNAL_SERVICE.into()
    })
}
