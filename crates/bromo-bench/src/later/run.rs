//! One round of the later way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::customer::{Customer, Tasks, submit};
use super::receiver::{HANGS, Receiver, until};
use super::server::{Place, Server};
use crate::client::message_bytes;
use crate::latency::Latencies;

/// Clients of single submits.
const CLIENTS: usize = 64;
/// Clients and tasks of batches.
const BATCH_CLIENTS: usize = 8;
const BATCH: usize = 500;
/// Tasks that are drained.
const DRAINED: u64 = 40_000;
/// Tasks whose start is timed.
const STARTS: usize = 300;
/// Deliveries that are timed: as fast as they go, and at this pace.
const DELIVERED: u64 = 20_000;
const PACED: usize = 1500;
const PACE: Duration = Duration::from_millis(1);
/// Queued tasks of a busy account.
const QUEUED: usize = 100_000;

/// What one round brought.
pub(crate) struct Round {
    /// A second; p50 and p99 in milliseconds.
    pub(crate) singles: (f64, f64, f64),
    pub(crate) one_p50: f64,
    pub(crate) batches: f64,
    pub(crate) drain: f64,
    /// Submits and whole tasks a second.
    pub(crate) both: (f64, f64),
    /// p50 and p99 in milliseconds.
    pub(crate) start: (f64, f64),
    pub(crate) fair_p99: f64,
    pub(crate) deliveries: f64,
    pub(crate) healthy_p99: f64,
    pub(crate) beside_dead: f64,
    pub(crate) wal_mb: f64,
}

pub(crate) async fn round(place: &Place<'_>, length: Duration) -> anyhow::Result<Round> {
    let mut wal_mb: f64 = 0.0;
    // Submits alone: nothing runs.
    let server = Arc::new(Server::start(place, "[tasks]\nrunning_max = 1\n")?);
    let paused = pause(&server).await?;
    let (one, latencies) = submit(&server, 1, &Tasks::default(), length / 2, None).await?;
    let one_p50 = latencies.p50_p99_us().0 / 1e3;
    anyhow::ensure!(one > 0.0, "nothing was submitted");
    let (singles, latencies) = submit(&server, CLIENTS, &Tasks::default(), length, None).await?;
    let (p50, p99) = latencies.p50_p99_us();
    wal_mb = wal_mb.max(server.wal_mb());
    let batch = Tasks { batch: Some(BATCH), ..Tasks::default() };
    let (batches, _) = submit(&server, BATCH_CLIENTS, &batch, length, None).await?;
    let batches = batches * BATCH as f64;
    wal_mb = wal_mb.max(server.wal_mb());
    drop((paused, server));

    // Drain, with a delivery row each: one delivery at a time, to a receiver that takes its time.
    let receiver = Receiver::start(HANGS).await?;
    let few =
        "[webhooks]\nallow_networks = [\"127.0.0.0/8\"]\nfresh_max = 1\nretry_max = 1\ntimeout_ms = 600000\n";
    let server = Arc::new(Server::start(place, few)?);
    let told = Tasks { webhook: Some(receiver.url()), batch: Some(BATCH) };
    submit(&server, BATCH_CLIENTS, &told, Duration::from_secs(60), Some(DRAINED / BATCH as u64)).await?;
    let (begun, before) = (Instant::now(), server.completed().await?);
    until("the drain", async || Ok(server.completed().await? >= DRAINED as f64)).await?;
    let drain = (DRAINED as f64 - before) / begun.elapsed().as_secs_f64();
    wal_mb = wal_mb.max(server.wal_mb());
    let single = Tasks { batch: None, ..told.clone() };
    let (begun, before) = (Instant::now(), server.completed().await?);
    let (both_submits, _) = submit(&server, CLIENTS, &single, length, None).await?;
    let both_whole = (server.completed().await? - before) / begun.elapsed().as_secs_f64();
    wal_mb = wal_mb.max(server.wal_mb());
    drop((server, receiver));

    let (start, fair_p99) = starts(place).await?;
    let deliveries = deliveries(place).await?;
    let healthy_p99 = delays(place, false).await?;
    let beside_dead = delays(place, true).await? / healthy_p99;
    let both = (both_submits, both_whole);
    let singles = (singles, p50 / 1e3, p99 / 1e3);
    Ok(Round {
        singles,
        one_p50,
        batches,
        drain,
        both,
        start,
        fair_p99,
        deliveries,
        healthy_p99,
        beside_dead,
        wal_mb,
    })
}

/// Keeps the one place for attempts taken, so that what is submitted stays queued.
async fn pause(server: &Server) -> anyhow::Result<Customer> {
    let mut customer = Customer::open(server, &server.other_key).await?;
    let body =
        r#"{"taskType":"CHATGPT","payload":{"prompt":"[sandbox latency_ms=600000] wait","country":"US"}}"#;
    customer.exchange("POST", "/v1/async/task", body).await?;
    until("the pause", async || Ok(server.metrics(["bromo_tasks_processing"]).await?[0] >= 1.0)).await?;
    Ok(customer)
}

