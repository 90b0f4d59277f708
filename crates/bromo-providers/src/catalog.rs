//! Endpoint -> who answers it, with the gate, the breaker and the figures that stand before the provider.

mod stats;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bromo_rules::answer::Answer;
use bromo_rules::endpoint::Endpoint;
use bromo_rules::question::Question;
use bromo_rules::retry::Attempts;
use bromo_rules::time::{Clock, Timestamp};
use tokio::time::Instant;

use crate::Provider;
use crate::breaker::{Breaker, BreakerRules, Leave, Verdict};
use crate::error::ProviderError;
use crate::gate::Gate;

pub use stats::{LATENCY_BOUNDS_MS, LineFigures, LineStats};

/// What an upstream without a better idea is given before it is asked again.
const PROBE_WAIT: Duration = Duration::from_secs(1);

/// One endpoint's way to its provider.
pub struct Line {
    /// Whose questions go this way; none: any, as on the line for test keys.
    pub endpoint: Option<Endpoint>,
    /// Who answers.
    pub provider: Arc<dyn Provider>,
    /// The limit of parallel calls on this line.
    pub gate: Arc<Gate>,
    /// When an attempt is made again; the caller's to follow.
    pub attempts: Attempts,
    breaker: Mutex<Breaker>,
    stats: LineStats,
}

impl Line {
    /// A line with a closed breaker and its figures at zero.
    pub fn new(
        endpoint: Option<Endpoint>,
        provider: Arc<dyn Provider>,
        gate: Arc<Gate>,
        breaker: BreakerRules,
        attempts: Attempts,
    ) -> Self {
        let breaker = Mutex::new(Breaker::new(breaker));
        Self { endpoint, provider, gate, attempts, breaker, stats: LineStats::default() }
    }

    /// Makes one attempt: waits for the gate, asks the breaker, calls the provider. Retries nothing and
    /// catches nothing. Dropping the future ends the call and gives its places back.
    ///
    /// # Errors
    /// The provider's own, and [`ProviderError::NoRoom`] where gate or breaker turn the call away.
    pub async fn attempt(
        &self,
        question: &Question,
        attempt: u8,
        deadline: Instant,
        clock: &dyn Clock,
    ) -> Result<Answer, ProviderError> {
        let mut call = Call::begin(self, clock)?;
        let _pass = match self.gate.try_enter() {
            Some(pass) => pass,
            None => {
                // The wait may be long and the breaker may open meanwhile: it is asked again after.
                drop(call);
                let pass = self.gate.enter(deadline).await.map_err(|_| {
                    self.stats.turned_away_full();
                    ProviderError::NoRoom { retry_after: None }
                })?;
                call = Call::begin(self, clock)?;
                pass
            }
        };
        call.start();
        let outcome = self.provider.answer(question, attempt, deadline).await;
        call.end(&outcome);
        outcome
    }

    /// Attempts that would neither wait nor be turned away if they were made now: for the scheduler. An open circuit
    /// lets one through once its time has come.
    pub fn room(&self, now: Timestamp) -> usize {
        let breaker = self.breaker();
        let lets_through = match (breaker.lets_through(now), breaker.is_closed()) {
            (false, _) => 0,
            (true, false) => 1,
            (true, true) => usize::MAX,
        };
        self.gate.room().min(lets_through)
    }

    /// Whether the breaker is closed: for metrics and health.
    pub fn is_closed(&self) -> bool {
        self.breaker().is_closed()
    }

    /// The figures since the start.
    pub fn figures(&self) -> LineFigures {
        self.stats.figures()
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        // Arithmetic alone happens under it, so it is sound even after a panic elsewhere.
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line")
            .field("endpoint", &self.endpoint)
            .field("provider", &self.provider.kind())
            .finish_non_exhaustive()
    }
}

/// A call under the breaker's leave. Dropped before its end, it was cancelled: that says nothing of the
/// provider, and a probe gives its place back.
struct Call<'a> {
    line: &'a Line,
    clock: &'a dyn Clock,
    leave: Option<Leave>,
    started: Option<Instant>,
}

impl<'a> Call<'a> {
    fn begin(line: &'a Line, clock: &'a dyn Clock) -> Result<Self, ProviderError> {
        match line.breaker().ask(clock.now()) {
            Ok(leave) => Ok(Self { line, clock, leave: Some(leave), started: None }),
            Err(wait) => {
                line.stats.turned_away_open();
                Err(ProviderError::NoRoom { retry_after: Some(wait.max(PROBE_WAIT)) })
            }
        }
    }

    fn start(&mut self) {
        self.line.stats.started();
        self.started = Some(Instant::now());
    }

    fn end(mut self, outcome: &Result<Answer, ProviderError>) {
        let took = self.started.take().map(|started| started.elapsed()).unwrap_or_default();
        self.line.stats.ended(outcome.as_ref().err(), took);
        self.settle(outcome.as_ref().err().map_or(Verdict::Healthy, Verdict::of));
    }

    fn settle(&mut self, verdict: Verdict) {
        if let Some(leave) = self.leave.take() {
            self.line.breaker().settle(leave, verdict, self.clock.now());
        }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if self.started.is_some() {
            self.line.stats.cancelled();
        }
        self.settle(Verdict::Unknown);
    }
}

/// Who answers what.
#[derive(Debug)]
pub struct Catalog {
    lines: [Option<Arc<Line>>; Endpoint::ALL.len()],
    sandbox: Arc<Line>,
}

impl Catalog {
    /// A catalogue of the configured lines, by [`Endpoint::index`], and the line for test keys.
    pub const fn new(lines: [Option<Arc<Line>>; Endpoint::ALL.len()], sandbox: Arc<Line>) -> Self {
        Self { lines, sandbox }
    }

    /// The line of an endpoint.
    ///
    /// # Errors
    /// [`ProviderError::Unavailable`] with the name of the missing setting.
    pub fn line(&self, endpoint: Endpoint) -> Result<&Arc<Line>, ProviderError> {
        self.lines[endpoint.index()].as_ref().ok_or_else(|| ProviderError::Unavailable {
            reason: format!("{} is not set", Self::missing_setting(endpoint)),
        })
    }

    /// The line that answers test keys, for every endpoint.
    pub const fn sandbox(&self) -> &Arc<Line> {
        &self.sandbox
    }

    /// Every line with its name in metrics; the one for test keys last.
    pub fn lines(&self) -> impl Iterator<Item = (&'static str, &Arc<Line>)> {
        Endpoint::ALL
            .into_iter()
            .filter_map(|endpoint| Some((endpoint.name(), self.lines[endpoint.index()].as_ref()?)))
            .chain(std::iter::once(("sandbox", &self.sandbox)))
    }

    /// The setting that says who answers an endpoint.
    pub const fn missing_setting(endpoint: Endpoint) -> &'static str {
        match endpoint {
            Endpoint::Chatgpt => "endpoints.chatgpt.provider",
            Endpoint::Gemini => "endpoints.gemini.provider",
            Endpoint::Copilot => "endpoints.copilot.provider",
            Endpoint::Perplexity => "endpoints.perplexity.provider",
            Endpoint::Grok => "endpoints.grok.provider",
            Endpoint::Aimode => "endpoints.aimode.provider",
            Endpoint::Google => "endpoints.google.provider",
            Endpoint::GoogleNews => "endpoints.google-news.provider",
        }
    }
}

#[cfg(test)]
mod tests;
