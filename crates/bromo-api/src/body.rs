//! Request bodies: read whole, within a size, a time, and a bound over all requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use bromo_rules::problem::Problem;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Body as _, Incoming};

use crate::problem::Failure;

/// The body of a request: from a socket, or from a page of the program itself.
pub(crate) type Asked = Either<Incoming, Full<Bytes>>;

/// The bounds of request bodies.
#[derive(Debug, Clone)]
pub struct BodyLimits {
    /// One body, in bytes.
    pub bytes_max: usize,
    /// From the end of the head to the end of the body.
    pub timeout: Duration,
    /// All bodies that are being read or worked on, in bytes.
    pub total: Arc<BodyBudget>,
}

/// Bytes of bodies that this process holds.
#[derive(Debug)]
pub struct BodyBudget {
    used: AtomicUsize,
    max: usize,
}

impl BodyBudget {
    /// A budget of so many bytes.
    pub fn new(max: usize) -> Self {
        Self { used: AtomicUsize::new(0), max }
    }

    fn take(self: &Arc<Self>) -> Share {
        Share { budget: Arc::clone(self), bytes: 0 }
    }
}

/// What one body uses of the budget; given back when dropped.
#[derive(Debug)]
struct Share {
    budget: Arc<BodyBudget>,
    bytes: usize,
}

impl Share {
    fn grow(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        self.budget.used.fetch_add(bytes, Ordering::Relaxed) + bytes <= self.budget.max
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A whole body and its share of the budget.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) bytes: Bytes,
    _share: Share,
}

/// Reads the body whole.
pub(crate) async fn read(body: Asked, limits: &BodyLimits) -> Result<Whole, Failure> {
    let announced = body.size_hint().lower();
    if usize::try_from(announced).unwrap_or(usize::MAX) > limits.bytes_max {
        return Err(too_large(limits));
    }
    let mut collecting = std::pin::pin!(collect(body, limits));
    // Most bodies came with their head and need no timer.
    if let Poll::Ready(read) = futures_util::poll!(collecting.as_mut()) {
        return read;
    }
    match tokio::time::timeout(limits.timeout, collecting).await {
        Ok(read) => read,
        Err(_) => Err(Problem::SLOW_BODY.into()),
    }
}

async fn collect(mut body: Asked, limits: &BodyLimits) -> Result<Whole, Failure> {
    let mut share = limits.total.take();
    let mut whole = Bytes::new();
    let mut rest: Option<BytesMut> = None;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return Err(Failure::invalid_field("", "the body broke off"));
        };
        let Ok(data) = frame.into_data() else { continue };
        let length = rest.as_ref().map_or(whole.len(), BytesMut::len) + data.len();
        if length > limits.bytes_max {
            return Err(too_large(limits));
        }
        if !share.grow(data.len()) {
            return Err(Failure::unavailable());
        }
        match &mut rest {
            // Most bodies come in one frame and are not copied.
            None if whole.is_empty() => whole = data,
            None => {
                let mut both = BytesMut::with_capacity(length * 2);
                both.extend_from_slice(&whole);
                both.extend_from_slice(&data);
                rest = Some(both);
            }
            Some(rest) => rest.extend_from_slice(&data),
        }
    }
    Ok(Whole { bytes: rest.map_or(whole, BytesMut::freeze), _share: share })
}

fn too_large(limits: &BodyLimits) -> Failure {
    let message = format!("Request body is larger than {} bytes", limits.bytes_max).into();
    Failure { message, ..Problem::BODY_TOO_LARGE.into() }
}
