//! From a request to its response: who it is for, what it came to, and the headers it carries.

use std::convert::Infallible;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bromo_engine::Caller;
use bromo_rules::problem::Problem;
use bytes::Bytes;
use futures_util::FutureExt;
use http::request::Parts;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Collected, Either};
use hyper::body::Incoming;
use tower::ServiceExt;

use crate::body::Asked;
use crate::exchange::Exchange;
use crate::problem::Failure;
use crate::reply::{self, Body, Success};
use crate::route::Route;
use crate::routes::{answers, goto, reference, tasks, webhooks};
use crate::{Api, caller};

impl Api {
    /// Answers one request. Everything under `/v1` is the API's, all else are pages.
    pub(crate) async fn respond(
        self: Arc<Self>,
        request: Request<Incoming>,
        from: IpAddr,
    ) -> Result<Response<Body>, Infallible> {
        let mut exchange = Exchange::new(&self.engine);
        let response = if is_api(request.uri().path()) {
            let (head, body) = request.into_parts();
            self.respond_v1(&head, Either::Left(body), None, &mut exchange).await
        } else {
            let mut request = request;
            request.extensions_mut().insert(exchange.request);
            request.extensions_mut().insert(from);
            self.pages.clone().oneshot(request).await?.map(Either::Right)
        };
        Ok(self.stamped(response, &exchange))
    }

    fn stamped(&self, mut response: Response<Body>, exchange: &Exchange) -> Response<Body> {
        let mut text = [0; 36];
        let latency_ms = exchange.arrived.elapsed().as_millis();
        reply::stamp(response.headers_mut(), exchange.request.encode(&mut text), latency_ms);
        response
    }

    /// Answers what a page of this program asks in the name of an account: the same way as over the wire, from the one
    /// decision to the log line.
    pub async fn ask(&self, caller: Arc<Caller>, path: &str, body: Bytes) -> Response<Bytes> {
        let mut exchange = Exchange::new(&self.engine);
        let (mut head, ()) = Request::new(()).into_parts();
        head.method = Method::POST;
        let response = match path.parse() {
            Ok(uri) => {
                head.uri = uri;
                self.respond_v1(&head, Either::Right(body.into()), Some(caller), &mut exchange).await
            }
            Err(_) => reply::failure(&Failure::no_route(path), Vec::new(), None),
        };
        let (mut head, body) = self.stamped(response, &exchange).into_parts();
        head.extensions.insert(exchange.request);
        let body = body.collect().await.map(Collected::to_bytes).unwrap_or_default();
        Response::from_parts(head, body)
    }

    async fn respond_v1(
        &self,
        head: &Parts,
        body: Asked,
        caller: Option<Arc<Caller>>,
        exchange: &mut Exchange,
    ) -> Response<Body> {
        let handled = AssertUnwindSafe(self.handle(head, body, caller, exchange)).catch_unwind().await;
        let outcome = handled.unwrap_or_else(|_| {
            tracing::error!(request = %exchange.request, "a handler panicked");
            Err(Problem::INTERNAL.into())
        });
        let standing = exchange.standing.as_ref();
        match outcome {
            Ok(success) => {
                if let Some(record) = exchange.record.as_mut().filter(|record| !record.ended()) {
                    record.succeed(bromo_rules::credit::Credits::ZERO);
                }
                reply::success(success, standing)
            }
            Err(failure) => {
                if let Some(record) = &mut exchange.record {
                    record.fail(failure.problem);
                }
                reply::failure(&failure, failure.body(self.engine.clock().now()), standing)
            }
        }
    }

    async fn handle(
        &self,
        head: &Parts,
        body: Asked,
        caller: Option<Arc<Caller>>,
        exchange: &mut Exchange,
    ) -> Result<Success, Failure> {
        let mut caller = match caller {
            Some(caller) => caller,
            None => caller::authenticate(&self.engine, &head.headers).await?,
        };
        let (route, task) = Route::find(&head.method, head.uri.path());
        exchange.identify(self.engine.log(), &caller, route);
        match route {
            Route::Answer(endpoint) => answers::post(self, exchange, caller, endpoint, body).await,
            Route::Goto => goto::post(self, exchange, caller, body).await,
            Route::CreateTask => tasks::create(self, exchange, caller, body).await,
            Route::CreateBatch => tasks::create_batch(self, exchange, caller, body).await,
            Route::RedeliverFailed => webhooks::redeliver_failed(self, exchange, caller, body).await,
            _ => {
                let standing = exchange.count(&self.engine, &mut caller, route).await?;
                let (account, query, task) =
                    (caller.facts.account, head.uri.query(), task.unwrap_or_default());
                match route {
                    Route::Countries => reference::countries(query),
                    Route::States => reference::states(query),
                    Route::Credits => Ok(reference::credits(&caller, &standing)),
                    Route::Task => tasks::show(self, &standing, account, task).await,
                    Route::CancelTask => tasks::cancel(self, &standing, account, task).await,
                    Route::Tasks => tasks::list(self, account, query).await,
                    Route::QueueStatus => tasks::status(self, &standing, account).await,
                    Route::ClearQueue => tasks::clear(self, account).await,
                    Route::Deliveries => webhooks::list(self, account, task).await,
                    Route::Redeliver => webhooks::redeliver(self, account, task).await,
                    _ => Err(Failure::no_route(head.uri.path())),
                }
            }
        }
    }
}

pub(crate) fn is_api(path: &str) -> bool {
    path.strip_prefix("/v1").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
