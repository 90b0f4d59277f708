//! Stops calling a provider that keeps failing: a pure state machine, time is an argument.
//!
//! Closed, calls go through. After a number of failures in a row it opens and calls are turned away.
//! After a while one call, the probe, is let through: its answer closes the breaker, its failure opens it
//! for as long again.

use std::num::NonZeroU32;
use std::time::Duration;

use bromo_rules::time::Timestamp;

use crate::error::ProviderError;

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerRules {
    /// Failures in a row that open it; none: it never opens.
    pub failures_max: Option<NonZeroU32>,
    /// From the opening, or a failed probe, to the next probe.
    pub open_for: Duration,
}

impl Default for BreakerRules {
    fn default() -> Self {
        Self { failures_max: NonZeroU32::new(10), open_for: Duration::from_secs(10) }
    }
}

impl BreakerRules {
    /// A breaker that never opens.
    pub const NEVER: Self = Self { failures_max: None, open_for: Duration::ZERO };
}

/// A call may go. To be given back with [`Breaker::settle`], whatever became of the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a probe that is never settled keeps the breaker open"]
pub struct Leave {
    epoch: u64,
    probe: bool,
}

impl Leave {
    /// Whether the call decides if the breaker closes.
    pub const fn is_probe(self) -> bool {
        self.probe
    }
}

/// What a call says of the provider's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It works.
    Healthy,
    /// It does not.
    Failing,
    /// Nothing: the call was cancelled, or never reached it.
    Unknown,
}

impl Verdict {
    /// What the outcome of an attempt says. A refusal is healthy: the upstream looked at the question.
    pub const fn of(error: &ProviderError) -> Self {
        match error {
            ProviderError::Busy { .. } | ProviderError::TimedOut | ProviderError::Broken { .. } => {
                Self::Failing
            }
            ProviderError::Refused { .. } => Self::Healthy,
            ProviderError::TooLong { .. }
            | ProviderError::Invalid { .. }
            | ProviderError::Unavailable { .. }
            | ProviderError::NoRoom { .. } => Self::Unknown,
        }
    }
}

/// The state for one provider's line.
#[derive(Debug)]
pub struct Breaker {
    rules: BreakerRules,
    state: State,
    /// Counts the changes of state, so that a call that began before one cannot count after it.
    epoch: u64,
}

#[derive(Debug)]
enum State {
    Closed { failures: u32 },
    Open { until: Timestamp, probing: bool },
}

impl Breaker {
    /// A closed breaker.
    pub const fn new(rules: BreakerRules) -> Self {
        Self { rules, state: State::Closed { failures: 0 }, epoch: 0 }
    }

    /// Asks to make a call now.
    ///
    /// # Errors
    /// Turned away; the time until the next probe, zero while one is under way.
    pub fn ask(&mut self, now: Timestamp) -> Result<Leave, Duration> {
        match &mut self.state {
            State::Closed { .. } => Ok(Leave { epoch: self.epoch, probe: false }),
            State::Open { until, probing } => {
                if *probing || now < *until {
                    return Err(until.since(now));
                }
                *probing = true;
                Ok(Leave { epoch: self.epoch, probe: true })
            }
        }
    }

    /// Whether a call that asked now would go.
    pub fn lets_through(&self, now: Timestamp) -> bool {
        match &self.state {
            State::Closed { .. } => true,
            State::Open { until, probing } => !probing && now >= *until,
        }
    }

