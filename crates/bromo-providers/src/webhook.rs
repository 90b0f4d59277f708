//! Sends deliveries to the addresses that customers gave, and nowhere else.
//!
//! A name is looked up once a connection, every address it stands for is judged, and the socket is opened to
//! a judged address itself, so that no second look-up can lead elsewhere. A kept connection is judged again
//! before it is used again. Redirects are not followed, proxies not asked. Signs nothing, retries nothing.

mod resolve;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bromo_rules::egress::{Egress, Forbidden, UrlError, WebhookUrl};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, Method};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

pub use resolve::{LOOKUPS_MAX, Resolve, Resolving, SystemResolver};

use crate::client::{ClientError, Exchange, Target, receiver_tls};
use crate::error::shortened;

/// What an attempt may take in all.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);
/// No connection takes longer to make, name lookup and TLS included.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Of the addresses of a name, no more are tried.
pub const ADDRESSES_MAX: usize = 4;
/// No response body is waited for longer than this after its status, which says all: one that drips holds no place.
pub const BODY_WAIT_MAX: Duration = Duration::from_secs(1);
/// No response body is read past this.
pub const BODY_READ_BYTES_MAX: usize = 64 * 1024;
/// No more of a response body is kept.
pub const BODY_KEPT_BYTES_MAX: usize = 2 * 1024;

const USER_AGENT_VALUE: HeaderValue =
    HeaderValue::from_static(concat!("bromo-webhook/", env!("CARGO_PKG_VERSION")));
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What a receiver answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reception {
    /// Its status, of any kind; what it means is told by [`bromo_rules::webhook::Receipt`].
    pub status: u16,
    /// Its Retry-After, if that is a number of seconds.
    pub retry_after: Option<Duration>,
    /// The beginning of the body, at most [`BODY_KEPT_BYTES_MAX`]; whatever had come if the rest did not.
    pub body: Vec<u8>,
}

/// Why no status came. The texts are for the customer's delivery log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The URL cannot be called, or not any more.
    #[error("the address {0}")]
    Url(UrlError),
    /// The name stands only for addresses that are not called.
    #[error("{host} stands for no address that may be called")]
    Forbidden {
        /// The name.
        host: String,
        /// Its first address, and why not: for the operator. What names stand for inside a network is no customer's
        /// to learn.
        forbidden: Forbidden,
    },
    /// The name stands for nothing, or nobody could tell.
    #[error("cannot look up {host}: {reason}")]
    Lookup {
        /// The name.
        host: String,
        /// The system's words.
        reason: String,
    },
    /// No connection could be made.
    #[error("cannot connect to {to}: {reason}")]
    Connect {
        /// An address, or scheme, host and port once an address had been reached.
        to: String,
        /// The system's or TLS's words.
        reason: String,
    },
    /// The deadline passed without a status.
    #[error("timed out")]
    TimedOut,
    /// The connection broke, or what came was not HTTP.
    #[error("connection broke: {reason}")]
    Broken {
        /// What was seen.
        reason: String,
    },
}

impl SendError {
    /// The names of [`SendError::kind`].
    pub const KINDS: [&'static str; 6] = ["url", "forbidden", "lookup", "connect", "timed_out", "broken"];

    /// The label in metrics and logs.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Url(_) => Self::KINDS[0],
            Self::Forbidden { .. } => Self::KINDS[1],
            Self::Lookup { .. } => Self::KINDS[2],
            Self::Connect { .. } => Self::KINDS[3],
            Self::TimedOut => Self::KINDS[4],
            Self::Broken { .. } => Self::KINDS[5],
        }
    }
}

impl From<ClientError> for SendError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::TimedOut => Self::TimedOut,
            ClientError::Connect { authority, reason } => Self::Connect { to: authority, reason },
            ClientError::Broken { reason } => Self::Broken { reason },
            ClientError::BadAddress { .. } | ClientError::TooLarge { .. } => {
                Self::Broken { reason: error.to_string() }
            }
        }
    }
}

