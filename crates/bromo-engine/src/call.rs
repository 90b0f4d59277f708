//! One provider call under a permit; both ways share it. Its future owns the provider's socket: dropping
//! it closes the socket before the permit around it frees the slot.

use std::time::Duration;

use bromo_providers::ProviderError;
use bromo_providers::catalog::Line;
use bromo_rules::answer::Answer;
use bromo_rules::question::Question;
use bromo_rules::time::Clock;
use tokio::time::Instant;

/// Why a call brought no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Another attempt could not help.
    #[error(transparent)]
    Final(ProviderError),
    /// All attempts failed; the last one so.
    #[error("all attempts failed, the last one: {0}")]
    Exhausted(ProviderError),
    /// The time is up; the last attempt failed so.
    #[error("out of time, last: {0}")]
    OutOfTime(ProviderError),
}

/// Asks `line` until it answers, refuses, or the attempts or the time are used up. The slot stays held
/// through the waits between. `attempts` tells how many were made, also while it runs.
pub(crate) async fn call(
    line: &Line,
    question: &Question,
    deadline: Instant,
    clock: &dyn Clock,
    mut attempted: impl FnMut(u8),
) -> Result<Answer, CallError> {
    let mut made = 0;
    loop {
        made += 1;
        attempted(made);
        let error = match line.attempt(question, made, deadline, clock).await {
            Ok(answer) => return Ok(answer),
            Err(error) if error.may_retry() => error,
            Err(error) => return Err(CallError::Final(error)),
        };
        let Some(wait) = line.attempts.wait_after(made, asked_wait(&error)) else {
            return Err(CallError::Exhausted(error));
        };
        if Instant::now() + wait >= deadline {
            return Err(CallError::OutOfTime(error));
        }
        tracing::debug!(%error, made, wait_ms = wait.as_millis(), "provider attempt failed");
        tokio::time::sleep(wait).await;
    }
}

const fn asked_wait(error: &ProviderError) -> Option<Duration> {
    match error {
        ProviderError::Busy { retry_after } => *retry_after,
        _ => None,
    }
}
