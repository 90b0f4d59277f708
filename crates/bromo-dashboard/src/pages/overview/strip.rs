//! The strip of figures: each with its base, and a link to the lines that it counts.

use std::collections::BTreeSet;

use askama::Template;
use bromo_rules::account::Account;
use bromo_rules::credit::Credits;
use bromo_rules::histogram::{Histogram, Quantile};
use bromo_rules::outcome::Outcome;
use bromo_rules::problem::Problem;
use bromo_rules::task::Depth;
use bromo_rules::time::Timestamp;

use super::count::{Lines, REFUSALS, Sums};
use super::tables::percentile;
use super::why::{Hour, about};
use crate::chart::{self, Markup};
use crate::frame::{Frame, Slots};

/// A count and the address of its lines.
pub(super) struct Figure {
    pub(super) count: u64,
    pub(super) link: String,
}

/// The strip.
#[derive(Template)]
#[template(path = "parts/overview_figures.html")]
pub(super) struct Strip<'a> {
    frame: &'a Frame,
    slots: Slots,
    meter: Markup,
    /// About how long all slots were taken in the last hour; none if they never were.
    full: Option<String>,
    wanted: Option<u64>,
    /// Calls that found no slot when most were wanted; none if all found one.
    wanted_link: Option<String>,
    pub(super) calls: Figure,
    pub(super) answered: Figure,
    pub(super) refused: Figure,
    /// The kinds of refusals, those with any.
    pub(super) kinds: Vec<(&'static str, Figure)>,
    pub(super) failed: Figure,
    canceled: Figure,
    /// p50, p95 and p99, each with what it would need.
    took: [(String, Option<String>); 3],
    answers: u64,
    /// The answers whose time is told: those of endpoints.
    timed: String,
    left: Credits,
    used: Credits,
    allocated: Credits,
    lasts_until: Option<Timestamp>,
    cycle_ends: Timestamp,
    depth: Depth,
}

/// What the strip is made from, besides the frame.
pub(super) struct Facts<'a> {
    pub(super) sums: &'a Sums,
    pub(super) took: &'a Histogram,
    /// The endpoints that answered.
    pub(super) endpoints: &'a BTreeSet<&'static str>,
    pub(super) lines: &'a Lines,
    pub(super) hour: &'a Hour,
    /// The lines of the last hour.
    pub(super) hour_lines: &'a Lines,
    pub(super) depth: Depth,
    pub(super) lasts_until: Option<Timestamp>,
}

impl<'a> Strip<'a> {
    pub(super) fn of(frame: &'a Frame, facts: &Facts<'_>) -> Self {
        let Facts { sums, lines, hour, .. } = facts;
        let account: &Account = &frame.account;
        let figure = |outcomes: &[Outcome]| Figure {
            count: outcomes.iter().map(|outcome| sums.get(*outcome)).sum(),
            link: lines.address(&sums.filter(outcomes)),
        };
        let kinds = [
            ("slots", Outcome::NoSlot),
            ("rate", Outcome::Rate),
            ("credits", Outcome::Credits),
            ("other", Outcome::Refused),
        ];
        let kinds = kinds.map(|(word, outcome)| (word, figure(&[outcome])));
        let slots = frame.slots;
        Self {
            slots,
            meter: chart::meter(slots.used.into(), slots.limit.into(), "Slots in use"),
            full: (!hour.full.is_zero()).then(|| about(hour.full)),
            wanted: hour.wanted,
            wanted_link: hour.worst_step().map(|(from, until)| {
                let worst = facts.hour_lines.between(from, until);
                worst.address(&[("code", Problem::CONCURRENCY_LIMIT.code)])
            }),
            calls: Figure { count: sums.calls(), link: lines.address(&[]) },
            answered: figure(&[Outcome::Answered]),
            refused: figure(&REFUSALS),
            kinds: kinds.into_iter().filter(|(_, figure)| figure.count > 0).collect(),
            failed: figure(&[Outcome::Failed]),
            canceled: figure(&[Outcome::Canceled]),
            took: Quantile::ALL.map(|quantile| percentile(facts.took, quantile)),
            answers: facts.took.n(),
            timed: lines.address(&timed(facts.endpoints)),
            left: account.balance.total(),
            // What was granted is outside the allocation.
            used: (account.allocated - account.balance.plan).max(Credits::ZERO),
            allocated: account.allocated,
            lasts_until: facts.lasts_until,
            cycle_ends: account.cycle.ends_at,
            depth: facts.depth,
            frame,
        }
    }

    /// Whether credits run out before new ones come.
    fn runs_out(&self) -> bool {
        self.lasts_until.is_some_and(|until| until < self.cycle_ends)
    }

    /// Lines of the credits' cycle that cost something.
    fn charged(&self) -> String {
        let cycle =
            Lines { from: self.frame.account.cycle.starts_at, until: self.frame.now, narrowed: Vec::new() };
        cycle.address(&[("charged", "yes")])
    }
}

/// The filter for answers of these endpoints.
fn timed(endpoints: &BTreeSet<&'static str>) -> Vec<(&'static str, &'static str)> {
    endpoints.iter().map(|endpoint| ("endpoint", *endpoint)).chain([("status", "2xx")]).collect()
}

/// Who waits, by priority.
#[derive(Template)]
#[template(path = "parts/overview_queue.html")]
pub(super) struct Queue {
    depth: Depth,
    bars: Markup,
}

impl Queue {
    pub(super) fn of(depth: Depth) -> Self {
        let waiting = depth.queued.iter().enumerate().rev().filter(|(_, count)| **count > 0);
        let bar = |(index, count): (usize, &u64)| chart::Bar {
            label: format!("priority {}", index + 1),
            value: *count,
            link: Some("/tasks".to_owned()),
        };
        let bars: Vec<_> = waiting.map(bar).collect();
        Self { bars: chart::bars(&bars), depth }
    }
}
