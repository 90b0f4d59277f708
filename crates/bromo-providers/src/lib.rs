//! How each model is called: one trait, one file a wire.
//!
//! Nothing here knows of HTTP servers, slots, credits or stores.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bromo_rules::answer::Answer;
use bromo_rules::question::Question;
use tokio::time::Instant;

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

/// Why an attempt brought no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// The upstream has too much to do (429, 503).
    #[error("upstream is busy")]
    Busy {
        /// Its own Retry-After.
        retry_after: Option<Duration>,
    },
    /// The upstream will not answer this question, now or later (other 4xx).
    #[error("upstream refused: {reason}")]
    Refused {
        /// For the log; cut to 200 characters, without secrets.
        reason: String,
    },
    /// The question is longer than the model takes; the customer's fault.
    #[error("question of {tokens} model tokens, at most {tokens_max}")]
    TooLong {
        /// Of the question.
        tokens: usize,
        /// Of the model.
        tokens_max: usize,
    },
    /// No answer within the deadline.
    #[error("upstream timed out")]
    TimedOut,
    /// The connection failed, or what came is not the wire's (5xx, garbage).
    #[error("upstream broken: {reason}")]
    Broken {
        /// For the log.
        reason: String,
    },
    /// Not set up: names the missing setting or command.
    #[error("not available: {reason}")]
    Unavailable {
        /// For the customer too.
        reason: String,
    },
}

impl ProviderError {
    /// Whether another attempt may bring an answer.
    pub const fn may_retry(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::TimedOut | Self::Broken { .. })
    }
}
