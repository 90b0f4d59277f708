//! An OpenAI-compatible provider with bad days: it counts the calls in progress of each account at every arrival, answers
//! after a while, fails now and then, and refuses some questions for good.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{SocketAddr, TcpStream as Socket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

/// Words in a question.
pub(crate) const REFUSE: &str = "refuse-me";

/// What was seen of one account.
#[derive(Debug, Clone, Default)]
pub(crate) struct Calls {
    /// The most in progress at once.
    pub(crate) most: u32,
    pub(crate) begun: u64,
}

pub(crate) struct Provider {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    random: Mutex<fastrand::Rng>,
    behaves: AtomicBool,
    /// Open calls by number: whose, and the socket.
    open: Mutex<HashMap<u64, (usize, Arc<Socket>)>>,
    calls: Mutex<[Calls; 2]>,
}

impl Provider {
    pub(crate) async fn start(random: fastrand::Rng) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            random: Mutex::new(random),
            behaves: AtomicBool::new(false),
            open: Mutex::default(),
            calls: Mutex::default(),
        });
        let serving = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&serving);
                let stream = stream.into_std().unwrap();
                let socket = Arc::new(stream.try_clone().unwrap());
                let stream = TcpStream::from_std(stream).unwrap();
                let service =
                    service_fn(move |request| answer(request, Arc::clone(&state), Arc::clone(&socket)));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, state }
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// From now on it answers soon, and only what it refuses fails.
    pub(crate) fn behave(&self) {
        self.state.behaves.store(true, Ordering::SeqCst);
    }

    pub(crate) fn calls(&self) -> [Calls; 2] {
        self.state.calls.lock().unwrap().clone()
    }
}

/// Whether the caller's end is open. An event loop may hear of a new call before it hears of an old one's end, so the
/// sockets themselves are asked.
fn is_open(socket: &Socket) -> bool {
    match socket.peek(&mut [0]) {
        Ok(bytes) => bytes > 0,
        Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
    }
}

/// A call in progress.
struct Open {
    state: Arc<State>,
    number: u64,
}

impl Open {
    fn begin(state: &Arc<State>, account: usize, socket: Arc<Socket>) -> Self {
        let mut open = state.open.lock().unwrap();
        let mut calls = state.calls.lock().unwrap();
        calls[account].begun += 1;
        let number = calls[0].begun + calls[1].begun; // One more each time.
        open.insert(number, (account, socket));
        let running = open.values().filter(|(of, socket)| *of == account && is_open(socket)).count();
        calls[account].most = calls[account].most.max(u32::try_from(running).unwrap());
        Self { state: Arc::clone(state), number }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.state.open.lock().unwrap().remove(&self.number);
    }
}

async fn answer(
    request: Request<hyper::body::Incoming>,
    state: Arc<State>,
    socket: Arc<Socket>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let text = String::from_utf8_lossy(&body).into_owned();
    let account = usize::from(text.contains("of account two"));
    let _open = Open::begin(&state, account, socket);
    let (wait_ms, luck) = {
        let mut random = state.random.lock().unwrap();
        (random.u64(0..40), random.u8(..100))
    };
    let behaves = state.behaves.load(Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(if behaves { 1 } else { wait_ms })).await;
    let status = match luck {
        _ if text.contains(REFUSE) => 400,
        0..8 if !behaves => 500,
        8..12 if !behaves => 429,
        _ => 200,
    };
    let answer = concat!(
        r#"{"id":"c1","object":"chat.completion","model":"m","choices":[{"index":0,"#,
        r#""message":{"role":"assistant","content":"yes"},"finish_reason":"stop"}]}"#
    );
    let body = if status == 200 { answer } else { "no" };
    let response = Response::builder().status(status).header("content-type", "application/json");
    Ok(response.body(Full::from(body)).unwrap())
}
