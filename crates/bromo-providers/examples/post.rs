//! Signed posts a second of one core: `cargo build --release -p bromo-providers --example post`, then
//! `taskset -c 1 post receive 127.0.0.1:9100` and beside it `taskset -c 0 post send 127.0.0.1:9100`.
//!
//! Each post is judged, signed in both schemes, sent and its answer read, as a delivery is, without its store.
//! Rounds of a bare hyper connection each, with nothing of that, stand between them: what the machine gives.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a tool for developers")]

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bromo_providers::webhook::{ATTEMPT_TIMEOUT, Sender, headers};
use bromo_rules::egress::Egress;
use bromo_rules::task::TaskId;
use bromo_rules::time::Timestamp;
use bromo_rules::webhook::{Secrets, WebhookSecret};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

/// Deliveries in flight.
const IN_FLIGHT: usize = 64;
/// Posts of a round.
const POSTS: usize = 200_000;
/// The first warms up and is not counted.
const ROUNDS: usize = 6;
const BODY_BYTES: usize = 1024;

// The program's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Answers every post at once, in this thread.
async fn receive(address: &str) {
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    loop {
        let (tcp, _) = listener.accept().await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let service = service_fn(|request: http::Request<hyper::body::Incoming>| async {
            let signed = request.headers().contains_key("webhook-signature");
            let read = request.into_body().collect().await.unwrap().to_bytes().len();
            let status = if signed && read == BODY_BYTES { 200 } else { 400 };
            let body = http_body_util::Full::new(Bytes::from_static(b"ok"));
            Ok::<_, Infallible>(http::Response::builder().status(status).body(body).unwrap())
        });
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(tcp), service));
    }
}

/// What posts in a loop, and how many times, each in so long.
type Posting = tokio::task::JoinSet<Vec<Duration>>;

fn posts(sender: &Arc<Sender>, url: &Arc<str>) -> Posting {
    let secrets = Arc::new(Secrets::from(WebhookSecret::new([7; 24])));
    let body = Bytes::from("x".repeat(BODY_BYTES));
    let task: TaskId = "0198f3a0-0000-7000-8000-000000000001".parse().unwrap();
    let mut posting = Posting::new();
    for _ in 0..IN_FLIGHT {
        let (sender, url, secrets, body) = (sender.clone(), url.clone(), secrets.clone(), body.clone());
        posting.spawn(async move {
            let mut took = Vec::with_capacity(POSTS / IN_FLIGHT);
            for post in 0..POSTS / IN_FLIGHT {
                let begun = Instant::now();
                let now = Timestamp::from_millis(1_760_000_000_000 + post as i64);
                let signed = headers(secrets.sign(task, 1, now, &body));
                let reception = sender.post(&url, signed, body.clone(), begun + ATTEMPT_TIMEOUT).await;
                assert_eq!(reception.unwrap().status, 200);
                took.push(begun.elapsed());
            }
            took
        });
    }
    posting
}

fn bare_posts(address: &str) -> Posting {
    let body = Bytes::from("x".repeat(BODY_BYTES));
    let mut posting = Posting::new();
    for _ in 0..IN_FLIGHT {
        let (address, body) = (address.to_owned(), body.clone());
        posting.spawn(async move {
            let tcp = tokio::net::TcpStream::connect(&address).await.unwrap();
            tcp.set_nodelay(true).unwrap();
            let (mut connection, driver) =
                hyper::client::conn::http1::handshake(TokioIo::new(tcp)).await.unwrap();
            let driver = tokio::spawn(driver);
            let mut took = Vec::with_capacity(POSTS / IN_FLIGHT);
            for _ in 0..POSTS / IN_FLIGHT {
                let begun = Instant::now();
                let request = http::Request::post("/hook?token=x")
                    .header("host", &address)
                    .header("webhook-signature", "none")
                    .body(http_body_util::Full::new(body.clone()))
                    .unwrap();
                let response = connection.send_request(request).await.unwrap();
                assert_eq!(response.status(), 200);
                response.into_body().collect().await.unwrap();
                took.push(begun.elapsed());
            }
            driver.abort();
            took
        });
    }
    posting
}

async fn measure(name: &str, posting: Posting) {
    let (started, worked) = (Instant::now(), processor_time());
    let mut took = posting.join_all().await.concat();
    took.sort_unstable();
    let posts = took.len() as f64;
    let per_second = posts / started.elapsed().as_secs_f64();
    let worked_us = (processor_time() - worked).as_secs_f64() * 1e6 / posts;
    let (p50, p99) = (took[took.len() / 2], took[took.len() * 99 / 100]);
    println!(
        "{name}{per_second:.0} posts/s, {worked_us:.1} us of processor each, p50 {p50:.2?}, p99 {p99:.2?}"
    );
}

/// What this process has worked so far, from `/proc`; in hundredths of a second, and nothing elsewhere.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

async fn send(address: &str) {
    let url: Arc<str> = format!("http://{address}/hook?token=x").into();
    let allow = vec!["127.0.0.0/8".parse().unwrap()];
    let sender = Arc::new(Sender::new(Egress { allow, ports: None }));
    for number in 0..ROUNDS {
        let name = if number == 0 { "warming up: " } else { "" };
        measure(name, posts(&sender, &url)).await;
        measure("  bare hyper: ", bare_posts(address)).await;
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["receive", address] => runtime.block_on(receive(address)),
        ["send", address] => runtime.block_on(send(address)),
        _ => println!("post receive ADDRESS | post send ADDRESS"),
    }
}
