//! What happened so far, for metrics. Counting is one relaxed addition.

use std::sync::atomic::{AtomicU64, Ordering};

use bromo_admission::Denial;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn count(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, number: u64) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }

    /// The number.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counters of the engine.
#[derive(Debug, Default)]
pub struct Counters {
    /// Calls answered.
    pub answered: Counter,
    /// Calls that failed at the provider or at the charge.
    pub failed: Counter,
    /// Refused: rate window used up.
    pub refused_rate: Counter,
    /// Refused: balance.
    pub refused_credits: Counter,
    /// Refused: slots.
    pub refused_slots: Counter,
    /// No decision could be made (promise S5).
    pub undecided: Counter,
    /// Credits charged.
    pub credits_charged: Counter,
    /// Charges that the store refused although admission held the credits. Must stay 0.
    pub charges_short: Counter,
    /// Charges whose commit failed; their calls were 503s.
    pub charges_failed: Counter,
}

impl Counters {
    pub(crate) fn denied(&self, denial: Denial) {
        match denial {
            Denial::Rate => &self.refused_rate,
            Denial::Credits { .. } => &self.refused_credits,
            Denial::Slots { .. } => &self.refused_slots,
        }
        .count();
    }
}

/// Counters of tasks and deliveries.
#[derive(Debug, Default)]
pub struct LaterCounters {
    /// Tasks accepted.
    pub submitted: Counter,
    /// Tasks completed.
    pub completed: Counter,
    /// Tasks failed, the cancelled ones included.
    pub failed: Counter,
    /// Attempts that failed and are made again.
    pub retried: Counter,
    /// Attempts that a shutdown cut and handed back.
    pub handed_back: Counter,
    /// Attempts whose end was refused because another has the task. Must stay 0 on one node.
    pub lost: Counter,
    /// Deliveries that a receiver took.
    pub delivered: Counter,
    /// Delivery attempts that failed.
    pub delivery_failed: Counter,
    /// Deliveries given up.
    pub given_up: Counter,
    /// Deliveries refused by the egress guard.
    pub forbidden: Counter,
}
