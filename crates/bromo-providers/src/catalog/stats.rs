//! The figures of a line: plain counters, read for metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::error::ProviderError;

/// Upper bounds of the latency counters; one more counter holds what is slower.
pub const LATENCY_BOUNDS_MS: [u64; 16] =
    [1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 120_000, 300_000];

const KINDS: usize = ProviderError::KINDS.len();

/// Counts as it goes.
#[derive(Debug, Default)]
pub struct LineStats {
    started: AtomicU64,
    answered: AtomicU64,
    cancelled: AtomicU64,
    turned_away_full: AtomicU64,
    turned_away_open: AtomicU64,
    failed: [AtomicU64; KINDS],
    latency: [AtomicU64; LATENCY_BOUNDS_MS.len() + 1],
    latency_us: AtomicU64,
}

/// What was counted. Of a moment each, not all of the same one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineFigures {
    /// Calls of the provider begun.
    pub started: u64,
    /// Calls that brought an answer.
    pub answered: u64,
    /// Calls that were dropped before their end.
    pub cancelled: u64,
    /// Attempts that found gate and line full.
    pub turned_away_full: u64,
    /// Attempts that found the breaker open.
    pub turned_away_open: u64,
    /// Calls that failed, in the order of [`ProviderError::KINDS`].
    pub failed: [u64; KINDS],
    /// Ended calls by time, each up to its bound in [`LATENCY_BOUNDS_MS`] and above the one before.
    pub latency: [u64; LATENCY_BOUNDS_MS.len() + 1],
    /// Sum of the times of ended calls, in microseconds.
    pub latency_us: u64,
}

impl LineStats {
    pub(super) fn started(&self) {
        self.started.fetch_add(1, Relaxed);
    }

    pub(super) fn cancelled(&self) {
        self.cancelled.fetch_add(1, Relaxed);
    }

    pub(super) fn turned_away_full(&self) {
        self.turned_away_full.fetch_add(1, Relaxed);
    }

    pub(super) fn turned_away_open(&self) {
        self.turned_away_open.fetch_add(1, Relaxed);
    }

    pub(super) fn ended(&self, error: Option<&ProviderError>, took: Duration) {
        match error {
            None => &self.answered,
            Some(error) => &self.failed[error.kind_index()],
        }
        .fetch_add(1, Relaxed);
        let place = LATENCY_BOUNDS_MS.partition_point(|bound| Duration::from_millis(*bound) < took);
        self.latency[place].fetch_add(1, Relaxed);
        self.latency_us.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    pub(super) fn figures(&self) -> LineFigures {
        LineFigures {
            started: self.started.load(Relaxed),
            answered: self.answered.load(Relaxed),
            cancelled: self.cancelled.load(Relaxed),
            turned_away_full: self.turned_away_full.load(Relaxed),
            turned_away_open: self.turned_away_open.load(Relaxed),
            failed: std::array::from_fn(|kind| self.failed[kind].load(Relaxed)),
            latency: std::array::from_fn(|place| self.latency[place].load(Relaxed)),
            latency_us: self.latency_us.load(Relaxed),
        }
    }
}
