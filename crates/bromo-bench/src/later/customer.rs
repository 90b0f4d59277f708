//! Customers that hand tasks in, each with a keep-alive connection of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::server::Server;
use crate::client::message_bytes;
use crate::latency::Latencies;

/// What is asked for.
#[derive(Clone, Default)]
pub(crate) struct Tasks {
    /// Where to tell of the end.
    pub(crate) webhook: Option<String>,
    /// Tasks in a request; none: single submits.
    pub(crate) batch: Option<usize>,
}

impl Tasks {
    /// The body of one request: every task with a key that no other has.
    fn body(&self, server: &Server) -> String {
        let task = || {
            let number = server.number();
            // Random to the eye and to an index, as customers' keys are.
            let key = (u128::from(number) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
            let webhook = self.webhook.as_ref().map(|url| format!(",\"webhook\":{{\"url\":\"{url}\"}}"));
            format!(
                "{{\"taskType\":\"CHATGPT\",\"payload\":{{\"prompt\":\"Which teas are there, and how long does each \
                 of them steep? ({number})\",\"country\":\"US\"}},\"priority\":{},\
                 \"idempotencyKey\":\"{key:036}\"{}}}",
                number % 10 + 1,
                webhook.unwrap_or_default()
            )
        };
        match self.batch {
            None => task(),
            Some(count) => format!("[{}]", (0..count).map(|_| task()).collect::<Vec<_>>().join(",")),
        }
    }
}

/// One connection.
pub(crate) struct Customer {
    stream: TcpStream,
    buffer: Vec<u8>,
    address: SocketAddr,
    key: String,
}

impl Customer {
    pub(crate) async fn open(server: &Server, key: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(server.address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; 1 << 19], address: server.address, key: key.to_owned() })
    }

    /// One request and its whole response; its body.
    pub(crate) async fn exchange(&mut self, method: &str, path: &str, body: &str) -> anyhow::Result<&[u8]> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            self.key,
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await?;
        let mut filled = 0;
        let length = loop {
            let read = self.stream.read(&mut self.buffer[filled..]).await?;
            ensure!(read > 0, "the connection ended");
            filled += read;
            if let Some(length) = message_bytes(&self.buffer[..filled])
                && filled >= length
            {
                break length;
            }
        };
        let answer = &self.buffer[..length];
        ensure!(
            answer.starts_with(b"HTTP/1.1 200"),
            "{}",
            String::from_utf8_lossy(&answer[..length.min(600)])
        );
        let body = memchr::memmem::find(answer, b"\r\n\r\n").context("no end of head")? + 4;
        Ok(&answer[body..])
    }

    /// Hands tasks in.
    pub(crate) async fn submit(&mut self, server: &Server, tasks: &Tasks) -> anyhow::Result<&[u8]> {
        let path = if tasks.batch.is_some() { "/v1/async/task/batch" } else { "/v1/async/task" };
        self.exchange("POST", path, &tasks.body(server)).await
    }
}

/// Keeps so many customers busy handing in for `length`, or until so many requests were made. Requests a second, and
/// their latencies.
pub(crate) async fn submit(
    server: &Arc<Server>,
    customers: usize,
    tasks: &Tasks,
    length: Duration,
    requests_max: Option<u64>,
) -> anyhow::Result<(f64, Latencies)> {
    let begun = Instant::now();
    let end = begun + length;
    let made = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let mut all = JoinSet::new();
    for number in 0..customers {
        let (server, tasks, made) = (Arc::clone(server), tasks.clone(), Arc::clone(&made));
        all.spawn(async move {
            let mut customer = Customer::open(&server, &server.keys[number % server.keys.len()]).await?;
            let mut latencies = Latencies::default();
            while Instant::now() < end {
                let before = made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                if requests_max.is_some_and(|max| before >= max) {
                    break;
                }
                let asked = Instant::now();
                customer.submit(&server, &tasks).await?;
                latencies.push(asked.elapsed());
            }
            anyhow::Ok(latencies)
        });
    }
    let mut latencies = Latencies::default();
    while let Some(ended) = all.join_next().await {
        latencies.append(ended.context("a customer broke")??);
    }
    Ok((latencies.len() as f64 / begun.elapsed().as_secs_f64(), latencies))
}
