//! A webhook receiver with bad days: it verifies every post, fails now and then, and tells what it saw.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bromo_rules::webhook::WebhookSecret;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;

use super::wire::Account;

/// One post.
#[derive(Debug, Clone)]
pub(crate) struct Post {
    pub(crate) body: Value,
    /// Whose secret verified it in both schemes.
    pub(crate) signed_by: Option<usize>,
    /// It was answered with a 2xx.
    pub(crate) taken: bool,
}

/// Hears of each post before it is answered.
pub(crate) type Hear = Box<dyn Fn(Post) + Send + Sync>;

pub(crate) struct Receiver {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    random: Mutex<fastrand::Rng>,
    behaves: AtomicBool,
    secrets: Mutex<Vec<WebhookSecret>>,
    hear: Hear,
}

impl Receiver {
    pub(crate) async fn start(random: fastrand::Rng, hear: Hear) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            random: Mutex::new(random),
            behaves: AtomicBool::new(false),
            secrets: Mutex::default(),
            hear,
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

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    pub(crate) fn knows(&self, accounts: &[Account]) {
        *self.state.secrets.lock().unwrap() = accounts.iter().map(|account| account.secret.clone()).collect();
    }

    pub(crate) fn behave(&self) {
        self.state.behaves.store(true, Ordering::SeqCst);
    }
}

async fn take(
    request: Request<hyper::body::Incoming>,
    state: Arc<State>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(bytes) = body.collect().await.map(|body| body.to_bytes()) else {
        return Ok(Response::new(Full::default())); // Its sender died.
    };
    let header =
        |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let signed_by = state.secrets.lock().unwrap().iter().position(|secret| {
        secret.verifies_cloro(header("x-cloro-timestamp"), header("x-cloro-signature"), &bytes)
            && secret.verifies_standard(
                header("webhook-id"),
                header("webhook-timestamp"),
                header("webhook-signature"),
                &bytes,
            )
    });
    let (wait_ms, luck) = {
        let mut random = state.random.lock().unwrap();
        (random.u64(0..20), random.u8(..100))
    };
    let behaves = state.behaves.load(Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(if behaves { 0 } else { wait_ms })).await;
    let taken = behaves || luck >= 10;
    let body = serde_json::from_slice(&bytes).unwrap_or_default();
    (state.hear)(Post { body, signed_by, taken });
    let response = Response::builder().status(if taken { 200 } else { 500 });
    Ok(response.body(Full::default()).unwrap())
}
