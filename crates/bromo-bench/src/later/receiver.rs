//! A webhook receiver that costs next to nothing: it counts, and answers as it is told.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::client::message_bytes;
use crate::latency::Latencies;

/// Never answers.
pub(crate) const HANGS: u16 = 0;

pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

struct State {
    status: AtomicU16,
    count: AtomicU64,
    /// From the end of a task, as its body tells it, to its arrival here.
    delays: Mutex<Latencies>,
}

impl Receiver {
    pub(crate) async fn start(status: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state =
            Arc::new(State { status: status.into(), count: AtomicU64::new(0), delays: Mutex::default() });
        let serving = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&serving)));
            }
        });
        Ok(Self { address, state })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    pub(crate) fn answer(&self, status: u16) {
        self.state.status.store(status, Ordering::Relaxed);
    }

    pub(crate) fn count(&self) -> u64 {
        self.state.count.load(Ordering::Relaxed)
    }

    pub(crate) fn take_delays(&self) -> Latencies {
        std::mem::take(&mut *self.state.delays.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

async fn serve(mut stream: TcpStream, state: Arc<State>) -> Option<()> {
    let mut buffer = vec![0; 1 << 16];
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).await.ok().filter(|read| *read > 0)?;
        filled += read;
        while let Some(length) = message_bytes(&buffer[..filled]).filter(|length| *length <= filled) {
            state.count.fetch_add(1, Ordering::Relaxed);
            if let Some(delay) = delay(&buffer[..length]) {
                state.delays.lock().ok()?.push(delay);
            }
            buffer.copy_within(length..filled, 0);
            filled -= length;
            let status = state.status.load(Ordering::Relaxed);
            if status == HANGS {
                std::future::pending::<()>().await;
            }
            stream
                .write_all(format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n").as_bytes())
                .await
                .ok()?;
        }
    }
}

/// Created and latency stand in the body; a task that waited for nothing ended at their sum.
#[expect(clippy::disallowed_methods, reason = "the server, another process, tells the time by it too")]
fn delay(message: &[u8]) -> Option<Duration> {
    let id = memmem::find(message, b"\"id\":\"")? + 6;
    let hex: String = std::str::from_utf8(message.get(id..id + 13)?).ok()?.replace('-', "");
    let created_ms = u64::from_str_radix(&hex, 16).ok()?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(now.saturating_sub(Duration::from_millis(created_ms)))
}

/// Waits until `holds`, looking now and then.
pub(crate) async fn until(
    what: &str,
    mut holds: impl AsyncFnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !holds().await? {
        anyhow::ensure!(begun.elapsed() < Duration::from_secs(120), "{what}: not within two minutes");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}
