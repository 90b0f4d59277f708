//! Pages outside `/v1` that need no sign-in: the reference, stored answers. Nothing is loaded from elsewhere and
//! no page runs a script.

mod reference;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bromo_engine::Engine;
use bromo_rules::id::RequestId;
use bytes::Bytes;

use crate::openapi;
use crate::problem::Failure;

/// The program's own pages: one stylesheet of their own, nothing else.
const OWN: HeaderValue =
    HeaderValue::from_static("default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'");
/// Pages made of what a model wrote: nothing at all, in an origin of their own.
const FOREIGN: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; sandbox; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

const STYLE: &str = include_str!("../assets/style.css");

#[derive(Clone)]
struct Pages {
    engine: Arc<Engine>,
    openapi: Bytes,
    reference: Bytes,
}

/// Every URL outside `/v1`, once.
pub fn router(engine: &Arc<Engine>, strict: bool, batch_tasks_max: usize) -> Router {
    let document = openapi::document(strict, batch_tasks_max);
    let reference = reference::page(&document);
    let pages = Pages {
        engine: Arc::clone(engine),
        openapi: document.to_string().into(),
        reference: reference.into(),
    };
    Router::new()
        .route("/docs", get(async |State(pages): State<Pages>| html(OWN, pages.reference)))
        .route("/style.css", get(async || ([(CONTENT_TYPE, "text/css; charset=utf-8")], STYLE)))
        .route(
            "/openapi.json",
            get(async |State(pages): State<Pages>| ([(CONTENT_TYPE, "application/json")], pages.openapi)),
        )
        .route("/results/{request}/page-1.html", get(stored))
        .fallback(missing)
        .method_not_allowed_fallback(missing)
        .with_state(pages)
}

async fn stored(State(pages): State<Pages>, Path(request): Path<String>) -> Response {
    let no_page = || problem(&pages.engine, &Failure::no_page(&request));
    let Ok(id) = request.parse::<RequestId>() else { return no_page() };
    match pages.engine.page(id).await {
        Ok(Some(page)) => html(FOREIGN, page.into()),
        Ok(None) => no_page(),
        Err(error) => {
            tracing::error!(%error, "failed to read a page");
            problem(&pages.engine, &Failure::unavailable())
        }
    }
}

async fn missing(State(pages): State<Pages>, request: Request) -> Response {
    problem(&pages.engine, &Failure::no_route(request.uri().path()))
}

fn problem(engine: &Engine, failure: &Failure) -> Response {
    let status = StatusCode::from_u16(failure.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(CONTENT_TYPE, "application/json")], failure.body(engine.clock().now())).into_response()
}

fn html(policy: HeaderValue, page: Bytes) -> Response {
    let mut response = Response::new(Body::from(page));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