/// From the acknowledgement of a task to its arrival at the provider: alone, and beside another account's long queue.
/// p50 and p99 of the first, p99 of the second, in milliseconds.
async fn starts(place: &Place<'_>) -> anyhow::Result<((f64, f64), f64)> {
    let (address, mut arrivals) = upstream().await?;
    let endpoint = format!(
        "gemini = {{ provider = \"openai-chat\", base_url = \"http://{address}/v1\", model = \"m\", stream = false }}\n"
    );
    let server = Arc::new(Server::start(place, &endpoint)?);
    let mut customer = Customer::open(&server, &server.other_key).await?;
    let mut one = async |count: usize| -> anyhow::Result<Latencies> {
        let mut latencies = Latencies::default();
        for number in 0..count {
            let body = format!(
                r#"{{"taskType":"GEMINI","payload":{{"prompt":"question {number}","country":"US"}}}}"#
            );
            customer.exchange("POST", "/v1/async/task", &body).await?;
            let acknowledged = Instant::now();
            let arrived = arrivals.recv().await.unwrap_or(acknowledged);
            latencies.push(arrived.saturating_duration_since(acknowledged));
            tokio::time::sleep(Duration::from_millis(8)).await; // Its slot is free again.
        }
        Ok(latencies)
    };
    let alone = one(STARTS).await?.p50_p99_us();
    // The busy account keeps all its slots in use and 100,000 waiting.
    let slow = Tasks { batch: Some(BATCH), ..Tasks::default() };
    let mut busy = Customer::open(&server, &server.keys[0]).await?;
    let block = r#"{"taskType":"CHATGPT","payload":{"prompt":"[sandbox latency_ms=600000] wait","country":"US"},"priority":10}"#;
    let block = format!("[{}]", vec![block; 100].join(","));
    busy.exchange("POST", "/v1/async/task/batch", &block).await?;
    for _ in 0..QUEUED / BATCH {
        busy.submit(&server, &slow).await?;
    }
    let fair = one(STARTS / 3).await?.p50_p99_us();
    Ok(((alone.0 / 1e3, alone.1 / 1e3), fair.1 / 1e3))
}

/// A provider that answers at once and tells when it was asked.
async fn upstream() -> anyhow::Result<(std::net::SocketAddr, mpsc::UnboundedReceiver<Instant>)> {
    const BODY: &str = r#"{"id":"c","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"yes"},"finish_reason":"stop"}]}"#;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (report, arrivals) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let report = report.clone();
            tokio::spawn(async move {
                let (mut buffer, mut filled) = (vec![0; 1 << 16], 0);
                while let Ok(read @ 1..) = stream.read(&mut buffer[filled..]).await {
                    filled += read;
                    if message_bytes(&buffer[..filled]).is_some_and(|length| filled >= length) {
                        filled = 0;
                        let _ = report.send(Instant::now());
                        let answer = format!(
                            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{BODY}",
                            BODY.len()
                        );
                        if stream.write_all(answer.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    Ok((address, arrivals))
}

/// Deliveries alone: all fail once and are given up, then all are made due at once. What was given up goes out in the lane
/// of retries, which gets as many places as first attempts have; all go to one receiver, so its places are not fewer.
async fn deliveries(place: &Place<'_>) -> anyhow::Result<f64> {
    let receiver = Receiver::start(500).await?;
    let settings = "[webhooks]\nallow_networks = [\"127.0.0.0/8\"]\nschedule_s = []\nretry_max = 256\nper_host_max = 256\nfailures_max = 0\n";
    let server = Arc::new(Server::start(place, settings)?);
    let told = Tasks { webhook: Some(receiver.url()), batch: Some(BATCH) };
    submit(&server, BATCH_CLIENTS, &told, Duration::from_secs(60), Some(DELIVERED / BATCH as u64)).await?;
    let given_up = "bromo_delivery_attempts_total{outcome=\"given_up\"}";
    until("failing", async || Ok(server.metrics([given_up]).await?[0] >= DELIVERED as f64)).await?;
    receiver.answer(200);
    let before = receiver.count();
    for key in &server.keys {
        let mut customer = Customer::open(&server, key).await?;
        customer.exchange("POST", "/v1/async/redeliver", r#"{"since":"2020-01-01T00:00:00Z"}"#).await?;
    }
    let begun = Instant::now();
    let delivered = "bromo_delivery_attempts_total{outcome=\"delivered\"}";
    let first = server.metrics([delivered]).await?[0];
    until("delivering", async || Ok(server.metrics([delivered]).await?[0] >= DELIVERED as f64)).await?;
    anyhow::ensure!(receiver.count() - before >= DELIVERED, "a delivery was counted that did not arrive");
    Ok((DELIVERED as f64 - first) / begun.elapsed().as_secs_f64())
}

/// p99 in milliseconds from the creation of a task to its delivery to a healthy receiver, at a steady pace; `beside`
/// puts as many tasks for a receiver that hangs and one that fails between them.
async fn delays(place: &Place<'_>, beside: bool) -> anyhow::Result<f64> {
    let healthy = Receiver::start(200).await?;
    let (hanging, failing) = (Receiver::start(HANGS).await?, Receiver::start(500).await?);
    let settings = "[webhooks]\nallow_networks = [\"127.0.0.0/8\"]\n";
    let server = Arc::new(Server::start(place, settings)?);
    let mut customer = Customer::open(&server, &server.keys[0]).await?;
    // The same number of tasks either way, so that only the receivers differ.
    let urls = if beside {
        [healthy.url(), hanging.url(), failing.url()]
    } else {
        [healthy.url(), healthy.url(), healthy.url()]
    };
    let mut due = Instant::now();
    for number in 0..PACED {
        let tasks = Tasks { webhook: Some(urls[number % 3].clone()), batch: None };
        customer.submit(&server, &tasks).await?;
        due += PACE;
        tokio::time::sleep_until(due.into()).await;
    }
    let expected = if beside { PACED / 3 } else { PACED };
    until("healthy deliveries", async || Ok(healthy.count() >= expected as u64)).await?;
    Ok(healthy.take_delays().p50_p99_us().1 / 1e3)
}
