//! Deliveries of a task, as its owner sees them: the log, and once more.

use std::sync::Arc;

use bromo_engine::Caller;
use bromo_rules::id::AccountId;
use bromo_rules::time::Timestamp;
use bromo_store::{DeliveryAttempt, DeliveryState, StoreError};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::body::Asked;
use crate::exchange::Exchange;
use crate::problem::Failure;
use crate::reply::Success;
use crate::route::Route;
use crate::routes::tasks::{find, unstored};
use crate::{Api, body};

/// `GET /v1/async/task/{id}/deliveries`
pub(crate) async fn list(api: &Api, account: AccountId, name: &str) -> Result<Success, Failure> {
    let task = find(api, account, name).await?.task;
    match api.engine.delivery_attempts(account, task.id).await {
        Ok((state, attempts)) => Ok(Success::json(&json!({
            "delivery": state.map(|state| delivery(&state)),
            "attempts": attempts.iter().map(attempt).collect::<Vec<_>>(),
        }))),
        Err(StoreError::Missing { .. }) => Err(Failure::no_task(name)),
        Err(error) => Err(unstored(&error)),
    }
}

/// `POST /v1/async/task/{id}/redeliver`
pub(crate) async fn redeliver(api: &Api, account: AccountId, name: &str) -> Result<Success, Failure> {
    let task = find(api, account, name).await?.task;
    match api.engine.redeliver(account, task.id).await {
        Ok(Some(state)) => Ok(Success::json(&json!({ "success": true, "delivery": delivery(&state) }))),
        Ok(None) => {
            let message = if task.state.is_final() { "Task has no webhook" } else { "Task has not ended" };
            Err(Failure::conflict(message, task.id, task.state))
        }
        Err(StoreError::Missing { .. }) => Err(Failure::no_task(name)),
        Err(error) => Err(unstored(&error)),
    }
}

/// `POST /v1/async/redeliver`
pub(crate) async fn redeliver_failed(
    api: &Api,
    exchange: &mut Exchange,
    mut caller: Arc<Caller>,
    body: Asked,
) -> Result<Success, Failure> {
    #[derive(Deserialize)]
    struct Since {
        since: String,
    }
    let read = body::read(body, &api.limits).await;
    exchange.count(&api.engine, &mut caller, Route::RedeliverFailed).await?;
    let since = serde_json::from_slice::<Since>(&read?.bytes).ok();
    let since = since.and_then(|since| since.since.parse::<Timestamp>().ok());
    let since = since.ok_or_else(|| Failure::invalid_field("since", "must be an instant in ISO 8601"))?;
    match api.engine.redeliver_failed(caller.facts.account, since).await {
        Ok(redelivered) => Ok(Success::json(&json!({ "success": true, "redelivered": redelivered }))),
        Err(error) => Err(unstored(&error)),
    }
}

fn delivery(state: &DeliveryState) -> Value {
    json!({
        "attempts": state.attempts,
        "deliveredAt": state.delivered_at.map(|at| at.to_string()),
        "nextAttemptAt": state.due_at.map(|at| at.to_string()),
    })
}

fn attempt(attempt: &DeliveryAttempt) -> Value {
    json!({
        "attempt": attempt.number,
        "at": attempt.at.to_string(),
        "tookMs": attempt.took_ms,
        "status": attempt.status,
        "error": attempt.error,
        "response": String::from_utf8_lossy(&attempt.response),
    })
}
