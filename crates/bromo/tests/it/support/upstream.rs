//! An OpenAI-compatible server that counts the calls in progress, as their sockets tell it, and answers when
//! it is told to.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use bytes::Bytes;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::watch;

pub(crate) struct Upstream {
    address: SocketAddr,
    state: Arc<State>,
    open: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    running: AtomicU32,
    most: AtomicU32,
    begun: AtomicU64,
    broken: AtomicBool,
}

/// A call in progress. Dropped when it is answered or its client's socket is gone.
struct Running(Arc<State>);

impl Running {
    fn begin(state: &Arc<State>) -> Self {
        let now = state.running.fetch_add(1, Ordering::SeqCst) + 1;
        state.most.fetch_max(now, Ordering::SeqCst);
        state.begun.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(state))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Upstream {
    /// One that answers at once.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::<State>::default();
        let (open, gate) = watch::channel(true);
        let serving = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (state, gate) = (Arc::clone(&serving), gate.clone());
                let service = service_fn(move |request| answer(request, Arc::clone(&state), gate.clone()));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, state, open }
    }

    /// One that keeps every call until [`Upstream::release`].
    pub(crate) async fn holding() -> Self {
        let upstream = Self::start().await;
        upstream.hold();
        upstream
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    pub(crate) fn hold(&self) {
        self.open.send_replace(false);
    }

    pub(crate) fn release(&self) {
        self.open.send_replace(true);
    }

    /// From now on every call is a 500.
    pub(crate) fn set_broken(&self, broken: bool) {
        self.state.broken.store(broken, Ordering::SeqCst);
    }

    pub(crate) fn running(&self) -> u32 {
        self.state.running.load(Ordering::SeqCst)
    }

    /// The most calls that were ever in progress at once.
    pub(crate) fn most(&self) -> u32 {
        self.state.most.load(Ordering::SeqCst)
    }

    pub(crate) fn begun(&self) -> u64 {
        self.state.begun.load(Ordering::SeqCst)
    }
}

async fn answer(
    _: Request<hyper::body::Incoming>,
    state: Arc<State>,
    mut gate: watch::Receiver<bool>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let _running = Running::begin(&state);
    let _ = gate.wait_for(|open| *open).await;
    if state.broken.load(Ordering::SeqCst) {
        let mut response = Response::new(Full::from("out of order"));
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        return Ok(response);
    }
    let body = concat!(
        r#"{"id":"c1","object":"chat.completion","model":"counted-1","choices":[{"index":0,"#,
        r#""message":{"role":"assistant","content":"counted"},"finish_reason":"stop"}],"#,
        r#""usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}"#
    );
    let response = Response::builder().header("content-type", "application/json").body(Full::from(body));
    Ok(response.unwrap())
}
