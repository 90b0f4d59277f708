//! One line of the request log.

use crate::credit::{Credits, Way};
use crate::id::{AccountId, KeyId, RequestId};
use crate::standing::SlotStanding;
use crate::time::Timestamp;

/// What is kept of one request or one task attempt. Never the question, the answer or the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// The request's id, also in its `X-Request-ID`.
    pub request: RequestId,
    /// When it arrived.
    pub at: Timestamp,
    /// Whose it was.
    pub account: AccountId,
    /// The key it came with.
    pub key: KeyId,
    /// Now or later.
    pub way: Way,
    /// The route: its template without `/v1/`, for example `monitor/chatgpt`. At most 64 bytes.
    pub route: &'static str,
    /// HTTP status; 499 where the client left.
    pub status: u16,
    /// The problem's code; empty for a 2xx.
    pub code: &'static str,
    /// Arrival to end, in microseconds.
    pub took_us: u64,
    /// The slots of its decision; none where no decision was made.
    pub slots: Option<SlotStanding>,
    /// What it cost.
    pub charged: Credits,
    /// Provider attempts made.
    pub attempts: u8,
}
