//! Which limits an account may have had, and when.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::history::{At, Event, History, What};

/// A change whose sender was told nothing may still come: its request waits in a frozen node or is repeated.
const LATE_CHANGE: Duration = Duration::from_secs(30);

/// Stretches in which a limit may have been in force; they overlap while a change is on its way.
#[derive(Debug, Default)]
pub(super) struct LimitsInForce(Vec<Stretch>);

#[derive(Debug)]
struct Stretch {
    slots: u32,
    from: At,
    until: At,
    is_confirmed: bool,
}

impl LimitsInForce {
    /// The highest that may have been in force at some time from `from` to `until`.
    pub(super) fn most(&self, from: At, until: At) -> u32 {
        self.within(from, until).max().unwrap_or_default()
    }

    /// Whether this one may have been.
    pub(super) fn allow(&self, slots: u32, from: At, until: At) -> bool {
        self.within(from, until).any(|one| one == slots)
    }

    fn within(&self, from: At, until: At) -> impl Iterator<Item = u32> {
        let meets = move |stretch: &&Stretch| stretch.from <= until && stretch.until >= from;
        self.0.iter().filter(meets).map(|stretch| stretch.slots)
    }

    fn confirm(&mut self, index: usize, at: At) {
        let sent = self.0[index].from;
        for (number, stretch) in self.0.iter_mut().enumerate().take(index + 1) {
            if number == index {
                stretch.is_confirmed = true;
            } else if stretch.until == Duration::MAX
                && (stretch.is_confirmed || sent >= stretch.from + LATE_CHANGE)
            {
                stretch.until = at;
            }
        }
    }
}

/// Those of every account.
pub(super) fn all(history: &History) -> Vec<LimitsInForce> {
    let opening = |slots| Stretch { slots, from: Duration::ZERO, until: Duration::MAX, is_confirmed: true };
    let mut all: Vec<LimitsInForce> =
        history.accounts.iter().map(|account| LimitsInForce(vec![opening(account.slots)])).collect();
    let mut changes = BTreeMap::new();
    for Event { at, what } in &history.events {
        match what {
            What::PlanSent { change, account, slots, .. } => {
                let stretches = &mut all[*account].0;
                changes.insert(change, (*account, stretches.len()));
                let (from, until) = (*at, Duration::MAX);
                stretches.push(Stretch { slots: *slots, from, until, is_confirmed: false });
            }
            What::PlanConfirmed { change } => {
                if let Some((account, index)) = changes.get(change) {
                    all[*account].confirm(*index, *at);
                }
            }
            _ => {}
        }
    }
    all
}
