//! The request log in SQLite: its own file, its own writer, no fsync.
//!
//! A row with indexes per line cannot pay for itself at 30,000 lines/s, so lines are packed: a batch becomes
//! one block per account ([`encode`](crate::logs::encode)), a few index entries a block, and small blocks are merged later
//! ([`append`]). Reading unpacks only blocks that may hold what is asked for ([`read`]). Charts are drawn from counts
//! ([`cells`](crate::logs::cells)), which are made behind appending ([`roll`]) and read with what waits ([`rollups`]).
//!
//! What was appended survives this process; after the loss of power the newest lines may be missing.

mod append;
mod read;
mod roll;
mod rollups;
#[cfg(test)]
mod tests;
mod texts;
mod trim;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bromo_rules::id::{AccountId, RequestId};
use bromo_rules::log::LogLine;
use bromo_rules::time::Timestamp;

use super::connection::Durability;
use super::readers::Readers;
use super::rows::count;
use super::writer::Writer;
use super::{connection, folder, migrations};
use crate::error::StoreError;
use crate::logs::page::Bounds;
use crate::logs::{KeptText, KeyUse, Level, LogFilter, LogGap, LogKeep, LogPage, Logs, Rollup};

/// Name of the log in its folder.
pub(super) const LOGS_FILE: &str = "logs.db";
/// Held while the log is open.
pub(super) const LOGS_LOCK: &str = "logs.lock";
/// Threads that read: one for a long search, one for the live view beside it.
const LOGS_READERS: usize = 2;

/// The request log in one SQLite database.
///
/// Dropping it writes what was handed over, ends its threads and gives the file back; that blocks.
pub struct SqliteLogs {
    readers: Readers,
    writer: Writer,
    _lock: folder::Claim,
}

impl fmt::Debug for SqliteLogs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteLogs").finish_non_exhaustive()
    }
}

/// Opens the log in `folder`, beside the store; makes both if they are missing. Blocks.
///
/// # Errors
/// As [`open_sqlite`](super::open_sqlite).
pub fn open_sqlite_logs(folder: &Path) -> Result<SqliteLogs, StoreError> {
    let lock = folder::claim(folder, LOGS_LOCK)?;
    let path = folder.join(LOGS_FILE);
    let mut connection = connection::open_writer(&path, Durability::Process)?;
    migrations::apply(&mut connection, migrations::LOGS)?;
    let readers = Readers::start("logs-read", &path, LOGS_READERS)?;
    // Without fsync the automatic checkpoint is a short copy, and nobody's request waits for it.
    let writer = Writer::start("logs-write", connection, None, Arc::default())?;
    Ok(SqliteLogs { readers, writer, _lock: lock })
}

#[async_trait]
impl Logs for SqliteLogs {
    async fn append(&self, lines: Vec<LogLine>, gap: Option<LogGap>) -> Result<(), StoreError> {
        self.writer.run(move |connection| append::append(connection, &lines, gap)).await
    }

    async fn read(
        &self,
        filter: &LogFilter,
        before: Option<u64>,
        count: u32,
        budget: Duration,
    ) -> Result<LogPage, StoreError> {
        let filter = filter.clone();
        let lines_max = usize::try_from(count).unwrap_or(usize::MAX);
        self.readers
            .run(move |connection| {
                let now = Instant::now();
                let deadline = now.checked_add(budget);
                read::read(connection, &filter, &Bounds { before, lines_max, deadline })
            })
            .await
    }

    async fn rollups(
        &self,
        account: AccountId,
        level: Level,
        step: Duration,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Rollup>, StoreError> {
        self.readers
            .run(move |connection| rollups::rollups(connection, account, level, step, (from, until)))
            .await
    }

    async fn key_uses(&self, account: AccountId) -> Result<Vec<KeyUse>, StoreError> {
        self.readers.run(move |connection| rollups::key_uses(connection, account)).await
    }

    async fn gaps(&self, from: Timestamp, until: Timestamp, count: u32) -> Result<Vec<LogGap>, StoreError> {
        self.readers
            .run(move |connection| {
                let mut statement = connection.prepare_cached(
                    "SELECT lines, first_at, last_at FROM gaps WHERE first_at < ?2 AND last_at >= ?1
                     ORDER BY id DESC LIMIT ?3",
                )?;
                statement.query_and_then((from.millis(), until.millis(), count), gap)?.collect()
            })
            .await
    }

    async fn append_texts(&self, texts: Vec<KeptText>) -> Result<(), StoreError> {
        self.writer.run(move |connection| texts::append(connection, &texts)).await
    }

    async fn lookup_text(
        &self,
        account: AccountId,
        request: RequestId,
    ) -> Result<Option<KeptText>, StoreError> {
        self.readers.run(move |connection| texts::lookup(connection, account, request)).await
    }

    async fn trim(&self, keep: &LogKeep) -> Result<u64, StoreError> {
        let keep = *keep;
        let mut lines = 0;
        loop {
            let step = self.writer.run(move |connection| trim::step(connection, &keep)).await?;
            lines += step.lines;
            if !step.more {
                return Ok(lines);
            }
        }
    }
}

fn gap(row: &rusqlite::Row<'_>) -> Result<LogGap, StoreError> {
    Ok(LogGap {
        lines: count(row, 0)?,
        from: Timestamp::from_millis(row.get(1)?),
        until: Timestamp::from_millis(row.get(2)?),
    })
}
