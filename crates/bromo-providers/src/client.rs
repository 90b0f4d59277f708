//! The one outbound HTTP client: deadlines, body caps, connections that end with the call that owns them.
//!
//! A call owns its connection: hyper's two halves are polled together inside the call's own future and no
//! task is spawned, so dropping that future closes the socket before the drop returns. Only a response
//! that was read to its end gives its connection to the pool of this thread.
//! Never follows a redirect, never reads a proxy from the environment, never prints a header.

mod pool;
mod stream;
mod tls;
mod wire;

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, HOST, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::error::{ProviderError, shortened};
use pool::Guard;
use wire::Wire;

/// No connection takes longer to make, name lookup and TLS included.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// No response body is read past this.
pub const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// No response head is read past this.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;
/// How long the end of a response may lag behind its last useful byte before the connection is given up.
pub const TAIL_WAIT_MAX: Duration = Duration::from_millis(10);

pub use pool::{
    IDLE_AGE_MAX, IDLE_AUTHORITIES_MAX, IDLE_JUDGED_MAX, IDLE_JUDGED_PER_AUTHORITY_MAX,
    IDLE_PER_AUTHORITY_MAX, close_idle,
};
#[cfg(test)]
pub(crate) use tls::config_with as tls_config_with;
pub(crate) use tls::receiver_config as receiver_tls;

/// Why a call brought no response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The address is not one that can be called.
    #[error("bad address: {reason}")]
    BadAddress {
        /// What is wrong with it.
        reason: String,
    },
    /// No connection could be made.
    #[error("cannot connect to {authority}: {reason}")]
    Connect {
        /// Host and port.
        authority: String,
        /// The system's or TLS's words.
        reason: String,
    },
    /// The deadline passed.
    #[error("timed out")]
    TimedOut,
    /// The response is longer than is read.
    #[error("response of more than {bytes_max} bytes")]
    TooLarge {
        /// The cap.
        bytes_max: usize,
    },
    /// The connection broke, or what came was not HTTP.
    #[error("connection broke: {reason}")]
    Broken {
        /// What was seen.
        reason: String,
    },
}

impl From<ClientError> for ProviderError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::TimedOut => Self::TimedOut,
            ClientError::BadAddress { .. } => Self::Unavailable { reason: error.to_string() },
            ClientError::Connect { .. } | ClientError::TooLarge { .. } | ClientError::Broken { .. } => {
                Self::broken(error.to_string())
            }
        }
    }
}

impl ClientError {
    fn broken(error: &hyper::Error) -> Self {
        // The source says what the system said; hyper's own words are only "connection error".
        let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
        Self::Broken { reason: shortened(&format!("{error}{cause}")) }
    }
}

/// One call and its whole response: for the program's own command line and its question to itself.
///
/// # Errors
/// Every way a call can end without a response; a status of any kind is a response.
pub async fn request(
    method: Method,
    url: &str,
    headers: HeaderMap,
    body: Bytes,
    deadline: Instant,
) -> Result<Response<Bytes>, ClientError> {
    let target = Target::new(url, headers)?;
    within(deadline, async {
        let mut exchange = target.send(method, body).await?;
        let bytes = exchange.read_all(BODY_BYTES_MAX).await?;
        let head = exchange.finish().await;
        Ok(Response::from_parts(head, bytes))
    })
    .await
}

/// The outcome of `call`, or [`ClientError::TimedOut`] at the deadline; the call is dropped then.
pub(crate) async fn within<T, E: From<ClientError>>(
    deadline: Instant,
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    match tokio::time::timeout_at(deadline, call).await {
        Ok(outcome) => outcome,
        Err(_) => Err(ClientError::TimedOut.into()),
    }
}

/// An address with everything about a request that does not change from call to call, made once.
pub struct Target {
    /// Scheme, host and port: names the pool's shelf.
    authority: Arc<str>,
    host: String,
    port: u16,
    tls: Option<Arc<rustls::ClientConfig>>,
    /// Path and query, as the request line has them.
    path: Uri,
    headers: HeaderMap,
}

