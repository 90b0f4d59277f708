//! An OpenAI-compatible server that counts the calls in progress, and answers when it is told to.
//!
//! A call is in progress until it is answered or its client's end of the socket is closed. That is asked of the
//! sockets themselves at every count: an event loop may hear of a new call before it hears of an old one's end.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{SocketAddr, TcpStream as Socket};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub(crate) struct Upstream {
    address: SocketAddr,
    state: Arc<State>,
    open: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    running: Mutex<HashMap<u64, Arc<Socket>>>,
    most: AtomicU32,
    begun: AtomicU64,
    broken: AtomicBool,
}

impl State {
    fn running(&self) -> u32 {
        let running = self.running.lock().unwrap();
        u32::try_from(running.values().filter(|socket| is_open(socket)).count()).unwrap()
    }
}

/// Whether the client's end is open: nothing to read yet, or bytes, but no end.
fn is_open(socket: &Socket) -> bool {
    match socket.peek(&mut [0]) {
        Ok(bytes) => bytes > 0,
        Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
    }
}

/// A call in progress.
struct Running {
    state: Arc<State>,
    number: u64,
}

impl Running {
    fn begin(state: &Arc<State>, socket: Arc<Socket>) -> Self {
        let number = state.begun.fetch_add(1, Ordering::SeqCst);
        state.running.lock().unwrap().insert(number, socket);
        state.most.fetch_max(state.running(), Ordering::SeqCst);
        Self { state: Arc::clone(state), number }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.state.running.lock().unwrap().remove(&self.number);
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
                let stream = stream.into_std().unwrap();
                let socket = Arc::new(stream.try_clone().unwrap());
                let stream = TcpStream::from_std(stream).unwrap();
                let service = service_fn(move |request| {
                    answer(request, Arc::clone(&state), Arc::clone(&socket), gate.clone())
                });
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
        self.state.running()
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
    socket: Arc<Socket>,
    mut gate: watch::Receiver<bool>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let _running = Running::begin(&state, socket);
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