/// Sends deliveries. One for the whole program; connections are kept by the thread that made them.
pub struct Sender {
    egress: Egress,
    resolver: Box<dyn Resolve>,
    tls: Result<Arc<rustls::ClientConfig>, ClientError>,
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender").field("egress", &self.egress).finish_non_exhaustive()
    }
}

impl Sender {
    /// A sender that asks the system for the addresses of names. Reads the system's root certificates, which
    /// takes tens of milliseconds the first time; without any, only deliveries to `https` fail.
    pub fn new(egress: Egress) -> Self {
        Self::with_resolver(egress, SystemResolver::default())
    }

    /// A sender that asks another for the addresses of names.
    pub fn with_resolver(egress: Egress, resolver: impl Resolve + 'static) -> Self {
        let tls = receiver_tls();
        if let Err(error) = &tls {
            tracing::warn!(%error, "no delivery to an https address can succeed");
        }
        Self { egress, resolver: Box::new(resolver), tls }
    }

    /// What may be called.
    pub fn egress(&self) -> &Egress {
        &self.egress
    }

    /// Posts `body` as JSON to the receiver at `url`, with these headers beside the usual ones, and waits for
    /// its status until `deadline`. Dropping the future closes the socket before the drop returns.
    ///
    /// A body that breaks off, is too long or too late is no error: the status had come.
    ///
    /// # Errors
    /// Every way to end without a status. The receiver may have the delivery all the same, unless it was
    /// never reached.
    ///
    /// Source: docs/webhooks.md#addresses
    pub async fn post(
        &self,
        url: &str,
        mut headers: HeaderMap,
        body: Bytes,
        deadline: Instant,
    ) -> Result<Reception, SendError> {
        let url = self.egress.check_url(url).map_err(SendError::Url)?;
        headers.insert(USER_AGENT, USER_AGENT_VALUE);
        headers.insert(CONTENT_TYPE, JSON);
        let target = Target::of(url.url(), headers, || self.tls.clone()).map_err(|error| {
            // Most likely there are no root certificates.
            SendError::Connect { to: url.authority(), reason: shortened(&error.to_string()) }
        })?;
        let exchange = timeout_at(deadline, self.send(&url, &target, body, deadline))
            .await
            .unwrap_or(Err(SendError::TimedOut))?;
        Ok(receive(exchange, deadline).await)
    }

    async fn send(
        &self,
        url: &WebhookUrl,
        target: &Target,
        body: Bytes,
        deadline: Instant,
    ) -> Result<Exchange, SendError> {
        let passes = |ip: IpAddr| self.egress.judge(ip).is_ok();
        if let Some(exchange) = target.send_on_kept(&Method::POST, &body, Some(&passes)).await? {
            return Ok(exchange);
        }
        let connect_by = deadline.min(Instant::now() + CONNECT_TIMEOUT);
        let connecting = async {
            let addresses = self.judged_addresses(url).await?;
            let (tcp, address) = connect(&addresses, connect_by).await?;
            Ok(target.connect_over(tcp, Some(address.ip())).await?)
        };
        let wire = timeout_at(connect_by, connecting).await.unwrap_or_else(|_| {
            if connect_by == deadline {
                return Err(SendError::TimedOut);
            }
            let reason = format!("nothing within {} s", CONNECT_TIMEOUT.as_secs());
            Err(SendError::Connect { to: target.authority().to_owned(), reason })
        })?;
        Ok(target.send_on(wire, Method::POST, body).await?)
    }

