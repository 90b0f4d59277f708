//! A webhook receiver: keeps what it is sent, and answers as it is told.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::{BodyExt, Full};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;

/// One post as it came.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
    pub(crate) body: Value,
}

impl Received {
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name} in {self:?}")).to_str().unwrap()
    }

    pub(crate) fn task(&self) -> &str {
        self.body["task"]["id"].as_str().unwrap()
    }
}

/// What it answers.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Status(u16),
    /// With this Retry-After.
    Busy(u64),
    /// To this address.
    Redirect(String),
    /// 500, with this body.
    Says(&'static str),
    /// Never.
    Hang,
}

pub(crate) struct Receiver {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    received: Mutex<Vec<Received>>,
    /// The next answers; after them 200.
    answers: Mutex<VecDeque<Answer>>,
    always: Mutex<Option<Answer>>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            received: Mutex::default(),
            answers: Mutex::default(),
            always: Mutex::default(),
        });
        let serving = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&serving);
                let service = service_fn(move |request| take(request, Arc::clone(&state)));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, state }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Answers the next posts so, one after the other, and all further ones with 200.
    pub(crate) fn then(&self, answers: impl IntoIterator<Item = Answer>) {
        self.state.answers.lock().unwrap().extend(answers);
    }

    /// Answers every post so.
    pub(crate) fn always(&self, answer: Answer) {
        *self.state.always.lock().unwrap() = Some(answer);
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.state.received.lock().unwrap().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.state.received.lock().unwrap().len()
    }
}

async fn take(
    request: Request<hyper::body::Incoming>,
    state: Arc<State>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let bytes = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    let path = head.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    state.received.lock().unwrap().push(Received { path, headers: head.headers, bytes, body });
    let always = state.always.lock().unwrap().clone();
    let answer = always.or_else(|| state.answers.lock().unwrap().pop_front());
    let mut said = "noted";
    let response = match answer.unwrap_or(Answer::Status(200)) {
        Answer::Status(status) => Response::builder().status(status),
        Answer::Busy(seconds) => Response::builder().status(503).header("retry-after", seconds),
        Answer::Redirect(to) => Response::builder().status(302).header("location", to),
        Answer::Says(body) => {
            said = body;
            Response::builder().status(500)
        }
        Answer::Hang => std::future::pending().await,
    };
    Ok(response.body(Full::from(said)).unwrap())
}
