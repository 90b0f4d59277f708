//! Webhook secrets, and the deliveries of a task.

use axum::Json;
use axum::extract::{Path, State};
use bromo_rules::task::TaskId;
use bromo_store::{DeliveryAttempt, DeliveryState};
use serde_json::{Value, json};

use super::Admin;
use super::fault::Fault;

type Answer = Result<Json<Value>, Fault>;

pub(super) async fn rotate(State(admin): State<Admin>, Path(account): Path<String>) -> Answer {
    let account = admin.engine.find_account(&account).await?.id;
    let secret = admin.engine.rotate_webhook_secret(account).await?;
    Ok(Json(json!({ "account": account.to_string(), "webhook_secret": secret.reveal() })))
}

pub(super) async fn disable(State(admin): State<Admin>, Path(account): Path<String>) -> Answer {
    let account = admin.engine.find_account(&account).await?.id;
    admin.engine.disable_webhook_secret(account).await?;
    Ok(Json(json!({ "account": account.to_string(), "webhook_secret": null })))
}

pub(super) async fn deliveries(
    State(admin): State<Admin>,
    Path((account, task)): Path<(String, String)>,
) -> Answer {
    let account = admin.engine.find_account(&account).await?.id;
    let (state, attempts) = admin.engine.delivery_attempts(account, id(&task)?).await?;
    let attempts: Vec<_> = attempts.iter().map(view).collect();
    Ok(Json(json!({ "delivery": state.map(|state| view_state(&state)), "attempts": attempts })))
}

pub(super) async fn redeliver(
    State(admin): State<Admin>,
    Path((account, task)): Path<(String, String)>,
) -> Answer {
    let account = admin.engine.find_account(&account).await?.id;
    let state = admin.engine.redeliver(account, id(&task)?).await?;
    Ok(Json(json!({ "delivery": state.map(|state| view_state(&state)) })))
}

fn id(text: &str) -> Result<TaskId, Fault> {
    text.parse().map_err(|_| Fault::invalid("task: not an id".to_owned()))
}

fn view_state(state: &DeliveryState) -> Value {
    json!({
        "attempts": state.attempts,
        "delivered_at": state.delivered_at.map(|at| at.to_string()),
        "next_attempt_at": state.due_at.map(|at| at.to_string()),
    })
}

fn view(attempt: &DeliveryAttempt) -> Value {
    json!({
        "attempt": attempt.number,
        "at": attempt.at.to_string(),
        "took_ms": attempt.took_ms,
        "status": attempt.status,
        "error": attempt.error,
        "response": String::from_utf8_lossy(&attempt.response),
    })
}
