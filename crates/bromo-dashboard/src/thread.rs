//! The pages' own thread: what a page costs delays no call. API threads only carry its bytes.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bromo_rules::id::RequestId;
use futures_util::stream::{self, Stream, StreamExt};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::error::PageError;
use crate::pages;

/// Parts of a streamed body that are made before somebody takes them.
const PARTS_AHEAD: usize = 2;

/// A task that ends when nobody waits for it any more.
struct Bound<T>(JoinHandle<T>);

impl<T> Drop for Bound<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Makes a page on that thread. Who leaves ends it: a question of the playground is cancelled.
pub(crate) async fn make(State(thread): State<Handle>, request: Request, next: Next) -> Response {
    let headers = request.headers().clone();
    let id = request.extensions().get::<RequestId>().copied();
    let mut page = Bound(thread.spawn(next.run(request)));
    let mut response = (&mut page.0).await.unwrap_or_else(|error| {
        tracing::error!(%error, request = id.map(tracing::field::display), "a page broke off");
        PageError::Internal.into_response()
    });
    if let Some(error) = response.extensions_mut().remove::<Arc<PageError>>() {
        response = pages::error_page(&error, &headers, id);
    }
    pages::secure(&mut response);
    response
}

/// Has the parts of a body made on the thread that calls this, wherever they are sent from.
pub(crate) fn made_here<T: Send + 'static>(
    parts: impl Stream<Item = T> + Send + 'static,
) -> impl Stream<Item = T> + Send + 'static {
    let (sender, receiver) = mpsc::channel(PARTS_AHEAD);
    let made = Bound(Handle::current().spawn(async move {
        let mut parts = std::pin::pin!(parts);
        while let Some(part) = parts.next().await {
            if sender.send(part).await.is_err() {
                return;
            }
        }
    }));
    stream::unfold((receiver, made), |(mut receiver, made)| async move {
        let part = receiver.recv().await?;
        Some((part, (receiver, made)))
    })
}
