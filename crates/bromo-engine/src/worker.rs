//! One claimed task from its call to its stored outcome.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bromo_admission::{Message, Permit, Settled};
use bromo_providers::ProviderError;
use bromo_providers::catalog::Line;
use bromo_rules::answer::Answer;
use bromo_rules::credit::{Credits, Way};
use bromo_rules::key::KeyKind;
use bromo_rules::log::LogLine;
use bromo_rules::problem::{FieldFault, Problem};
use bromo_rules::question::Question;
use bromo_rules::standing::SlotStanding;
use bromo_rules::task::CUTS_MAX;
use bromo_rules::time::Timestamp;
use bromo_rules::validate;
use bromo_store::{Back, Claimed, End, Ended, Ender, StoreError};
use futures_util::FutureExt;
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Engine;
use crate::answer::rendered;
use crate::task::TaskError;

/// The wait after a write that failed; doubles up to [`WRITE_WAIT_MAX`].
const WRITE_WAIT: Duration = Duration::from_millis(50);
const WRITE_WAIT_MAX: Duration = Duration::from_secs(2);
/// A task whose provider had no room after all is looked at again after this, unless the provider says when.
const NO_ROOM_WAIT: Duration = Duration::from_secs(1);

/// One attempt at a task, under its slot.
pub(crate) struct Attempt {
    engine: Arc<Engine>,
    claimed: Claimed,
    permit: Permit,
    slots: SlotStanding,
    cancel: CancellationToken,
    began: Instant,
    at: Timestamp,
}

/// How an attempt went.
enum Outcome {
    Answered {
        response: Vec<u8>,
        charge: Credits,
    },
    /// For good.
    Failed(TaskError),
    /// Another attempt may help; the provider asked for this wait.
    Retry(ProviderError),
    /// It was turned away on this side: no attempt was made.
    NoRoom(Option<Duration>),
    /// The program ends, or its slot was lost.
    Cut,
}

impl Attempt {
    pub(crate) fn new(
        engine: &Arc<Engine>,
        claimed: Claimed,
        permit: Permit,
        slots: SlotStanding,
        cancel: CancellationToken,
    ) -> Self {
        let (began, at) = (Instant::now(), engine.clock().now());
        Self { engine: Arc::clone(engine), claimed, permit, slots, cancel, began, at }
    }

    /// Calls the provider, stores what came of it, then gives the slot back: in this order. Cut at `cut`.
    pub(crate) async fn run(self, cut: CancellationToken) {
        let entered = Entered { attempt: &self };
        let question = std::panic::catch_unwind(AssertUnwindSafe(|| self.question()));
        let outcome = match question.unwrap_or_else(|_| Err(TaskError::of(Problem::INTERNAL))) {
            Ok((question, line)) => self.call(&question, &line, entered, &cut).await,
            Err(error) => {
                drop(entered);
                Outcome::Failed(error)
            }
        };
        // A node that was frozen wakes here: what it was answered meanwhile is nobody's.
        let outcome = if self.permit.is_live() { outcome } else { Outcome::Cut };
        // The provider's socket is closed, and there is nothing left to cancel: from the moment at which the task is back
        // in the queue another attempt may be entered here. Now the outcome, on disk; then the slot.
        self.engine.later.end(self.claimed.claim.seq);
        let ender = Ender::Claim(self.claimed.claim);
        let counters = &self.engine.later.counters;
        let mut settled = None;
        let mut ends = None;
        match outcome {
            Outcome::Answered { response, charge } => {
                let short = TaskError::of(Problem::INSUFFICIENT_CREDITS);
                let end = self.engine.end(ender, response, Some(charge), &short, self.claimed.webhook);
                match end.stored(&cut).await {
                    Some(Ended::Done { paid }) => {
                        settled = paid.map(|(balance, ledger_seq)| Settled { balance, ledger_seq });
                        let charged = u64::try_from(charge.get()).unwrap_or(0);
                        self.engine.counters().credits_charged.add(charged);
                        counters.completed.count();
                        ends = Some((None, charge));
                    }
                    Some(Ended::Short) => {
                        self.engine.counters().charges_short.count();
                        counters.failed.count();
                        ends = Some((Some(short.problem), Credits::ZERO));
                    }
                    Some(Ended::Lost) => counters.lost.count(),
                    None => {}
                }
            }
            Outcome::Failed(error) => {
                let end = self.engine.end(ender, error.to_json(), None, &error, self.claimed.webhook);
                match end.stored(&cut).await {
                    Some(Ended::Lost) => counters.lost.count(),
                    Some(_) => counters.failed.count(),
                    None => {}
                }
                ends = Some((Some(error.problem), Credits::ZERO));
            }
            Outcome::Retry(error) => {
                let asked = match &error {
                    ProviderError::Busy { retry_after } => *retry_after,
                    _ => None,
                };
                let attempts = self.engine.settings().tasks.attempts;
                // `question` and `call` saw to it that there is another attempt.
                let wait = attempts.wait_after(self.claimed.attempt, asked).unwrap_or(attempts.wait_max);
                let until = self.engine.clock().now().plus(wait);
                if self.give_back(Back::Failed(until), &cut).await {
                    counters.retried.count();
                    self.engine.later.waits_until(until);
                }
                ends = Some((Some(problem_of(&error)), Credits::ZERO));
            }
            Outcome::NoRoom(wait) => {
                let until = self.engine.clock().now().plus(wait.unwrap_or(NO_ROOM_WAIT));
                if self.give_back(Back::Unmade(until), &cut).await {
                    self.engine.later.waits_until(until);
                }
            }
            Outcome::Cut => {
                if self.give_back(Back::Cut, &cut).await {
                    counters.handed_back.count();
                }
            }
        }
        if let Some((problem, charged)) = ends {
            self.log(problem, charged);
        }
        self.permit.release(settled).await;
    }