    /// The addresses that may be called, at least one and at most [`ADDRESSES_MAX`].
    async fn judged_addresses(&self, url: &WebhookUrl) -> Result<Vec<SocketAddr>, SendError> {
        let port = url.url().port_or_known_default().unwrap_or(0);
        let host = match url.url().host() {
            // These were judged with the URL; judged again, since this is the one place that all pass.
            Some(url::Host::Ipv4(ip)) => return self.judged(&ip.to_string(), [(ip, port).into()]),
            Some(url::Host::Ipv6(ip)) => return self.judged(&ip.to_string(), [(ip, port).into()]),
            Some(url::Host::Domain(host)) => host,
            None => return Err(SendError::Url(UrlError::NotHttp)),
        };
        let lookup = |reason: &str| SendError::Lookup { host: host.to_owned(), reason: shortened(reason) };
        let found = self.resolver.resolve(host, port).await.map_err(|error| lookup(&error.to_string()))?;
        if found.is_empty() {
            return Err(lookup("it has no address"));
        }
        self.judged(host, found)
    }

    fn judged(
        &self,
        host: &str,
        found: impl IntoIterator<Item = SocketAddr>,
    ) -> Result<Vec<SocketAddr>, SendError> {
        let mut passed = Vec::new();
        let mut first_forbidden = None;
        for address in found {
            match self.egress.judge(address.ip()) {
                Ok(()) if passed.len() < ADDRESSES_MAX => passed.push(address),
                Ok(()) => {}
                Err(forbidden) => first_forbidden = first_forbidden.or(Some(forbidden)),
            }
        }
        match first_forbidden {
            Some(forbidden) if passed.is_empty() => {
                Err(SendError::Forbidden { host: host.to_owned(), forbidden })
            }
            _ => Ok(passed),
        }
    }
}

/// A socket to the first address that takes one. Each gets an equal share of the time left, so that one that
/// says nothing leaves time for the next.
async fn connect(addresses: &[SocketAddr], deadline: Instant) -> Result<(TcpStream, SocketAddr), SendError> {
    let mut outcome = Err(SendError::TimedOut);
    for (at, address) in addresses.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(addresses.len() - at).unwrap_or(1);
        let reason = match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => return Ok((tcp, *address)),
            Ok(Err(error)) => shortened(&error.to_string()),
            Err(_) => format!("nothing within {} ms", share.as_millis()),
        };
        outcome = Err(SendError::Connect { to: address.to_string(), reason });
    }
    outcome
}

/// Reads what is kept of the response, and the rest if it is short, so that the connection can be kept too.
async fn receive(mut exchange: Exchange, deadline: Instant) -> Reception {
    let deadline = deadline.min(Instant::now() + BODY_WAIT_MAX);
    let mut reception = Reception {
        status: exchange.status().as_u16(),
        retry_after: retry_after(exchange.headers()),
        body: Vec::new(),
    };
    let mut read = 0;
    // A body that breaks off ends the loop without its end, and so closes the connection.
    while let Ok(Ok(chunk)) = timeout_at(deadline, exchange.chunk()).await {
        let Some(chunk) = chunk else {
            exchange.finish().await;
            break;
        };
        let kept = chunk.len().min(BODY_KEPT_BYTES_MAX - reception.body.len());
        reception.body.extend_from_slice(&chunk[..kept]);
        read += chunk.len();
        if read > BODY_READ_BYTES_MAX {
            break;
        }
    }
    reception
}

/// A date is not understood: whoever sends one may have another time than this machine.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| Duration::from_secs(text.parse().unwrap_or(u64::MAX)))
}

/// The headers that a delivery was signed with, or others; one that HTTP cannot carry is left out.
pub fn headers<const N: usize>(pairs: [(&'static str, String); N]) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(HEADERS_EXPECTED);
    // One piece of memory for all values, which a second try at a post shares with the first.
    let values: Bytes = pairs.iter().map(|(_, value)| value.as_str()).collect::<String>().into();
    let mut begin = 0;
    for (name, value) in &pairs {
        let end = begin + value.len();
        if let Ok(value) = HeaderValue::from_maybe_shared(values.slice(begin..end)) {
            headers.insert(HeaderName::from_static(name), value);
        }
        begin = end;
    }
    headers
}

/// Signed ones and those of every post: the map never grows.
const HEADERS_EXPECTED: usize = 10;

#[cfg(test)]
mod tests;
