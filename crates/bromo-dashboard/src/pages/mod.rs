//! Every URL of the dashboard, once.

mod account;
mod invitation;
mod keys;
mod log_line;
pub(crate) mod logs;
pub(crate) mod overview;
mod plan;
mod playground;
mod sign_in;
mod sign_up;
pub(crate) mod tasks;
mod webhooks;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bromo_rules::id::RequestId;
use futures_util::FutureExt;
use http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, StatusCode};
use tower::ServiceExt;

use crate::error::{ErrorPage, PageError};
use crate::visitor::Look;
use crate::{Beyond, Dashboard, Parts, assets, export, live, thread};

/// What a handler answers with.
pub(crate) type Answer = Result<Response, PageError>;

/// Nothing from elsewhere, no script or style within a page.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; \
     base-uri 'none'; frame-ancestors 'none'",
);

/// Every URL of the dashboard, and `beyond` for all others.
pub fn router(parts: Parts, beyond: Beyond) -> Router {
    let thread = parts.thread.clone();
    let dashboard = Dashboard::new(parts);
    Router::new()
        .route("/", get(overview::show))
        .route("/sign-in", get(sign_in::show).post(sign_in::enter))
        .route("/sign-in/{token}", get(sign_in::show_link).post(sign_in::enter_by_link))
        .route("/sign-out", post(sign_in::leave))
        .route("/sign-up", get(sign_up::show).post(sign_up::join))
        .route("/invitation/{token}", get(invitation::show).post(invitation::accept))
        .route("/plan", get(plan::show))
        .route("/plan/{plan}", get(plan::ask).post(plan::change))
        .route("/plan-request/withdraw", post(plan::withdraw))
        .route("/keys", get(keys::show).post(keys::create))
        .route("/keys/{key}/revoke", get(keys::ask_revoke).post(keys::revoke))
        .route("/logs", get(logs::show))
        .route("/logs/{request}", get(log_line::show))
        .route("/logs/export.csv", get(export::csv))
        .route("/logs/export.ndjson", get(export::ndjson))
        .route("/tasks", get(tasks::show))
        .route("/tasks/clear", get(tasks::ask_clear).post(tasks::clear))
        .route("/tasks/{task}", get(tasks::show_task))
        .route("/tasks/{task}/cancel", get(tasks::ask_cancel).post(tasks::cancel))
        .route("/tasks/{task}/redeliver", post(tasks::redeliver))
        .route("/webhooks", get(webhooks::show))
        .route("/webhooks/secret", get(webhooks::secret))
        .route("/webhooks/secret/rotate", get(webhooks::ask_rotate).post(webhooks::rotate))
        .route("/webhooks/secret/disable", get(webhooks::ask_disable).post(webhooks::disable))
        .route("/webhooks/resend", get(webhooks::ask_resend).post(webhooks::resend))
        .route("/webhooks/test", get(webhooks::show_test).post(webhooks::test))
        .route("/playground", get(playground::show).post(playground::send))
        .route("/account", get(account::show))
        .route("/account/look", post(account::look))
        .route("/account/password", post(account::password))
        .route("/account/texts", post(account::texts))
        .route("/account/invite", post(account::invite))
        .route("/account/uninvite", post(account::uninvite))
        .route("/account/members/{member}/role", post(account::role))
        .route("/account/members/{member}/remove", get(account::ask_remove).post(account::remove))
        .route("/live", get(live::slots))
        .route("/live/overview", get(live::overview))
        .route("/live/logs", get(live::logs))
        .route("/live/tasks", get(live::tasks))
        .method_not_allowed_fallback(missing)
        .layer(middleware::from_fn_with_state(thread, thread::make))
        // Assets and what lies beyond have headers of their own.
        .route("/assets/{name}", get(assets::show_plain))
        .route("/assets/{version}/{name}", get(assets::show))
        .fallback(move |request: Request| go_beyond(beyond.clone(), request))
        .with_state(dashboard)
}

async fn missing(request: Request) -> PageError {
    PageError::missing(format!("page {}", request.uri().path()))
}

/// What lies beyond the dashboard speaks JSON; a browser that finds nothing there gets a page.
async fn go_beyond(beyond: Beyond, request: Request) -> Response {
    let (headers, path) = (request.headers().clone(), request.uri().path().to_owned());
    let id = request.extensions().get::<RequestId>().copied();
    let response = beyond.oneshot(request).await.unwrap_or_else(|never| match never {});
    let is_html =
        response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    if response.status() != StatusCode::NOT_FOUND || is_html || !wants_html(&headers) {
        return response;
    }
    error_page(&PageError::missing(format!("page {path}")), &headers, id)
}

fn wants_html(headers: &HeaderMap) -> bool {
    headers
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"))
}

/// Gives every page its headers, and every error its page; a panic too.
pub(crate) async fn finish(request: Request, next: Next) -> Response {
    let headers = request.headers().clone();
    let id = request.extensions().get::<RequestId>().copied();
    let answered = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let mut response = answered.unwrap_or_else(|_| {
        tracing::error!("a page panicked");
        PageError::Internal.into_response()
    });
    if let Some(error) = response.extensions_mut().remove::<Arc<PageError>>() {
        response = error_page(&error, &headers, id);
    }
    secure(&mut response);
    response
}

pub(crate) fn error_page(error: &PageError, headers: &HeaderMap, request: Option<RequestId>) -> Response {
    let look = Look::of(headers);
    let page = ErrorPage { look: &look, error, request };
    let status = StatusCode::from_u16(page.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = match page.render() {
        Ok(text) => (status, html(text)).into_response(),
        Err(_) => (status, error.to_string()).into_response(),
    };
    secure(&mut response);
    response
}

pub(crate) fn secure(response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

fn html(text: String) -> Response {
    let mut response = text.into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}

/// A page.
pub(crate) fn page(template: &impl Template) -> Answer {
    Ok(html(template.render()?))
}

/// A page whose form has faults.
pub(crate) fn faulty(template: &impl Template) -> Answer {
    Ok((StatusCode::UNPROCESSABLE_ENTITY, html(template.render()?)).into_response())
}

/// To another page, after a change; `done` is a word of [`crate::message`].
pub(crate) fn to(path: &str) -> Answer {
    Ok(axum::response::Redirect::to(path).into_response())
}

/// The query of an address.
pub(crate) struct Query(pub(crate) crate::form::Form);

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for Query {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut http::request::Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(crate::form::Form::parse(parts.uri.query().unwrap_or_default().as_bytes())))
    }
}

pub(crate) use self::sign_in::FormCookie;

/// The parts, as handlers take them.
pub(crate) type At = State<Dashboard>;
