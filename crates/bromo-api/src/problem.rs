//! Errors on their way out: the one place where an error of the engine meets HTTP.

use std::borrow::Cow;

use bromo_admission::Denial;
use bromo_engine::answer::AnswerError;
use bromo_engine::settle::SettleError;
use bromo_engine::{CallError, DecideError};
use bromo_providers::ProviderError;
use bromo_rules::endpoint::Endpoint;
use bromo_rules::problem::{FieldFault, Problem};
use bromo_rules::task::{TaskId, TaskState};
use bromo_rules::time::Timestamp;
use serde_json::{Value, json};

/// A problem as it is sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// The row of the catalogue.
    pub problem: Problem,
    /// A text for a log.
    pub message: Cow<'static, str>,
    /// More, where there is more to say.
    pub details: Option<Value>,
    /// When to come back, in whole seconds.
    pub retry_after_s: Option<u32>,
}

/// Retry-After of a 503 whose end nobody knows.
const UNAVAILABLE_RETRY_S: u32 = 1;
/// Retry-After of a 503 for a setting that is missing: it takes a person.
const UNCONFIGURED_RETRY_S: u32 = 60;
/// Retry-After of a full queue: it empties as tasks start, and nobody knows when one fits.
const QUEUE_RETRY_S: u32 = 5;
/// Retry-After of a rate refusal: the next window.
const NEXT_WINDOW_S: u32 = 1;

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self { problem, message: problem.message.into(), details: None, retry_after_s: None }
    }
}

impl Failure {
    /// No such route.
    pub fn no_route(path: &str) -> Self {
        Self { details: Some(json!({ "id": path })), ..Problem::NOT_FOUND.into() }
    }

    /// No such stored page, or no longer.
    pub fn no_page(id: &str) -> Self {
        Self {
            message: "Page not found".into(),
            details: Some(json!({ "id": id })),
            ..Problem::NOT_FOUND.into()
        }
    }

    /// No such task of this account, or no longer.
    pub fn no_task(name: &str) -> Self {
        Self {
            message: "Task not found".into(),
            details: Some(json!({ "id": name })),
            ..Problem::NOT_FOUND.into()
        }
    }

    /// The idempotency key belongs to a task: `id`.
    pub fn key_taken(key: &str, id: TaskId, state: TaskState) -> Self {
        let details = json!({
            "field": "idempotencyKey", "value": key, "id": id.to_string(), "status": state.word(),
        });
        Self { details: Some(details), ..Problem::ALREADY_EXISTS.into() }
    }

    /// The task's state does not allow it.
    pub fn conflict(message: &'static str, id: TaskId, state: TaskState) -> Self {
        let details = json!({ "id": id.to_string(), "status": state.word() });
        Self { message: message.into(), details: Some(details), ..Problem::CONFLICT.into() }
    }

    /// So many tasks more do not fit the account's queue.
    pub fn queue_full(queued_max: u64, queued: u64, wanted: usize) -> Self {
        let details = json!({
            "limit": queued_max,
            "queuedCount": queued,
            "batchSize": wanted,
            "maxQueueSize": queued_max,
            "remainingCapacity": queued_max.saturating_sub(queued),
        });
        Self {
            message: format!(
                "Queue limit exceeded. Maximum {queued_max} queued tasks allowed per organization"
            )
            .into(),
            details: Some(details),
            retry_after_s: Some(QUEUE_RETRY_S),
            ..Problem::QUEUE_LIMIT.into()
        }
    }

    /// The body or the query is invalid.
    pub fn invalid(faults: &[FieldFault]) -> Self {
        Self { details: Some(json!(faults)), ..Problem::VALIDATION.into() }
    }

    /// One field of the body or the query is invalid.
    pub fn invalid_field(field: &str, message: impl Into<String>) -> Self {
        Self::invalid(&[FieldFault { field: field.to_owned(), message: message.into() }])
    }

    /// Temporarily not there.
    pub fn unavailable() -> Self {
        Self { retry_after_s: Some(UNAVAILABLE_RETRY_S), ..Problem::UNAVAILABLE.into() }
    }