    /// Whether calls go through without being a probe.
    pub const fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed { .. })
    }

    /// Whether it knows nothing that a new one would not.
    pub const fn is_spotless(&self) -> bool {
        matches!(self.state, State::Closed { failures: 0 })
    }

    /// Takes a leave back with what the call learned. A leave from before the last change says nothing.
    pub fn settle(&mut self, leave: Leave, verdict: Verdict, now: Timestamp) {
        if leave.epoch != self.epoch {
            return;
        }
        match (&mut self.state, verdict) {
            (State::Closed { .. }, Verdict::Unknown) => {}
            (State::Closed { failures }, Verdict::Healthy) => *failures = 0,
            (State::Closed { failures }, Verdict::Failing) => {
                *failures = failures.saturating_add(1);
                if self.rules.failures_max.is_some_and(|max| *failures >= max.get()) {
                    self.open(now);
                }
            }
            (State::Open { probing, .. }, Verdict::Unknown) => *probing = false,
            (State::Open { .. }, Verdict::Healthy) => {
                self.state = State::Closed { failures: 0 };
                self.epoch += 1;
            }
            (State::Open { .. }, Verdict::Failing) => self.open(now),
        }
    }

    fn open(&mut self, now: Timestamp) {
        self.state = State::Open { until: now.plus(self.rules.open_for), probing: false };
        self.epoch += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn breaker(failures_max: u32) -> Breaker {
        Breaker::new(BreakerRules {
            failures_max: NonZeroU32::new(failures_max),
            open_for: Duration::from_secs(10),
        })
    }

    #[track_caller]
    fn call(breaker: &mut Breaker, verdict: Verdict, now: Timestamp) {
        let leave = breaker.ask(now).expect("the breaker lets the call through");
        breaker.settle(leave, verdict, now);
    }

    #[test]
    fn failures_in_a_row_open_it_and_others_do_not() {
        let mut breaker = breaker(3);
        for verdict in [Verdict::Failing, Verdict::Failing, Verdict::Healthy, Verdict::Failing] {
            call(&mut breaker, verdict, at(0));
        }
        call(&mut breaker, Verdict::Unknown, at(0));
        call(&mut breaker, Verdict::Failing, at(0));
        assert!(breaker.is_closed());
        call(&mut breaker, Verdict::Failing, at(0));
        assert_eq!(breaker.ask(at(4)), Err(Duration::from_secs(6)));
    }

    #[test]
    fn one_probe_goes_through_and_its_answer_closes_it() {
        let mut breaker = breaker(1);
        call(&mut breaker, Verdict::Failing, at(0));
        assert!(!breaker.lets_through(at(9)));
        assert!(breaker.lets_through(at(10)));
        let probe = breaker.ask(at(10)).expect("the probe goes");
        assert!(probe.is_probe());
        assert_eq!(breaker.ask(at(11)), Err(Duration::ZERO));
        breaker.settle(probe, Verdict::Healthy, at(12));
        assert!(breaker.is_closed());
    }

    #[test]
    fn a_failed_probe_opens_it_for_as_long_again() {
        let mut breaker = breaker(1);
        call(&mut breaker, Verdict::Failing, at(0));
        call(&mut breaker, Verdict::Failing, at(10));
        assert_eq!(breaker.ask(at(19)), Err(Duration::from_secs(1)));
        call(&mut breaker, Verdict::Healthy, at(20));
        assert!(breaker.is_closed());
    }

    #[test]
    fn a_cancelled_probe_gives_its_place_back() {
        let mut breaker = breaker(1);
        call(&mut breaker, Verdict::Failing, at(0));
        call(&mut breaker, Verdict::Unknown, at(10));
        assert!(breaker.ask(at(10)).expect("the place is free").is_probe());
    }

    #[test]
    fn a_call_from_before_the_opening_says_nothing_after_it() {
        let mut breaker = breaker(1);
        let (slow, slower) = (breaker.ask(at(0)).unwrap(), breaker.ask(at(0)).unwrap());
        call(&mut breaker, Verdict::Failing, at(1));
        breaker.settle(slow, Verdict::Healthy, at(2));
        assert!(!breaker.is_closed());
        breaker.settle(slower, Verdict::Failing, at(5));
        assert_eq!(breaker.ask(at(5)), Err(Duration::from_secs(6)), "the time to the probe stands");
    }

    #[test]
    fn refusals_and_long_questions_are_no_failures() {
        let refused = ProviderError::Refused { reason: String::new() };
        assert_eq!(Verdict::of(&refused), Verdict::Healthy);
        assert_eq!(Verdict::of(&ProviderError::TooLong { tokens: 2, tokens_max: 1 }), Verdict::Unknown);
        assert_eq!(Verdict::of(&ProviderError::Busy { retry_after: None }), Verdict::Failing);
    }

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Ask,
        Settle(usize, Verdict),
        Wait(u16),
    }

    fn step() -> impl Strategy<Value = Step> {
        let verdict = prop_oneof![Just(Verdict::Healthy), Just(Verdict::Failing), Just(Verdict::Unknown)];
        prop_oneof![
            Just(Step::Ask),
            (any::<usize>(), verdict).prop_map(|(which, verdict)| Step::Settle(which, verdict)),
            (0_u16..15_000).prop_map(Step::Wait),
        ]
    }

    proptest! {
        #[test]
        fn whatever_happens_one_probe_at_most_is_out_and_one_always_comes(
            steps in proptest::collection::vec(step(), 0..200),
        ) {
            let mut breaker = breaker(3);
            let mut now = at(0);
            let mut out: Vec<Leave> = Vec::new();
            for step in steps {
                match step {
                    Step::Wait(millis) => now = now.plus(Duration::from_millis(millis.into())),
                    Step::Ask => {
                        let lets_through = breaker.lets_through(now);
                        let asked = breaker.ask(now);
                        prop_assert_eq!(asked.is_ok(), lets_through);
                        match asked {
                            Ok(leave) => {
                                prop_assert_eq!(leave.is_probe(), !breaker.is_closed());
                                out.push(leave);
                            }
                            Err(wait) => prop_assert!(wait <= Duration::from_secs(10)),
                        }
                    }
                    Step::Settle(which, verdict) if !out.is_empty() => {
                        let leave = out.swap_remove(which % out.len());
                        breaker.settle(leave, verdict, now);
                    }
                    Step::Settle(..) => {}
                }
                prop_assert!(out.iter().filter(|leave| leave.is_probe()).count() <= 1);
            }
            // With every leave back, the breaker lets a call through after its time at the latest.
            for leave in out {
                breaker.settle(leave, Verdict::Unknown, now);
            }
            prop_assert!(breaker.lets_through(now.plus(Duration::from_secs(10))));
        }
    }
}
