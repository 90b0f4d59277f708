//! A log line as blocks keep it: like a `LogLine`, but its texts are borrowed from wherever they stand.

use bromo_rules::credit::{Credits, Way};
use bromo_rules::id::{AccountId, KeyId, RequestId};
use bromo_rules::log::LogLine;
use bromo_rules::standing::SlotStanding;
use bromo_rules::time::Timestamp;

use super::intern::intern;
use crate::logs::StoredLine;

/// The part of a line that repeats from line to line; a block keeps each once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcome<'a> {
    pub(super) way: Way,
    pub(super) status: u16,
    pub(super) route: &'a str,
    pub(super) code: &'a str,
}

/// A line with its number, without its account: that stands beside the block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) seq: u64,
    pub(super) request: RequestId,
    pub(super) at: i64,
    pub(super) key: i64,
    pub(super) outcome: Outcome<'a>,
    pub(super) took_us: u64,
    pub(super) slots: Option<SlotStanding>,
    pub(super) charged: i64,
    pub(super) attempts: u8,
}

impl Line<'static> {
    /// A line as it was handed in.
    pub(super) const fn new(seq: u64, line: &LogLine) -> Self {
        Self {
            seq,
            request: line.request,
            at: line.at.millis(),
            key: line.key.to_i64(),
            outcome: Outcome { way: line.way, status: line.status, route: line.route, code: line.code },
            took_us: line.took_us,
            slots: line.slots,
            charged: line.charged.get(),
            attempts: line.attempts,
        }
    }
}

impl Line<'_> {
    /// The line as it is handed out.
    pub(super) fn stored(&self, account: AccountId) -> StoredLine {
        let line = LogLine {
            request: self.request,
            at: Timestamp::from_millis(self.at),
            account,
            key: KeyId::from_i64(self.key),
            way: self.outcome.way,
            route: intern(self.outcome.route),
            status: self.outcome.status,
            code: intern(self.outcome.code),
            took_us: self.took_us,
            slots: self.slots,
            charged: Credits::new(self.charged),
            attempts: self.attempts,
        };
        StoredLine { cursor: self.seq, line }
    }
}

/// The instant inside a request id: the first 48 bits of a version 7 UUID.
pub(super) fn request_millis(request: &RequestId) -> i64 {
    let [a, b, c, d, e, f, ..] = *request.as_bytes();
    i64::from_be_bytes([0, 0, a, b, c, d, e, f])
}