    /// A refusal of admission; `limit` is the account's number of slots.
    pub fn denied(denial: Denial, limit: u32) -> Self {
        match denial {
            Denial::Rate => Self { retry_after_s: Some(NEXT_WINDOW_S), ..Problem::RATE_LIMIT.into() },
            Denial::Credits { .. } => Problem::INSUFFICIENT_CREDITS.into(),
            Denial::Slots { retry_after_s } => Self {
                details: Some(json!({ "limit": limit })),
                retry_after_s: Some(retry_after_s),
                ..Problem::CONCURRENCY_LIMIT.into()
            },
        }
    }

    /// No decision could be made.
    pub fn undecided(error: &DecideError) -> Self {
        match error {
            DecideError::Revoked => Problem::UNKNOWN_KEY.into(),
            DecideError::Admission(_) | DecideError::Store(_) | DecideError::Restless => Self::unavailable(),
        }
    }

    /// A question that was admitted and not answered.
    pub fn unanswered(endpoint: Endpoint, error: &AnswerError) -> Self {
        match error {
            AnswerError::Call(CallError::Final(error)) => Self::provider(endpoint, error),
            AnswerError::Call(
                CallError::Exhausted(ProviderError::Busy { retry_after })
                | CallError::OutOfTime(ProviderError::Busy { retry_after }),
            ) => Self::busy(*retry_after),
            AnswerError::Call(CallError::Exhausted(_)) => {
                Self { message: "Maximum retries exceeded".into(), ..Problem::INTERNAL.into() }
            }
            AnswerError::Call(CallError::OutOfTime(_)) => Self::out_of_time(),
            AnswerError::Page(_) => Self::unavailable(),
            AnswerError::SlotLost | AnswerError::Settle(SettleError::Store(_) | SettleError::SlotLost) => {
                Self::unavailable()
            }
            AnswerError::Settle(SettleError::Short | SettleError::CutOff) => Problem::INTERNAL.into(),
        }
    }

    /// What a provider said, or would.
    pub fn provider(endpoint: Endpoint, error: &ProviderError) -> Self {
        let field = if endpoint.takes_prompt() { "prompt" } else { "query" };
        match error {
            ProviderError::TooLong { tokens, tokens_max } => Self::invalid_field(
                field,
                format!("{tokens} model tokens, and this model takes at most {tokens_max}"),
            ),
            ProviderError::Unavailable { reason } => Self {
                message: format!("Service unavailable: {reason}").into(),
                retry_after_s: Some(UNCONFIGURED_RETRY_S),
                ..Problem::UNAVAILABLE.into()
            },
            ProviderError::Invalid { reason } => Self::invalid_field(field, reason.clone()),
            ProviderError::Busy { retry_after } | ProviderError::NoRoom { retry_after } => {
                Self::busy(*retry_after)
            }
            ProviderError::TimedOut => Self::out_of_time(),
            ProviderError::Refused { .. } | ProviderError::Broken { .. } => Problem::INTERNAL.into(),
        }
    }

    fn out_of_time() -> Self {
        Self { message: "Maximum timeout (5 minutes) exceeded".into(), ..Problem::INTERNAL.into() }
    }

    fn busy(retry_after: Option<std::time::Duration>) -> Self {
        let seconds = retry_after.map_or(UNAVAILABLE_RETRY_S, |wait| {
            u32::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1)
        });
        Self { retry_after_s: Some(seconds), ..Problem::UNAVAILABLE.into() }
    }

    /// The envelope of contract section 3.
    pub fn body(&self, now: Timestamp) -> Vec<u8> {
        json!({ "success": false, "error": self.error(now) }).to_string().into_bytes()
    }

    /// What stands in the envelope, and in an item of a batch.
    pub fn error(&self, now: Timestamp) -> Value {
        let mut error = json!({
            "code": self.problem.code,
            "message": self.message,
            "timestamp": now.to_string(),
        });
        if let Some(details) = &self.details {
            error["details"] = details.clone();
        }
        error
    }
}
