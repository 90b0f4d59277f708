//! The model's stand-in: an OpenAI-compatible server that answers at once, after a delay, or never, and
//! counts the calls in progress.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::client::message_bytes;

/// Length of the completion, as in earlier measurements.
const COMPLETION_BYTES: usize = 614;
/// Room for one request.
const REQUEST_BYTES_MAX: usize = 16 * 1024;
/// Words a stream is cut into.
const STREAM_EVENTS: usize = 8;

/// How long a call takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delay {
    None,
    For(Duration),
    /// Until the other side closes.
    Forever,
}

/// The server, and what it has seen.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    whole: Vec<u8>,
    stream: Vec<u8>,
    seen: Mutex<Seen>,
}

struct Seen {
    delay: Delay,
    answered: u64,
    running: u32,
    most: u32,
    /// Calls in progress, summed over time, until `counted_at`.
    busy: Duration,
    counted_at: Instant,
}

impl Upstream {
    /// Starts it on the current runtime.
    pub(crate) async fn start() -> std::io::Result<Arc<Self>> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let upstream = Arc::new(Self {
            address: listener.local_addr()?,
            whole: whole(),
            stream: stream(),
            seen: Mutex::new(Seen {
                delay: Delay::None,
                answered: 0,
                running: 0,
                most: 0,
                busy: Duration::ZERO,
                counted_at: Instant::now(),
            }),
        });
        let server = Arc::clone(&upstream);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true); // A closed socket is noticed by the read.
                tokio::spawn(Arc::clone(&server).serve(stream));
            }
        });
        Ok(upstream)
    }

    /// How long calls take from now on.
    pub(crate) fn set_delay(&self, delay: Delay) {
        self.seen().delay = delay;
    }

    /// Calls answered since the start.
    pub(crate) fn answered(&self) -> u64 {
        self.seen().answered
    }

    /// Calls in progress.
    pub(crate) fn running(&self) -> u32 {
        self.seen().running
    }

    /// Begins to count anew: the most calls at once, and their sum over time.
    pub(crate) fn begin_count(&self) {
        let mut seen = self.seen();
        seen.advance();
        (seen.busy, seen.most) = (Duration::ZERO, seen.running);
    }

    /// The sum over time of the calls in progress, and the most at once, since the count began.
    pub(crate) fn count(&self) -> (Duration, u32) {
        let mut seen = self.seen();
        seen.advance();
        (seen.busy, seen.most)
    }

    async fn serve(self: Arc<Self>, mut stream: TcpStream) {
        let mut buffer = vec![0; REQUEST_BYTES_MAX];
        let mut filled = 0;
        loop {
            let length = match message_bytes(&buffer[..filled]) {
                Some(length) if filled >= length => length,
                _ => match stream.read(&mut buffer[filled..]).await {
                    Ok(0) | Err(_) => return,
                    Ok(read) => {
                        filled += read;
                        continue;
                    }
                },
            };
            let streamed = memmem::find(&buffer[..length], br#""stream":true"#).is_some();
            // Nobody pipelines: what follows a request is the next one or nothing.
            filled = 0;
            let call = self.begin();
            if !self.wait(&stream).await {
                return;
            }
            call.answer();
            let response = if streamed { &self.stream } else { &self.whole };
            if stream.write_all(response).await.is_err() {
                return;
            }
        }
    }

    /// The call's time; false if the other side closed meanwhile.
    async fn wait(&self, stream: &TcpStream) -> bool {
        let delay = self.seen().delay;
        let end = match delay {
            Delay::None => return true,
            Delay::For(delay) => tokio::time::Instant::now() + delay,
            Delay::Forever => tokio::time::Instant::now() + Duration::from_secs(3600),
        };
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(end) => return true,
                _ = stream.readable() => match stream.try_read(&mut [0; 64]) {
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    _ => return false,
                },
            }
        }
    }

    fn begin(&self) -> Call<'_> {
        let mut seen = self.seen();
        seen.advance();
        seen.running += 1;
        seen.most = seen.most.max(seen.running);
        Call(self)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn advance(&mut self) {
        let now = Instant::now();
        self.busy += (now - self.counted_at) * self.running;
        self.counted_at = now;
    }
}

/// A call in progress.
struct Call<'a>(&'a Upstream);

impl Call<'_> {
    fn answer(self) {
        self.0.seen().answered += 1;
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let mut seen = self.0.seen();
        seen.advance();
        seen.running -= 1;
    }
}

/// A completion of [`COMPLETION_BYTES`] and its head.
fn whole() -> Vec<u8> {
    let body = |words: &str| {
        format!(
            r#"{{"id":"chatcmpl-bench","object":"chat.completion","created":1760000000,"model":"bench-model","choices":[{{"index":0,"message":{{"role":"assistant","content":"{words}"}},"logprobs":null,"finish_reason":"stop"}}],"usage":{{"prompt_tokens":18,"completion_tokens":64,"total_tokens":82}}}}"#
        )
    };
    let words = "Green tea, black tea and oolong steep for two, four and three minutes. ".repeat(8);
    let body = body(&words[..COMPLETION_BYTES - body("").len()]);
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ";
    format!("{head}{}\r\n\r\n{body}", body.len()).into_bytes()
}

/// The same length of words as server-sent events in one chunk.
fn stream() -> Vec<u8> {
    let event = |delta: &str, reason: &str| {
        format!(
            "data: {{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1760000000,\"model\":\"bench-model\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{reason}}}]}}\n\n"
        )
    };
    let words =
        event(r#"{"content":"Green tea, black tea and oolong steep. "}"#, "null").repeat(STREAM_EVENTS);
    let events = format!("{words}{}data: [DONE]\n\n", event("{}", "\"stop\""));
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    format!("{head}{:x}\r\n{events}\r\n0\r\n\r\n", events.len()).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_completion_has_its_length() {
        let response = whole();
        assert_eq!(message_bytes(&response), Some(response.len()));
        assert!(String::from_utf8_lossy(&response).contains("content-length: 614\r\n"));
    }
}
