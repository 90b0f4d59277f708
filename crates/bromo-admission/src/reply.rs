//! A future that may be there already, so that deciding in process costs no allocation.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The answer of a backend: at once from one in this process, later from one behind a wire.
pub enum Reply<'a, T> {
    /// Here; none once it was taken.
    Now(Option<T>),
    /// On its way.
    Later(Pin<Box<dyn Future<Output = T> + Send + 'a>>),
}

impl<T> Reply<'_, T> {
    /// A reply that is here.
    pub const fn now(value: T) -> Self {
        Self::Now(Some(value))
    }

    /// A reply that never comes.
    pub const fn never() -> Self {
        Self::Now(None)
    }
}

impl<T: Unpin> Future for Reply<'_, T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        match self.get_mut() {
            Self::Now(value) => value.take().map_or(Poll::Pending, Poll::Ready),
            Self::Later(future) => future.as_mut().poll(context),
        }
    }
}

impl<T> fmt::Debug for Reply<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if matches!(self, Self::Now(_)) { "Reply::Now" } else { "Reply::Later" })
    }
}
