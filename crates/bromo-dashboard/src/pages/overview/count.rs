//! Sums over counted lines, and the addresses of exactly those lines.

use std::collections::{BTreeMap, BTreeSet};

use bromo_rules::histogram::{Histogram, Quantile};
use bromo_rules::outcome::Outcome;
use bromo_rules::problem::Problem;
use bromo_rules::time::Timestamp;
use bromo_store::Rollup;
use url::form_urlencoded;

use crate::chart::Percentiles;

/// How many calls came to what.
#[derive(Debug, Clone, Default)]
pub(super) struct Sums {
    outcomes: BTreeMap<Outcome, u64>,
    /// Codes of refusals that no limit caused.
    others: BTreeSet<&'static str>,
}

impl Sums {
    pub(super) fn of<'a>(rows: impl IntoIterator<Item = &'a Rollup>) -> Self {
        let mut sums = Self::default();
        for count in rows.into_iter().flat_map(|row| &row.outcomes) {
            let outcome = Outcome::of(count.status, count.code);
            *sums.outcomes.entry(outcome).or_default() += count.lines;
            if outcome == Outcome::Refused {
                sums.others.insert(count.code);
            }
        }
        sums
    }

    pub(super) fn get(&self, outcome: Outcome) -> u64 {
        self.outcomes.get(&outcome).copied().unwrap_or(0)
    }

    pub(super) fn calls(&self) -> u64 {
        self.outcomes.values().sum()
    }

    /// What the log filters by to show these outcomes and no other.
    pub(super) fn filter(&self, outcomes: &[Outcome]) -> Vec<(&'static str, &'static str)> {
        let mut filter = Vec::new();
        for outcome in outcomes {
            match outcome {
                Outcome::Answered => filter.push(("status", "2xx")),
                Outcome::NoSlot => filter.push(("code", Problem::CONCURRENCY_LIMIT.code)),
                Outcome::Rate => filter.push(("code", Problem::RATE_LIMIT.code)),
                Outcome::Credits => filter.push(("code", Problem::INSUFFICIENT_CREDITS.code)),
                Outcome::Refused => filter.extend(self.others.iter().map(|code| ("code", *code))),
                Outcome::Failed => filter.push(("status", "5xx")),
                Outcome::Canceled => filter.push(("status", "499")),
            }
        }
        filter
    }
}

/// What counts as refused.
pub(super) const REFUSALS: [Outcome; 4] =
    [Outcome::NoSlot, Outcome::Rate, Outcome::Credits, Outcome::Refused];

/// The lines of a stretch, narrowed to an endpoint or a key where the page is.
#[derive(Debug, Clone)]
pub(super) struct Lines {
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
    /// `endpoint` and `key`.
    pub(super) narrowed: Vec<(String, String)>,
}

impl Lines {
    /// The address of those that pass a filter. The stretch is fixed, so that the list shows what was counted.
    pub(super) fn address(&self, filter: &[(&str, &str)]) -> String {
        let stretch = [("from", self.from.to_string()), ("to", self.until.to_string())];
        self.query(&stretch, filter)
    }

    /// The same without the stretch: a step of a chart adds its own.
    pub(super) fn beside(&self, filter: &[(&str, &str)]) -> String {
        self.query(&[], filter)
    }

    fn query(&self, stretch: &[(&str, String)], filter: &[(&str, &str)]) -> String {
        let narrowed = self.narrowed.iter().filter(|(name, _)| filter.iter().all(|(other, _)| other != name));
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(stretch).extend_pairs(narrowed).extend_pairs(filter);
        format!("/logs?{}", query.finish())
    }

    /// The lines between two instants.
    pub(super) fn between(&self, from: Timestamp, until: Timestamp) -> Self {
        Self { from, until, narrowed: self.narrowed.clone() }
    }
}

/// Whether a route answers questions under a slot. Others take a millisecond, and would drag every percentile down.
pub(super) fn is_endpoint(route: &str) -> bool {
    route.starts_with("monitor/")
}

/// The endpoints that answered.
pub(super) fn timed(rows: &[Rollup]) -> BTreeSet<&'static str> {
    let answered = rows.iter().filter(|row| row.took.n() > 0);
    answered.filter_map(|row| row.route.strip_prefix("monitor/")).collect()
}

/// How long answers took, of all rows together.
pub(super) fn merge<'a>(rows: impl IntoIterator<Item = &'a Rollup>) -> Histogram {
    let mut merged = Histogram::default();
    rows.into_iter().for_each(|row| merged.merge(&row.took));
    merged
}

/// What a histogram says, in milliseconds.
pub(super) fn percentiles(took: &Histogram) -> Percentiles {
    let millis = |quantile| took.percentile(quantile).map(|took| took.as_secs_f64() * 1e3);
    Percentiles {
        p50: millis(Quantile::P50),
        p95: millis(Quantile::P95),
        p99: millis(Quantile::P99),
        answers: took.n(),
    }
}
