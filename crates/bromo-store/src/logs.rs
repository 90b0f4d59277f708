//! The request log: append a batch, read after a cursor. It may lose lines, never silently.

pub(crate) mod bytes;
pub(crate) mod cells;
pub(crate) mod decode;
pub(crate) mod encode;
mod filter;
pub(crate) mod intern;
pub(crate) mod line;
pub(crate) mod pack;
pub(crate) mod page;
mod rollup;
pub(crate) mod text;
pub(crate) mod wide;

use std::time::Duration;

use async_trait::async_trait;
use bromo_rules::id::{AccountId, RequestId};
use bromo_rules::log::LogLine;
use bromo_rules::time::Timestamp;

pub use self::filter::{LogFilter, RequestMatch, RequestPrefix, StatusMatch};
pub use self::rollup::{KeyUse, Level, ROLLUPS_MAX, Rollup, StatusCount};
pub use self::text::{KeptText, LogKeep};
use crate::error::StoreError;

/// A line as it was read back; the texts are owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLine {
    /// Where it stands: pass the last line's to read on towards older lines.
    pub cursor: u64,
    /// The line. `route` and `code` are interned: known words come back as themselves.
    pub line: LogLine,
}

/// What a search found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogPage {
    /// The lines, newest first.
    pub lines: Vec<StoredLine>,
    /// Pass it as `before` to read on; none if there are no older lines that match.
    pub more: Option<u64>,
    /// Back to where it searched, if the time was up before the page was full.
    pub searched_to: Option<Timestamp>,
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
    /// The search ends once it took `budget`, and can go on from there; it always gets some way.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn read(
        &self,
        filter: &LogFilter,
        before: Option<u64>,
        count: u32,
        budget: Duration,
    ) -> Result<LogPage, StoreError>;

    /// What became of an account's requests between two instants: a row for each route and key in each step of
    /// `step` (whole steps of `level`, one at least), counted from the beginning of the step of the level that holds
    /// `from`. Ascending; steps in which nothing happened have no row. Of more than [`ROLLUPS_MAX`] rows the oldest
    /// are left out.
    ///
    /// Lines appended before are counted, each at the instant of its arrival, however late it came.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn rollups(
        &self,
        account: AccountId,
        level: Level,
        step: Duration,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Rollup>, StoreError>;

    /// When each key of an account was last used, by key; also of keys whose lines have been deleted.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn key_uses(&self, account: AccountId) -> Result<Vec<KeyUse>, StoreError>;

    /// Gaps that overlap the stretch, newest first, at most `count`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn gaps(&self, from: Timestamp, until: Timestamp, count: u32) -> Result<Vec<LogGap>, StoreError>;

    /// Keeps what was asked and answered; of one request the last.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; nothing was written.
    async fn append_texts(&self, texts: Vec<KeptText>) -> Result<(), StoreError>;

    /// What was asked and answered in a request of this account, if it was kept and is still there.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn lookup_text(
        &self,
        account: AccountId,
        request: RequestId,
    ) -> Result<Option<KeptText>, StoreError>;

    /// Deletes whole batches: those that ended before `keep.from`, then the oldest until the log is no larger than
    /// `keep.bytes_max`; says how many lines went. A backend may have joined the batches of a few hours.
    /// Gaps and rollups go with the lines around them; fine rollups go sooner, see [`Level::Fine`]. Kept texts go by
    /// their own age and size.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn trim(&self, keep: &LogKeep) -> Result<u64, StoreError>;
}
