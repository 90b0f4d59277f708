//! The request log: append a batch, read after a cursor. It may lose lines, never silently.

use async_trait::async_trait;
use bromo_rules::id::{AccountId, RequestId};
use bromo_rules::log::LogLine;
use bromo_rules::time::Timestamp;

use crate::error::StoreError;

/// Which lines a reader wants. Newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogFilter {
    /// Only this account's.
    pub account: Option<AccountId>,
    /// Only this request's.
    pub request: Option<RequestId>,
    /// Only lines at or after this instant.
    pub from: Option<Timestamp>,
    /// Only lines before this instant.
    pub until: Option<Timestamp>,
    /// Only this status.
    pub status: Option<u16>,
    /// Only this code.
    pub code: Option<String>,
    /// Only this route.
    pub route: Option<String>,
}

/// A line as it was read back; the texts are owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLine {
    /// Where it stands: pass the last line's to read on towards older lines.
    pub cursor: u64,
    /// The line. `route` and `code` are interned: known words come back as themselves.
    pub line: LogLine,
}

/// Lines that could not be kept: shown in sequence, never silently lost (promise L1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogGap {
    /// How many.
    pub lines: u64,
    /// Between here …
    pub from: Timestamp,
    /// … and here.
    pub until: Timestamp,
}

/// The request log: its own file, its own writer.
#[async_trait]
pub trait Logs: Send + Sync {
    /// Appends a batch and the gap that came before it, in one transaction.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; nothing was written.
    async fn append(&self, lines: Vec<LogLine>, gap: Option<LogGap>) -> Result<(), StoreError>;

    /// Lines that match, newest first, before `before` if given, at most `count`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn read(
        &self,
        filter: &LogFilter,
        before: Option<u64>,
        count: u32,
    ) -> Result<Vec<StoredLine>, StoreError>;

    /// Gaps that overlap the stretch, newest first, at most `count`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn gaps(&self, from: Timestamp, until: Timestamp, count: u32) -> Result<Vec<LogGap>, StoreError>;

    /// Deletes whole batches: those that ended before `before`, then the oldest until the log is no larger
    /// than `bytes_max`; says how many lines went. A backend may have joined the batches of a few hours.
    /// Gaps go with the lines around them.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn trim(&self, before: Timestamp, bytes_max: u64) -> Result<u64, StoreError>;
}
