//! How the playground asks: the way a customer does, without a socket. The program connects it with the API.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bromo_engine::Caller;
use bytes::Bytes;
use http::Response;

/// A response on its way. Dropping it cancels the call: its slot is free again and nothing is charged.
pub type Asked = Pin<Box<dyn Future<Output = Response<Bytes>> + Send>>;

/// Asks a question the way a customer does.
pub trait Play: Send + Sync {
    /// Posts `body` to `path` (for example `/v1/monitor/chatgpt`) in the name of `caller`.
    fn ask(&self, caller: Arc<Caller>, path: String, body: Bytes) -> Asked;
}
