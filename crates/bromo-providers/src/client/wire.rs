//! One connection: hyper's sender and its driver, polled together by whoever holds them.

use std::future::Future;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::runtime;
use tokio::time::Instant;

use super::stream::Stream;
use super::{ClientError, HEAD_BYTES_MAX, shortened};

/// One connection. Dropping it closes the socket, there and then.
pub(crate) struct Wire {
    sender: http1::SendRequest<Full<Bytes>>,
    driver: http1::Connection<TokioIo<Stream>, Full<Bytes>>,
    /// The driver has come to its end and may not be polled again.
    closed: bool,
    spoken: Arc<AtomicBool>,
    /// The address at its other end, if that was judged before the connection was made.
    pub(super) judged: Option<IpAddr>,
    pub(super) authority: Arc<str>,
    /// The runtime whose poller knows the socket; no other can use it.
    pub(super) runtime: runtime::Id,
    pub(super) idle_since: Instant,
}

impl Wire {
    /// Makes a connection of a socket: TLS if there is a configuration, then HTTP. `judged` says that the
    /// address at its other end was judged before it was made.
    pub(super) async fn over(
        tcp: TcpStream,
        judged: Option<IpAddr>,
        authority: &Arc<str>,
        host: &str,
        tls: Option<&Arc<rustls::ClientConfig>>,
    ) -> Result<Box<Self>, ClientError> {
        let refused = |reason: &dyn std::fmt::Display| ClientError::Connect {
            authority: authority.to_string(),
            reason: shortened(&reason.to_string()),
        };
        tcp.set_nodelay(true).map_err(|error| refused(&error))?;
        let spoken = Arc::new(AtomicBool::new(false));
        let stream = match tls {
            None => Stream::plain(tcp, Arc::clone(&spoken)),
            Some(config) => {
                let name = rustls::pki_types::ServerName::try_from(host.to_owned())
                    .map_err(|error| refused(&error))?;
                let connecting = tokio_rustls::TlsConnector::from(Arc::clone(config)).connect(name, tcp);
                Stream::tls(connecting.await.map_err(|error| refused(&error))?, Arc::clone(&spoken))
            }
        };
        let (sender, driver) = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| refused(&error))?;
        Ok(Box::new(Self {
            sender,
            driver,
            closed: false,
            spoken,
            judged,
            authority: Arc::clone(authority),
            runtime: runtime::Handle::current().id(),
            idle_since: Instant::now(),
        }))
    }

    /// Sends a request and waits for the head of its response.
    pub(super) async fn ask(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        self.spoken.store(false, Ordering::Relaxed);
        let mut response = pin!(self.sender.send_request(request));
        std::future::poll_fn(|cx| {
            // The driver first: it is what brings the response.
            drive(&mut self.driver, &mut self.closed, cx);
            response.as_mut().poll(cx)
        })
        .await
    }

    /// Whether a byte came since the request went out. If not, a server that closed a kept connection
    /// has not begun to answer.
    pub(super) fn was_answered(&self) -> bool {
        self.spoken.load(Ordering::Relaxed)
    }

    /// The next piece of the body; none at its end.
    pub(super) async fn chunk(&mut self, body: &mut Incoming) -> Option<hyper::Result<Bytes>> {
        std::future::poll_fn(|cx| {
            loop {
                // The body first: asking for a piece is what lets the driver read one.
                let mut polled = Pin::new(&mut *body).poll_frame(cx);
                if polled.is_pending() {
                    drive(&mut self.driver, &mut self.closed, cx);
                    polled = Pin::new(&mut *body).poll_frame(cx);
                }
                match polled {
                    Poll::Ready(Some(Ok(frame))) => {
                        // Trailers carry nothing that is read here.
                        if let Ok(bytes) = frame.into_data() {
                            return Poll::Ready(Some(Ok(bytes)));
                        }
                    }
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                    Poll::Ready(None) => return Poll::Ready(None),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await
    }

    /// Whether the connection can carry another request, as far as can be known now.
    pub(super) async fn is_reusable(&mut self) -> bool {
        std::future::poll_fn(|cx| Poll::Ready(self.poll_reusable(cx))).await
    }

    pub(super) fn poll_reusable(&mut self, cx: &mut Context<'_>) -> bool {
        drive(&mut self.driver, &mut self.closed, cx);
        !self.closed && self.sender.is_ready()
    }
}

fn drive(
    driver: &mut http1::Connection<TokioIo<Stream>, Full<Bytes>>,
    closed: &mut bool,
    cx: &mut Context<'_>,
) {
    // How it ended is told to the request or the body; here it only matters that it did.
    *closed = *closed || Pin::new(driver).poll(cx).is_ready();
}
