//! The request log in PostgreSQL, to which every node appends.
//!
//! As in SQLite, lines are packed: a batch becomes one block an account, so that a line costs some thirty bytes and no
//! index entry of its own. Blocks are copied in ([`append`]), into a partition of their day, and never changed; they go by
//! the day ([`trim`]). What is read is unpacked where it is asked for ([`read`]). Charts are drawn from counts, which are
//! made behind appending ([`roll`]) and read with what waits ([`rollups`]).
//!
//! A commit does not wait for the disk: after the loss of power the newest lines may be missing.

mod append;
mod read;
mod roll;
mod rollups;
#[cfg(test)]
mod tests;
mod texts;
mod trim;

pub(super) use self::roll::ROW_BYTES as ROLLUP_ROW_BYTES;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bromo_rules::id::{AccountId, RequestId};
use bromo_rules::log::LogLine;
use bromo_rules::time::Timestamp;

use super::connect::{Connector, Durability};
use super::home::{Home, Plan};
use super::keeper::Duty;
use super::lane::Lane;
use super::migrations;
use super::other::{Other, Snapshot};
use super::rows;
use super::settings::PostgresSettings;
use super::shared::Shared;
use super::tx::Tx;
use crate::error::StoreError;
use crate::logs::page::Bounds;
use crate::logs::{KeptText, KeyUse, Level, LogFilter, LogGap, LogKeep, LogPage, Logs, Rollup};

/// Connections for reads: a long search sends short statements, so few do.
const READERS: usize = 2;

/// Held by whoever gives seqs, until its transaction ends: "bromo ls" as a number.
const APPEND_LOCK: i64 = 0x6272_6f6d_6f20_6c73;
/// Held by whoever counts lines; taken before the other: "bromo lc" as a number.
const ROLL_LOCK: i64 = 0x6272_6f6d_6f20_6c63;
/// Waits for one of them.
const LOCK: &str = "SELECT pg_advisory_xact_lock($1)";

/// Bits of a seq that count within its day.
const DAY_BITS: u32 = 36;

/// The day of a seq.
const fn day(seq: i64) -> i64 {
    seq >> DAY_BITS
}

/// Seqs of a day are above this one.
pub(crate) const fn day_begins(day: i64) -> i64 {
    day << DAY_BITS
}

/// Makes the partition of a day. Attaching, unlike making it as a partition, waits for no reader and holds none up.
pub(super) fn make_day(day: i64) -> String {
    let (from, until) = (day_begins(day), day_begins(day + 1));
    format!(
        "CREATE TABLE blocks_{day} (LIKE blocks INCLUDING ALL);
         ALTER TABLE blocks ATTACH PARTITION blocks_{day} FOR VALUES FROM ({from}) TO ({until})"
    )
}

/// The request log in one PostgreSQL database, which other nodes share.
///
/// Dropping it writes what was handed over and ends its thread; that blocks.
pub struct PostgresLogs {
    shared: Shared,
    appends: Lane<Other>,
    /// What nobody's request waits for, and may take its time.
    chores: Lane<Other>,
    snapshots: Lane<Snapshot>,
    home: Home,
}

impl fmt::Debug for PostgresLogs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresLogs").finish_non_exhaustive()
    }
}

/// Opens the log, beside the store or in a database of its own; does not wait for it. It has no row of a node.
///
/// # Errors
/// As [`open_postgres`](super::open_postgres).
pub fn open_postgres_logs(settings: PostgresSettings) -> Result<PostgresLogs, StoreError> {
    let connector = Arc::new(Connector::new(&settings.url, Durability::Process)?);
    let mut plan = Plan::new(connector, settings.node);
    let shared = Shared::new((0..READERS).map(|_| plan.connection()).collect());
    let (appends, chores, snapshots) = (plan.lane(1), plan.lane(1), plan.lane(1));
    let duty = Duty { schema: &migrations::LOGS, local: None };
    let home = plan.start("logs-postgres", settings, duty)?;
    Ok(PostgresLogs { shared, appends, chores, snapshots, home })
}

impl PostgresLogs {
    /// Whether the database can be reached now.
    pub fn is_ready(&self) -> bool {
        self.home.is_ready()
    }

    /// Waits until the database was there and its schema is up to date.
    ///
    /// # Errors
    /// As [`PostgresStore::wait_ready`](super::PostgresStore::wait_ready).
    pub async fn wait_ready(&self) -> Result<(), StoreError> {
        self.home.wait_ready().await
    }
}

#[async_trait]
impl Logs for PostgresLogs {
    async fn append(&self, lines: Vec<LogLine>, gap: Option<LogGap>) -> Result<(), StoreError> {
        let waiting =
            self.appends.run(async move |tx: &Tx<'_>| append::append(tx, &lines, gap).await).await?;
        if waiting >= roll::BEHIND_MAX
            && let Err(error) = self.chores.run(roll::roll_alone).await
        {
            // The lines are there; whoever comes next tries again.
            tracing::warn!(%error, "cannot count log lines");
        }
        Ok(())
    }

    async fn read(
        &self,
        filter: &LogFilter,
        before: Option<u64>,
        count: u32,
        budget: Duration,
    ) -> Result<LogPage, StoreError> {
        let lines_max = usize::try_from(count).unwrap_or(usize::MAX);
        let deadline = Instant::now().checked_add(budget);
        read::read(&self.shared, filter, &Bounds { before, lines_max, deadline }).await
    }

    async fn rollups(
        &self,
        account: AccountId,
        level: Level,
        step: Duration,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Rollup>, StoreError> {
        let work = async move |tx: &Tx<'_>| rollups::rollups(tx, account, level, step, (from, until)).await;
        self.snapshots.run(work).await
    }

    async fn key_uses(&self, account: AccountId) -> Result<Vec<KeyUse>, StoreError> {
        self.snapshots.run(async move |tx: &Tx<'_>| rollups::key_uses(tx, account).await).await
    }

    async fn gaps(&self, from: Timestamp, until: Timestamp, count: u32) -> Result<Vec<LogGap>, StoreError> {
        let sql = "SELECT lines, first_at, last_at FROM gaps WHERE first_at < $2 AND last_at >= $1
                   ORDER BY id DESC LIMIT $3";
        let found = self.shared.query(sql, &[&from.millis(), &until.millis(), &i64::from(count)]).await?;
        let gap = |row| {
            let (from, until) = (rows::instant(row, 1)?, rows::instant(row, 2)?);
            Ok(LogGap { lines: rows::count(row, 0)?, from, until })
        };
        found.iter().map(gap).collect()
    }

    async fn append_texts(&self, texts: Vec<KeptText>) -> Result<(), StoreError> {
        self.chores.run(async move |tx: &Tx<'_>| texts::append(tx, &texts).await).await
    }

    async fn lookup_text(
        &self,
        account: AccountId,
        request: RequestId,
    ) -> Result<Option<KeptText>, StoreError> {
        texts::lookup(&self.shared, account, request).await
    }

    async fn trim(&self, keep: &LogKeep) -> Result<u64, StoreError> {
        let keep = *keep;
        let mut lines = 0;
        loop {
            let step = self.chores.run(async move |tx: &Tx<'_>| trim::step(tx, &keep).await).await?;
            lines += step.lines;
            if !step.more {
                return Ok(lines);
            }
        }
    }
}
