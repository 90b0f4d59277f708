//! An OpenAI-compatible provider with bad days. It notes the beginning and the end of every call.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bromo_testbed::Proxy;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::history::{Account, Node, Number, What};
use crate::recorder::Recorder;

/// Words in a question: it is refused for good, or answered after [`LONG`].
pub(crate) const REFUSE: &str = "refuse-me";
pub(crate) const STAY: &str = "stay-a-while";
/// Long enough that calls made at once are seen together.
const LONG: Duration = Duration::from_millis(700);

pub(crate) struct Provider {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    recorder: Arc<Recorder>,
    random: Mutex<fastrand::Rng>,
    behaves: watch::Sender<bool>,
    /// Calls in progress: which node's, and whom the provider sees.
    open: Mutex<BTreeMap<Number, (Node, SocketAddr)>>,
    /// The nodes' ways here: they know whether a caller is still there.
    ways: OnceLock<Vec<Arc<Proxy>>>,
}

impl Provider {
    pub(crate) async fn start(recorder: Arc<Recorder>, random: fastrand::Rng) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            recorder,
            random: Mutex::new(random),
            behaves: watch::Sender::new(false),
            open: Mutex::default(),
            ways: OnceLock::new(),
        });
        let serving = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, peer)) = listener.accept().await {
                let state = Arc::clone(&serving);
                let service = service_fn(move |request| answer(request, Arc::clone(&state), peer));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, state }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn is_reached_by(&self, ways: Vec<Arc<Proxy>>) {
        assert!(self.state.ways.set(ways).is_ok(), "once");
    }

    /// From now on it answers soon, and only what it refuses fails.
    pub(crate) fn behave(&self) {
        self.state.behaves.send_replace(true);
    }
}

/// A call in progress.
struct Open {
    state: Arc<State>,
    call: Number,
}

impl Open {
    /// None if the caller has left already.
    fn begin(state: &Arc<State>, node: Node, peer: SocketAddr, account: Account, tag: &str) -> Option<Self> {
        let ways = state.ways.get()?;
        let mut open = state.open.lock().unwrap();
        // This may be the first to hear that others have left.
        open.retain(|call, (of, peer)| {
            let is_there = ways[*of].has_caller(*peer);
            if !is_there {
                state.recorder.record(What::CallEnded { call: *call, answered: None });
            }
            is_there
        });
        if !ways[node].has_caller(peer) {
            return None;
        }
        let call = state.recorder.number();
        state.recorder.record(What::CallBegan { call, node, account, tag: tag.to_owned() });
        open.insert(call, (node, peer));
        Some(Self { state: Arc::clone(state), call })
    }

    /// Before the first byte of the answer: its caller may begin the next call as soon as it has read this one.
    fn end(&self, answered: Option<u16>) {
        if self.state.open.lock().unwrap().remove(&self.call).is_some() {
            self.state.recorder.record(What::CallEnded { call: self.call, answered });
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.end(None);
    }
}

/// `/node/N/v1/…`
fn node(path: &str) -> Option<Node> {
    path.split('/').nth(2)?.parse().ok()
}

/// `KIND TAG of account N …`, somewhere in a body.
fn asked(text: &str) -> Option<(Account, &str)> {
    let (before, after) = text.split_once(" of account ")?;
    let tag = before.rsplit(' ').next()?;
    let number = after.split(|c: char| !c.is_ascii_digit()).next()?;
    Some((number.parse().ok()?, tag))
}

fn patience(random: &mut fastrand::Rng) -> Duration {
    Duration::from_millis(match random.u8(..100) {
        0..70 => random.u64(2..80),
        70..90 => random.u64(100..600),
        90..97 => random.u64(1_000..3_000),
        _ => random.u64(4_000..14_000),
    })
}

async fn answer(
    request: Request<hyper::body::Incoming>,
    state: Arc<State>,
    peer: SocketAddr,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let node = node(request.uri().path()).unwrap();
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let text = String::from_utf8_lossy(&body).into_owned();
    let open = asked(&text).and_then(|(account, tag)| Open::begin(&state, node, peer, account, tag));
    let Some(open) = open else { return Ok(Response::new(Full::default())) };
    let (patience, luck) = {
        let mut random = state.random.lock().unwrap();
        (patience(&mut random), random.u8(..100))
    };
    let mut behaves = state.behaves.subscribe();
    if text.contains(STAY) {
        tokio::time::sleep(LONG).await;
    } else {
        // Whoever is waiting when it begins to behave waits no longer.
        drop(tokio::time::timeout(patience, behaves.wait_for(|behaves| *behaves)).await);
    }
    let status = match luck {
        _ if text.contains(REFUSE) => 400,
        _ if *behaves.borrow() => 200,
        0..8 => 500,
        8..12 => 429,
        _ => 200,
    };
    let answer = concat!(
        r#"{"id":"c1","object":"chat.completion","model":"m","choices":[{"index":0,"#,
        r#""message":{"role":"assistant","content":"yes"},"finish_reason":"stop"}]}"#
    );
    let body = if status == 200 { answer } else { "no" };
    open.end(Some(status));
    let response = Response::builder().status(status).header("content-type", "application/json");
    Ok(response.body(Full::from(body)).unwrap())
}
