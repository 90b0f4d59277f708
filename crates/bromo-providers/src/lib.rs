//! How each model is called: one trait, one file a wire.
//!
//! Nothing here knows of HTTP servers, slots, credits or stores.

use std::future::Future;
use std::pin::Pin;

use bromo_rules::answer::Answer;
use bromo_rules::question::Question;
use tokio::time::Instant;

pub mod breaker;
pub mod catalog;
pub mod client;
#[cfg(feature = "embedded")]
pub mod embedded;
pub mod error;
pub mod gate;
pub mod openai_chat;
pub mod sandbox;
pub mod secret;
#[cfg(test)]
mod upstream;
pub mod webhook;

pub use error::ProviderError;

/// A future that a provider hands out. Dropping it ends the call: its socket is closed, or its work is
/// told to stop, before the drop returns.
pub type Answering<'a> = Pin<Box<dyn Future<Output = Result<Answer, ProviderError>> + Send + 'a>>;

/// One upstream.
pub trait Provider: Send + Sync {
    /// The kind that stands in results: `embedded`, `openai-chat`, `sandbox`.
    fn kind(&self) -> &'static str;

    /// Answers one question, once: no retries in here. `attempt` counts from 1.
    fn answer<'a>(&'a self, question: &'a Question, attempt: u8, deadline: Instant) -> Answering<'a>;
}
