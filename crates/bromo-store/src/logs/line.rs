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
pub(crate) struct Outcome<'a> {
    pub(crate) way: Way,
    pub(crate) status: u16,
    pub(crate) route: &'a str,
    pub(crate) code: &'a str,
}

/// A line with its number, without its account: that stands beside the block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    pub(crate) seq: u64,
    pub(crate) request: RequestId,
    pub(crate) at: i64,
    pub(crate) key: i64,
    pub(crate) outcome: Outcome<'a>,
    pub(crate) took_us: u64,
    pub(crate) slots: Option<SlotStanding>,
    pub(crate) charged: i64,
    pub(crate) attempts: u8,
}

impl Line<'static> {
    /// A line as it was handed in.
    pub(crate) const fn new(seq: u64, line: &LogLine) -> Self {
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
    pub(crate) fn stored(&self, account: AccountId) -> StoredLine {
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
pub(crate) fn request_millis(request: &RequestId) -> i64 {
    let [a, b, c, d, e, f, ..] = *request.as_bytes();
    i64::from_be_bytes([0, 0, a, b, c, d, e, f])
}
