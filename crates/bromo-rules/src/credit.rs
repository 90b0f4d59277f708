//! Credits: the whole-number price unit, balances, prices, and the credit cycle.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Mul, Sub};

use serde::Serialize;

use crate::endpoint::Endpoint;
use crate::question::Question;
use crate::time::Timestamp;

/// A whole number of credits. Negative only as the amount of a ledger entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(transparent)]
pub struct Credits(i64);

impl Credits {
    /// No credits.
    pub const ZERO: Self = Self(0);
    /// The most an account may hold or be granted: 10^15, so that no sum of ours overflows.
    pub const MAX: Self = Self(1_000_000_000_000_000);

    /// This many credits.
    pub const fn new(credits: i64) -> Self {
        Self(credits)
    }

    /// The number.
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl Add for Credits {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Credits {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Credits {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Mul<i64> for Credits {
    type Output = Self;
    fn mul(self, times: i64) -> Self {
        Self(self.0.saturating_mul(times))
    }
}

impl Sum for Credits {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for Credits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What an account has: the rest of this cycle's allocation, and what was granted on top.
/// The allocation is spent first and does not roll over; grants stay until spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Balance {
    /// Left of the plan's allocation.
    pub plan: Credits,
    /// Left of the grants.
    pub granted: Credits,
}

impl Balance {
    /// All of it.
    pub fn total(self) -> Credits {
        self.plan + self.granted
    }

    /// The balance after paying `price`; none if it does not cover it.
    #[must_use]
    pub fn pay(self, price: Credits) -> Option<Self> {
        if self.total() < price {
            return None;
        }
        let from_plan = self.plan.min(price);
        Some(Self { plan: self.plan - from_plan, granted: self.granted - (price - from_plan) })
    }
}

/// Whether the caller waits for the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// Answered in the response; costs the surcharge.
    Now,
    /// A task.
    Later,
}

/// What one question costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Price {
    /// Known before the answer.
    pub fixed: Credits,
    /// Product clusters that may come back and be charged one credit each (AI Mode `expandProducts`).
    pub clusters_max: u32,
}

impl Price {
    /// A question that costs nothing.
    pub const FREE: Self = Self { fixed: Credits::ZERO, clusters_max: 0 };

    /// The largest possible price: held while the work runs (design section 6).
    pub fn hold(self) -> Credits {
        self.fixed + Credits::new(i64::from(self.clusters_max))
    }

    /// The price of an answer with this many product clusters.
    pub fn charge(self, clusters: usize) -> Credits {
        let counted = u32::try_from(clusters).unwrap_or(u32::MAX).min(self.clusters_max);
        self.fixed + Credits::new(i64::from(counted))
    }
}

/// The prices of contract section 8.1; operators may replace any number in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prices {
    /// Base price of a task, by [`Endpoint::index`].
    pub base: [Credits; Endpoint::ALL.len()],
    /// On top of every answer given now.
    pub sync_surcharge: Credits,
    /// ChatGPT: once for any of `rawResponse searchQueries ads shopping`.
    pub extended: Credits,
    /// For a `state`.
    pub state: Credits,
    /// Google and Google News: for each page after the first.
    pub page: Credits,
    /// Google: once for `aioverview` and/or `paaAioverview`.
    pub ai_overview: Credits,
    /// AI Mode `expandProducts`: clusters charged at most, one credit each.
    pub clusters_max: u32,
}

impl Default for Prices {
    fn default() -> Self {
        Self {
            base: [5, 4, 5, 4, 4, 4, 3, 3].map(Credits::new),
            sync_surcharge: Credits::new(2),
            extended: Credits::new(2),
            state: Credits::new(2),
            page: Credits::new(2),
            ai_overview: Credits::new(2),
            clusters_max: 6,
        }
    }
}

impl Prices {
    /// What this question costs. A base price of 0 makes an endpoint free of surcharges too, so that an
    /// operator can give one away.
    ///
    /// Source: docs/credits.md#prices
    pub fn of(&self, question: &Question, way: Way) -> Price {
        let base = self.base[question.endpoint.index()];
        if base == Credits::ZERO {
            return Price::FREE;
        }
        let include = &question.include;
        let google = matches!(question.endpoint, Endpoint::Google | Endpoint::GoogleNews);
        let mut fixed = base;
        let mut add = |wanted: bool, price: Credits| {
            if wanted {
                fixed += price;
            }
        };
        add(way == Way::Now, self.sync_surcharge);
        add(
            question.endpoint == Endpoint::Chatgpt
                && (include.raw_response || include.search_queries || include.ads || include.shopping),
            self.extended,
        );
        add(question.state.is_some(), self.state);
        add(google, self.page * i64::from(question.pages.saturating_sub(1)));
        add(
            question.endpoint == Endpoint::Google && (include.ai_overview || include.paa_ai_overview),
            self.ai_overview,
        );
        let expands = question.endpoint == Endpoint::Aimode && include.expand_products;
        Price { fixed, clusters_max: if expands { self.clusters_max } else { 0 } }
    }
}

/// One month of credits, from the subscription's day of the month (clamped to the month's end).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cycle {
    /// The instant of the subscription: its day and time of day are every cycle's.
    pub anchor: Timestamp,
    /// When the present cycle began.
    pub starts_at: Timestamp,
    /// When it ends and the next one begins.
    pub ends_at: Timestamp,
}

