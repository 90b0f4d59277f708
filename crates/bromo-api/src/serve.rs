//! Connections: accepted, served over HTTP/1.1, and ended gently.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Api;
use crate::peer::Peer;
use crate::service::is_api;

/// Fields a head may have; more are a bare 431.
const HEADERS_MAX: usize = 100;
/// Bytes a connection buffers, so also the largest head.
const BUFFER_MAX: usize = 64 * 1024;
/// How long a shutdown waits for pages that are on their way.
const PAGE_GRACE: Duration = Duration::from_secs(2);
/// The wait after an accept that failed, for example for want of file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Serves connections of `listener` until `stop`, then finishes what runs. A head must arrive within
/// `head_timeout`, which is also how long an idle connection is kept.
///
/// Runs on a current-thread runtime; a program has one per core, each with a listener of its own on the
/// same address.
pub async fn serve(listener: TcpListener, api: Arc<Api>, head_timeout: Duration, stop: CancellationToken) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_headers(HEADERS_MAX)
        .max_buf_size(BUFFER_MAX);
    let connections = TaskTracker::new();
    loop {
        let (stream, address) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "failed to accept a connection");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                    continue;
                }
            },
            () = stop.cancelled() => break,
        };
        let _ = stream.set_nodelay(true); // An old connection is no reason to refuse it.
        let peer = Peer::new(stream);
        let (service_api, service_peer) = (Arc::clone(&api), peer.clone());
        let on_page = Arc::new(AtomicBool::new(false));
        let service_on_page = Arc::clone(&on_page);
        let service = service_fn(move |request: Request<Incoming>| {
            let (api, answering) = (Arc::clone(&service_api), service_peer.answering());
            service_on_page.store(!is_api(request.uri().path()), Ordering::Relaxed);
            async move {
                let _answering = answering;
                api.respond(request, address.ip()).await
            }
        });
        let connection = http.serve_connection(peer.clone(), service);
        let stop = stop.clone();
        connections.spawn(async move {
            let mut connection = std::pin::pin!(connection);
            let mut stopped = std::pin::pin!(stop.cancelled());
            let mut stopping = false;
            // A page that nobody takes does not hold up a shutdown; a call may.
            let mut cut = std::pin::pin!(async {
                stop.cancelled().await;
                tokio::time::sleep(PAGE_GRACE).await;
                if !on_page.load(Ordering::Relaxed) {
                    std::future::pending::<()>().await;
                }
            });
            // A client that left ends the connection here, and with it the request that it waited for.
            let ended = std::future::poll_fn(|context| {
                if !stopping && stopped.as_mut().poll(context).is_ready() {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
                if connection.as_mut().poll(context).is_ready() {
                    return Poll::Ready(true);
                }
                if stopping && cut.as_mut().poll(context).is_ready() {
                    return Poll::Ready(false);
                }
                peer.poll_hung_up(context).map(|()| false)
            })
            .await;
            if ended && !stopping {
                peer.linger().await;
            }
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}