impl Target {
    /// Prepares calls to one `http` or `https` address. The first `https` one reads the system's roots.
    ///
    /// # Errors
    /// [`ClientError::BadAddress`] for anything else, and for an address that carries credentials.
    pub fn new(url: &str, headers: HeaderMap) -> Result<Self, ClientError> {
        Self::with_tls(url, headers, tls::config)
    }

    fn with_tls(
        url: &str,
        headers: HeaderMap,
        tls: impl FnOnce() -> Result<Arc<rustls::ClientConfig>, ClientError>,
    ) -> Result<Self, ClientError> {
        let url = url::Url::parse(url).map_err(|error| bad(&error.to_string()))?;
        Self::of(&url, headers, tls)
    }

    pub(crate) fn of(
        url: &url::Url,
        mut headers: HeaderMap,
        tls: impl FnOnce() -> Result<Arc<rustls::ClientConfig>, ClientError>,
    ) -> Result<Self, ClientError> {
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("it carries credentials; put the key in its own setting"));
        }
        let tls = match url.scheme() {
            "http" => None,
            "https" => Some(tls()?),
            other => return Err(bad(&format!("scheme `{other}` is not http or https"))),
        };
        let host = url.host_str().ok_or_else(|| bad("no host"))?;
        let port = url.port_or_known_default().ok_or_else(|| bad("no port"))?;
        let host_header = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        headers.insert(
            HOST,
            HeaderValue::from_str(&host_header).map_err(|_| bad("the host is not a header value"))?,
        );
        // A place for the length of each body, so that a call's copy of the map never grows.
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        let path = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        Ok(Self {
            authority: format!("{}://{host}:{port}", url.scheme()).into(),
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port,
            tls,
            path: path.try_into().map_err(|_| bad("the path is not one of HTTP's"))?,
            headers,
        })
    }

    /// Sends a request and waits for the head of its response.
    ///
    /// A kept connection that turns out dead before a byte of the response came, as happens when the
    /// server closed it in the same moment, is replaced by a new one, once.
    pub(crate) async fn send(&self, method: Method, body: Bytes) -> Result<Exchange, ClientError> {
        if let Some(exchange) = self.send_on_kept(&method, &body, None).await? {
            return Ok(exchange);
        }
        let connecting = async {
            let tcp =
                TcpStream::connect((&*self.host, self.port)).await.map_err(|error| ClientError::Connect {
                    authority: self.authority.to_string(),
                    reason: shortened(&error.to_string()),
                })?;
            self.connect_over(tcp, None).await
        };
        let wire = match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(wire) => wire?,
            Err(_) => {
                return Err(ClientError::Connect {
                    authority: self.authority.to_string(),
                    reason: format!("nothing within {} s", CONNECT_TIMEOUT.as_secs()),
                });
            }
        };
        self.send_on(wire, method, body).await
    }

    /// Sends a request on a kept connection; none if there is none, or if it was dead before a byte of the
    /// response came. With a guard, only connections to judged addresses that pass it are taken.
    pub(crate) async fn send_on_kept(
        &self,
        method: &Method,
        body: &Bytes,
        guard: Option<Guard<'_>>,
    ) -> Result<Option<Exchange>, ClientError> {
        let Some(mut wire) = pool::take(&self.authority, guard).await else { return Ok(None) };
        match wire.ask(self.request(method.clone(), body.clone())).await {
            Ok(response) => Ok(Some(Exchange::new(wire, response))),
            Err(error) if wire.was_answered() => Err(ClientError::broken(&error)),
            Err(error) => {
                tracing::debug!(authority = &*self.authority, %error, "kept connection was dead");
                Ok(None)
            }
        }
    }

    /// Makes a connection of a socket that leads to this target. `judged` is the address at its other end,
    /// if that was judged.
    pub(crate) async fn connect_over(
        &self,
        tcp: TcpStream,
        judged: Option<IpAddr>,
    ) -> Result<Box<Wire>, ClientError> {
        Wire::over(tcp, judged, &self.authority, &self.host, self.tls.as_ref()).await
    }

    /// Sends a request on a new connection and waits for the head of its response.
    pub(crate) async fn send_on(
        &self,
        mut wire: Box<Wire>,
        method: Method,
        body: Bytes,
    ) -> Result<Exchange, ClientError> {
        match wire.ask(self.request(method, body)).await {
            Ok(response) => Ok(Exchange::new(wire, response)),
            Err(error) => Err(ClientError::broken(&error)),
        }
    }

    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    fn request(&self, method: Method, body: Bytes) -> Request<Full<Bytes>> {
        let mut headers = self.headers.clone();
        if let Some(length) = headers.get_mut(CONTENT_LENGTH) {
            *length = HeaderValue::from(body.len());
        }
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = self.path.clone();
        *request.headers_mut() = headers;
        request
    }
}