    /// What is asked, and whom.
    fn question(&self) -> Result<(Question, Arc<Line>), TaskError> {
        let claimed = &self.claimed;
        if claimed.cuts >= CUTS_MAX {
            let message = "Task was given up: the server ended during each of its attempts";
            return Err(TaskError::saying(Problem::INTERNAL, message));
        }
        let mut payload = serde_json::Deserializer::from_str(&claimed.payload);
        // It passed when it came; leniently, because the setting may have changed since.
        let question = validate::part(claimed.endpoint, &mut payload, "payload", false);
        let question = question.map_err(|faults| TaskError {
            details: Some(json!(faults)),
            ..TaskError::of(Problem::VALIDATION)
        })?;
        let line = match claimed.kind {
            KeyKind::Test => Ok(self.engine.catalog().sandbox()),
            KeyKind::Live => self.engine.catalog().line(claimed.endpoint),
        };
        Ok((question, Arc::clone(line.map_err(|error| failure(claimed.endpoint.takes_prompt(), &error))?)))
    }

    async fn call(
        &self,
        question: &Question,
        line: &Line,
        entered: Entered<'_>,
        cut: &CancellationToken,
    ) -> Outcome {
        let settings = &self.engine.settings().tasks;
        let deadline = self.began + settings.deadline;
        let whole = async {
            let made = line.attempt(question, self.claimed.attempt, deadline, self.engine.clock()).await;
            Ok::<_, ProviderError>(self.render(question, line, &made?).await)
        };
        let mut attempt = std::pin::pin!(AssertUnwindSafe(whole).catch_unwind());
        // Its first step takes its place at the gate.
        let first = futures_util::poll!(attempt.as_mut());
        drop(entered);
        let answered = match first {
            std::task::Poll::Ready(answered) => answered,
            std::task::Poll::Pending => tokio::select! {
                biased;
                () = self.cancel.cancelled() => return Outcome::Failed(TaskError::saying(Problem::CANCELED, "Task was canceled")),
                () = cut.cancelled() => return Outcome::Cut,
                () = self.permit.lost() => return Outcome::Cut,
                answered = attempt => answered,
            },
        };
        let answered = answered.unwrap_or_else(|_| {
            tracing::error!(task = %self.claimed.id, "an attempt panicked");
            Err(ProviderError::Broken { reason: "the attempt panicked".to_owned() })
        });
        match answered {
            Ok(outcome) => outcome,
            Err(ProviderError::NoRoom { retry_after }) => Outcome::NoRoom(retry_after),
            Err(error) if error.may_retry() => {
                tracing::debug!(task = %self.claimed.id, %error, attempt = self.claimed.attempt, "attempt failed");
                if self.claimed.attempt < settings.attempts.max {
                    return Outcome::Retry(error);
                }
                tracing::warn!(task = %self.claimed.id, %error, "failed after its last attempt");
                Outcome::Failed(TaskError::saying(Problem::INTERNAL, "Task failed after max retries"))
            }
            Err(error) => Outcome::Failed(failure(question.endpoint.takes_prompt(), &error)),
        }
    }

    async fn render(&self, question: &Question, line: &Line, answer: &Answer) -> Outcome {
        if line.endpoint.is_some() {
            self.engine.took(question.endpoint, self.began.elapsed());
        }
        match rendered(&self.engine, question, answer, self.claimed.price).await {
            Ok((response, charge)) => Outcome::Answered { response, charge },
            Err(error) => {
                tracing::error!(task = %self.claimed.id, %error, "failed to keep a page");
                Outcome::Retry(ProviderError::Broken { reason: "page not kept".to_owned() })
            }
        }
    }