impl Cycle {
    /// The cycle that holds `now`, for a subscription of `anchor`. Before the anchor: the first cycle.
    pub fn containing(anchor: Timestamp, now: Timestamp) -> Self {
        let months = months_between(anchor, now);
        let mut first = months.saturating_sub(1).max(0);
        while months_after(anchor, first + 1) <= now {
            first += 1;
        }
        Self { anchor, starts_at: months_after(anchor, first), ends_at: months_after(anchor, first + 1) }
    }

    /// Whether `now` lies past the end.
    pub fn is_over(self, now: Timestamp) -> bool {
        now >= self.ends_at
    }
}

fn date_time(at: Timestamp) -> jiff::civil::DateTime {
    jiff::tz::Offset::UTC.to_datetime(at.to_jiff())
}

fn months_between(from: Timestamp, to: Timestamp) -> i64 {
    let (from, to) = (date_time(from), date_time(to));
    i64::from(to.year() - from.year()) * 12 + i64::from(to.month() - from.month())
}

fn months_after(anchor: Timestamp, months: i64) -> Timestamp {
    let shifted = date_time(anchor).checked_add(jiff::Span::new().months(months)).ok();
    let instant = shifted.and_then(|at| jiff::tz::Offset::UTC.to_timestamp(at).ok());
    Timestamp::from_millis(instant.map_or(i64::MAX, jiff::Timestamp::as_millisecond))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_millis(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    }

    #[track_caller]
    fn check_cycle(anchor: &str, now: &str, starts: &str, ends: &str) {
        let cycle = Cycle::containing(at(anchor), at(now));
        assert_eq!((cycle.starts_at, cycle.ends_at), (at(starts), at(ends)));
    }

    #[test]
    fn a_cycle_keeps_the_day_of_the_subscription_clamped_to_the_months_end() {
        check_cycle(
            "2026-01-31T10:00:00Z",
            "2026-02-28T09:59:59Z",
            "2026-01-31T10:00:00Z",
            "2026-02-28T10:00:00Z",
        );
        check_cycle(
            "2026-01-31T10:00:00Z",
            "2026-03-01T00:00:00Z",
            "2026-02-28T10:00:00Z",
            "2026-03-31T10:00:00Z",
        );
        check_cycle(
            "2026-01-15T00:00:00Z",
            "2026-12-15T00:00:00Z",
            "2026-12-15T00:00:00Z",
            "2027-01-15T00:00:00Z",
        );
    }

    #[test]
    fn the_allocation_is_spent_before_the_grants_and_nothing_goes_below_zero() {
        let balance = Balance { plan: Credits::new(3), granted: Credits::new(4) };
        assert_eq!(
            balance.pay(Credits::new(5)),
            Some(Balance { plan: Credits::ZERO, granted: Credits::new(2) })
        );
        assert_eq!(balance.pay(Credits::new(8)), None);
    }

    proptest! {
        #[test]
        fn every_instant_lies_in_its_cycle(anchor in 0i64..4_000_000_000, later in 0i64..1_000_000_000) {
            let now = Timestamp::from_millis((anchor + later) * 1000);
            let cycle = Cycle::containing(Timestamp::from_millis(anchor * 1000), now);
            prop_assert!(cycle.starts_at <= now && now < cycle.ends_at);
        }

        #[test]
        fn paying_takes_exactly_the_price(plan in 0i64..100, granted in 0i64..100, price in 0i64..250) {
            let balance = Balance { plan: Credits::new(plan), granted: Credits::new(granted) };
            match balance.pay(Credits::new(price)) {
                Some(rest) => {
                    prop_assert_eq!(rest.total(), balance.total() - Credits::new(price));
                    prop_assert!(rest.plan >= Credits::ZERO && rest.granted >= Credits::ZERO);
                }
                None => prop_assert!(price > plan + granted),
            }
        }
    }
}
