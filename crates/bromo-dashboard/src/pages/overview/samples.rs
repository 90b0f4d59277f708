//! Counted lines for tests.

use bromo_rules::credit::{Credits, Way};
use bromo_rules::histogram::Histogram;
use bromo_rules::id::{AccountId, KeyId, RequestId};
use bromo_rules::log::LogLine;
use bromo_rules::standing::SlotStanding;
use bromo_rules::time::Timestamp;
use bromo_store::{Rollup, StatusCount};

/// 24 November 2026, 12:30 UTC.
pub(super) const NOW: Timestamp = Timestamp::from_millis(1_795_523_400_000);
pub(super) const NO_SLOT: (u16, &str) = (429, "CONCURRENCY_LIMIT_EXCEEDED");
pub(super) const RATE: (u16, &str) = (429, "RATE_LIMIT_EXCEEDED");
pub(super) const CREDITS: (u16, &str) = (403, "INSUFFICIENT_CREDITS");

pub(super) fn ago(seconds: i64) -> Timestamp {
    Timestamp::from_millis(NOW.millis() - seconds * 1000)
}

/// So many lines of one outcome, `seconds` ago, with `slots` of 10 in use.
pub(super) fn row(
    seconds: i64,
    route: &'static str,
    key: KeyId,
    (status, code): (u16, &'static str),
    lines: u64,
    slots: u32,
) -> Rollup {
    let mut took = Histogram::default();
    if status < 300 {
        (0..lines.min(1000)).for_each(|line| took.add(800_000 + line * 1000));
    }
    Rollup {
        start: ago(seconds),
        route,
        key,
        outcomes: vec![StatusCount { status, code, lines }],
        charged: Credits::new(if status < 300 { 7 } else { 0 }),
        took,
        slots_peak: Some(slots),
        slots_last: Some((ago(seconds), SlotStanding { limit: 10, current: slots })),
        busy_us: 9_000_000,
    }
}

/// A line of a call that found no slot.
pub(super) fn refused(millis: i64, current: u32) -> LogLine {
    LogLine {
        request: RequestId::from_bytes([0; 16]),
        at: Timestamp::from_millis(NOW.millis() + millis),
        account: AccountId::from_random(1),
        key: KeyId::from_random(1),
        way: Way::Now,
        route: "monitor/chatgpt",
        status: NO_SLOT.0,
        code: NO_SLOT.1,
        took_us: 90,
        slots: Some(SlotStanding { limit: 10, current }),
        charged: Credits::ZERO,
        attempts: 0,
    }
}