    /// Puts the task back to its place in the queue; false if that was not possible, or no longer its own.
    async fn give_back(&self, back: Back, cut: &CancellationToken) -> bool {
        let given = written(cut, || self.engine.store().give_back(self.claimed.claim, back)).await;
        if given == Some(false) {
            self.engine.later.counters.lost.count();
        }
        given == Some(true)
    }

    fn log(&self, problem: Option<Problem>, charged: Credits) {
        let (status, code) = problem.map_or((200, ""), |problem| (problem.status, problem.code));
        self.engine.log().push(LogLine {
            request: self.claimed.id,
            at: self.at,
            account: self.claimed.account,
            key: self.claimed.key,
            way: Way::Later,
            route: self.claimed.endpoint.route(),
            status,
            code,
            took_us: u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX),
            slots: Some(self.slots),
            charged,
            attempts: self.claimed.attempt,
        });
    }
}

/// The way from the pick to the provider's gate; dropped at its end.
struct Entered<'a> {
    attempt: &'a Attempt,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let claimed = &self.attempt.claimed;
        self.attempt.engine.later.entered((claimed.kind == KeyKind::Live).then_some(claimed.endpoint));
    }
}

/// What an end that no retry can help says to the task's reader.
fn failure(takes_prompt: bool, error: &ProviderError) -> TaskError {
    let field = if takes_prompt { "payload.prompt" } else { "payload.query" };
    let invalid = |message: String| TaskError {
        details: Some(json!([FieldFault { field: field.to_owned(), message }])),
        ..TaskError::of(Problem::VALIDATION)
    };
    match error {
        ProviderError::TooLong { tokens, tokens_max } => {
            invalid(format!("{tokens} model tokens, and this model takes at most {tokens_max}"))
        }
        ProviderError::Invalid { reason } => invalid(reason.clone()),
        ProviderError::Unavailable { reason } => {
            TaskError::saying(Problem::UNAVAILABLE, format!("Service unavailable: {reason}"))
        }
        _ => TaskError::of(Problem::INTERNAL),
    }
}

const fn problem_of(error: &ProviderError) -> Problem {
    match error {
        ProviderError::Busy { .. } | ProviderError::NoRoom { .. } => Problem::UNAVAILABLE,
        _ => Problem::INTERNAL,
    }
}

/// Writes until it is written, or `cut`: a paid answer is not thrown away because a disk is full for a while. None if
/// it was cut, or the store will never take it.
pub(crate) async fn written<T, F>(cut: &CancellationToken, mut write: impl FnMut() -> F) -> Option<T>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut wait = WRITE_WAIT;
    loop {
        match write().await {
            Ok(written) => return Some(written),
            Err(error @ StoreError::Unavailable { .. }) => {
                tracing::error!(%error, wait_ms = wait.as_millis(), "failed to write an outcome");
            }
            Err(error) => {
                tracing::error!(%error, "failed to write an outcome for good");
                return None;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = cut.cancelled() => return None,
        }
        wait = (wait * 2).min(WRITE_WAIT_MAX);
    }
}

/// An end on its way to the disk.
struct Ending<'a> {
    engine: &'a Engine,
    end: End,
    webhook: bool,
}

impl Ending<'_> {
    async fn stored(self, cut: &CancellationToken) -> Option<Ended> {
        let ended = written(cut, || self.engine.store().end_task(self.end.clone())).await;
        if self.webhook && matches!(ended, Some(Ended::Done { .. } | Ended::Short)) {
            self.engine.later.due.notify_one();
            self.engine.parts.bus.tell(Message::Deliveries);
        }
        ended
    }
}

impl Engine {
    fn end(
        &self,
        ender: Ender,
        response: Vec<u8>,
        charge: Option<Credits>,
        if_short: &TaskError,
        webhook: bool,
    ) -> Ending<'_> {
        let (at, settings) = (self.clock().now(), self.settings());
        let end = End {
            ender,
            response,
            charge,
            if_short: if_short.to_json(),
            at,
            keep_until: at.plus(settings.tasks.keep),
            pending_max: settings.webhooks.pending_max,
        };
        Ending { engine: self, end, webhook }
    }

    /// Ends a task that was never started.
    pub(crate) async fn end_failed(&self, ender: Ender, error: &TaskError, cut: &CancellationToken) {
        // It may have a webhook: the deliveries look, and find nothing where it has none.
        let end = self.end(ender, error.to_json(), None, error, true);
        if let Some(Ended::Done { .. }) = end.stored(cut).await {
            self.later.counters.failed.count();
        }
    }
}
