//! The admin listener: health and metrics for machines, the admin API and pages for operators with the token.

mod accounts;
mod fault;
mod logs;
pub(crate) mod members;
mod webhooks;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use bromo_engine::Engine;
use bromo_rules::id::AccountId;
use bromo_store::{LogFilter, Logs};
use subtle::ConstantTimeEq;
use tokio_util::sync::CancellationToken;

use self::fault::Fault;
use crate::metrics;

/// What the admin pages work on.
#[derive(Clone)]
struct Admin {
    engine: Arc<Engine>,
    logs: Arc<dyn Logs>,
    token: Arc<str>,
    draining: CancellationToken,
}

/// Every URL of the admin listener, once.
pub(crate) fn router(
    engine: Arc<Engine>,
    logs: Arc<dyn Logs>,
    token: &str,
    draining: CancellationToken,
) -> Router {
    let admin = Admin { engine, logs, token: token.into(), draining };
    let (engine, token) = (Arc::clone(&admin.engine), Arc::clone(&admin.token));
    let pages = bromo_dashboard::operator(bromo_dashboard::OperatorParts { engine, token });
    let guarded = Router::new()
        .route("/admin/v1/accounts", get(accounts::list).post(accounts::create))
        .route("/admin/v1/accounts/{account}", get(accounts::show))
        .route("/admin/v1/accounts/{account}/plan", post(accounts::set_plan))
        .route("/admin/v1/accounts/{account}/grants", post(accounts::grant))
        .route("/admin/v1/accounts/{account}/ledger", get(accounts::ledger))
        .route("/admin/v1/accounts/{account}/keys", get(accounts::list_keys).post(accounts::create_key))
        .route("/admin/v1/accounts/{account}/sign-in-link", post(members::sign_in_link))
        .route(
            "/admin/v1/accounts/{account}/webhook-secret",
            post(webhooks::rotate).delete(webhooks::disable),
        )
        .route("/admin/v1/accounts/{account}/tasks/{task}/deliveries", get(webhooks::deliveries))
        .route("/admin/v1/accounts/{account}/tasks/{task}/redeliver", post(webhooks::redeliver))
        .route("/admin/v1/keys/{key}", delete(accounts::revoke_key))
        .route("/admin/v1/logs", get(logs::list))
        .route_layer(middleware::from_fn_with_state(admin.clone(), require_token));
    Router::new()
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(show_metrics))
        .merge(guarded)
        .fallback(async |request: Request| Fault::no_route(request.uri().path()))
        .with_state(admin)
        .merge(pages)
}

/// Takes as long for a wrong token as for a right one.
async fn require_token(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    let given =
        request.headers().get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    if given.is_some_and(|given| bool::from(given.ct_eq(admin.token.as_bytes()))) {
        next.run(request).await
    } else {
        Fault::token().into_response()
    }
}

/// Ready when store, log and counts can be read, and the process is not about to end.
async fn ready(State(admin): State<Admin>) -> Result<&'static str, Fault> {
    if admin.draining.is_cancelled() {
        return Err(Fault::ending());
    }
    admin.engine.store().lookup_account(AccountId::from_random(0)).await?;
    admin.engine.admission().in_reach()?;
    admin.logs.read(&LogFilter::default(), None, 1, logs::SEARCH_MAX).await?;
    Ok("ready\n")
}

async fn show_metrics(State(admin): State<Admin>) -> Response {
    match metrics::text(&admin.engine).await {
        Ok(text) => ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => Fault::internal(&error).into_response(),
    }
}