fn bad(reason: &str) -> ClientError {
    ClientError::BadAddress { reason: reason.to_owned() }
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").field("authority", &self.authority).finish_non_exhaustive()
    }
}

/// A response whose head has come: owns the connection until the body is read or the exchange dropped.
pub(crate) struct Exchange {
    // Field order is drop order: the socket goes first.
    wire: Box<Wire>,
    body: hyper::body::Incoming,
    head: http::response::Parts,
    read_bytes: usize,
    ended: bool,
}

impl Exchange {
    fn new(wire: Box<Wire>, response: Response<hyper::body::Incoming>) -> Self {
        let (head, body) = response.into_parts();
        Self { wire, body, head, read_bytes: 0, ended: false }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.head.status
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// The next piece of the body; none at its end. Past [`BODY_BYTES_MAX`] in all it fails.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, ClientError> {
        if self.ended {
            return Ok(None);
        }
        match self.wire.chunk(&mut self.body).await {
            Some(Ok(bytes)) => {
                self.read_bytes += bytes.len();
                self.ended = hyper::body::Body::is_end_stream(&self.body);
                if self.read_bytes > BODY_BYTES_MAX {
                    return Err(ClientError::TooLarge { bytes_max: BODY_BYTES_MAX });
                }
                Ok(Some(bytes))
            }
            Some(Err(error)) => Err(ClientError::broken(&error)),
            None => {
                self.ended = true;
                Ok(None)
            }
        }
    }

    /// The rest of the body, which may not be longer than `bytes_max`.
    pub(crate) async fn read_all(&mut self, bytes_max: usize) -> Result<Bytes, ClientError> {
        // Most bodies come in one piece; then nothing is copied.
        let Some(first) = self.chunk().await? else { return Ok(Bytes::new()) };
        let too_large = ClientError::TooLarge { bytes_max };
        if first.len() > bytes_max {
            return Err(too_large);
        }
        let Some(second) = self.chunk().await? else { return Ok(first) };
        let mut all = BytesMut::with_capacity((first.len() + second.len()) * 2);
        all.extend_from_slice(&first);
        all.extend_from_slice(&second);
        while let Some(bytes) = self.chunk().await? {
            if all.len() + bytes.len() > bytes_max {
                return Err(too_large);
            }
            all.extend_from_slice(&bytes);
        }
        if all.len() > bytes_max { Err(too_large) } else { Ok(all.freeze()) }
    }

    /// Ends the exchange: the connection is kept if the body is at its end, or gets there within
    /// [`TAIL_WAIT_MAX`]; otherwise it is closed.
    pub(crate) async fn finish(mut self) -> http::response::Parts {
        if !self.ended {
            let tail = async { while let Ok(Some(_)) = self.chunk().await {} };
            // Whether it came to the end is seen below.
            let _ = tokio::time::timeout(TAIL_WAIT_MAX, tail).await;
        }
        if self.ended && self.wire.is_reusable().await {
            pool::keep(self.wire);
        }
        self.head
    }
}

#[cfg(test)]
mod tests;
