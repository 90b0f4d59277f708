//! Deleting what is too old or too much: whole days as partitions, runs of a day that stays, the counts of what went, and
//! kept texts.

use super::roll::{column_of, lock, roll};
use super::{APPEND_LOCK, LOCK, day, day_begins, texts};
use crate::error::StoreError;
use crate::logs::cells::{beginning, millis};
use crate::logs::{Level, LogKeep};
use crate::postgres::rows::{self, column};
use crate::postgres::tx::Tx;

/// Runs deleted in one transaction, so that appending never waits long.
const STEP_RUNS_MAX: usize = 16;

/// Steps of rollups deleted in one transaction, of each level.
const STEP_STARTS_MAX: i64 = 64;

/// What one transaction of a trim did.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    /// Lines that went.
    pub(super) lines: u64,
    /// Whether there may be more to do.
    pub(super) more: bool,
}

/// Deletes a day, or up to [`STEP_RUNS_MAX`] runs.
pub(super) async fn step(tx: &Tx<'_>, keep: &LogKeep) -> Result<Step, StoreError> {
    // All nodes trim; one after the other.
    lock(tx).await?;
    let (mut lines, mut runs) = (0, 0);
    let mut oldest_kept = keep.from.millis();
    while runs < STEP_RUNS_MAX
        && let Some((run, for_size)) = next(tx, keep).await?
    {
        if run.last_seq > rolled(tx).await? {
            // The last uses of keys are kept.
            roll(tx).await?;
        }
        let gone = if for_size { None } else { drop_day(tx, &run, keep).await? };
        lines += match gone {
            Some(lines) => lines,
            None => delete(tx, &run).await?,
        };
        if for_size {
            oldest_kept = oldest_kept.max(run.last_at);
        }
        runs += 1;
    }
    // A gap tells of missing lines among others; it goes with those around it.
    tx.execute("DELETE FROM gaps WHERE last_at < $1", &[&oldest_kept]).await?;
    let mut more = runs == STEP_RUNS_MAX;
    if !more {
        let before = oldest_counted(tx).await?;
        more |= delete_starts(tx, Level::Coarse, before).await?;
        let before = oldest_fine(tx).await?;
        more |= delete_starts(tx, Level::Fine, before).await?;
        more |= texts::trim(tx, keep).await?;
    }
    Ok(Step { lines: lines.unsigned_abs(), more })
}

async fn one(
    tx: &Tx<'_>,
    sql: &'static str,
    params: &[&(dyn tokio_postgres::types::ToSql + Sync)],
) -> Result<Option<i64>, StoreError> {
    tx.first(sql, params).await?.map_or(Ok(None), |row| rows::get(&row, 0))
}

async fn rolled(tx: &Tx<'_>) -> Result<i64, StoreError> {
    Ok(one(tx, "SELECT seq FROM rolled", &[]).await?.unwrap_or(0))
}

/// Drops the partition of a past day if all of it is too old; how many lines that were.
async fn drop_day(tx: &Tx<'_>, run: &Run, keep: &LogKeep) -> Result<Option<i64>, StoreError> {
    let day = day(run.first_seq);
    let (from, until) = (day_begins(day), day_begins(day + 1));
    if one(tx, "SELECT last_seq FROM appended", &[]).await?.unwrap_or(0) < until {
        return Ok(None);
    }
    let sql = "SELECT sum(lines)::bigint FROM runs WHERE first_seq >= $1 AND first_seq < $2
               HAVING max(last_at) < $3 AND max(last_seq) <= (SELECT seq FROM rolled)";
    let Some(lines) = one(tx, sql, &[&from, &until, &keep.from.millis()]).await? else { return Ok(None) };
    tx.execute("DELETE FROM runs WHERE first_seq >= $1 AND first_seq < $2", &[&from, &until]).await?;
    drop_partition(tx, day).await?;
    Ok(Some(lines))
}

async fn drop_partition(tx: &Tx<'_>, day: i64) -> Result<(), StoreError> {
    // Readers wait for this, and so it must not wait long for them: the next trim tries again.
    tx.batch(&format!(
        "SET LOCAL lock_timeout = '1s'; DROP TABLE IF EXISTS blocks_{day}; SET LOCAL lock_timeout = '3s'"
    ))
    .await
}

/// Deletes a run and its blocks; how many lines that were.
async fn delete(tx: &Tx<'_>, run: &Run) -> Result<i64, StoreError> {
    tx.execute(LOCK, &[&APPEND_LOCK]).await?;
    // It may have grown since.
    let sql = "DELETE FROM runs WHERE first_seq = $1 AND last_seq = $2";
    if tx.execute(sql, &[&run.first_seq, &run.last_seq]).await? == 0 {
        return Ok(0);
    }
    let sql = "DELETE FROM blocks WHERE last_seq BETWEEN $1 AND $2";
    tx.execute(sql, &[&run.first_seq, &run.last_seq]).await?;
    let day = day(run.first_seq);
    let (from, until) = (day_begins(day), day_begins(day + 1));
    // The last of a past day takes its partition along.
    let sql = "SELECT 1::bigint FROM appended WHERE last_seq >= $2
               AND NOT EXISTS (SELECT FROM runs WHERE first_seq >= $1 AND first_seq < $2)";
    if one(tx, sql, &[&from, &until]).await?.is_some() {
        drop_partition(tx, day).await?;
    }
    Ok(run.lines)
}

/// Coarse steps that begin before this have lost all their lines.
async fn oldest_counted(tx: &Tx<'_>) -> Result<i64, StoreError> {
    let oldest = one(tx, "SELECT min(first_at) FROM runs", &[]).await?;
    Ok(beginning(oldest.unwrap_or(i64::MAX), millis(Level::Coarse.step())))
}

/// Fine steps that begin before this are not kept: so long before the newest.
async fn oldest_fine(tx: &Tx<'_>) -> Result<i64, StoreError> {
    let newest = one(
        tx,
        "SELECT start FROM rollups WHERE level = $1 ORDER BY start DESC LIMIT 1",
        &[&column_of(Level::Fine)],
    )
    .await?;
    let keep = Level::Fine.keep().map_or(i64::MAX, millis);
    Ok(newest.map_or(i64::MIN, |newest| newest.saturating_sub(keep)))
}

/// Deletes the oldest steps before `before`; says whether there may be more of them.
async fn delete_starts(tx: &Tx<'_>, level: Level, before: i64) -> Result<bool, StoreError> {
    let number = column_of(level);
    let oldest =
        one(tx, "SELECT start FROM rollups WHERE level = $1 ORDER BY start LIMIT 1", &[&number]).await?;
    let Some(oldest) = oldest.filter(|oldest| *oldest < before) else { return Ok(false) };
    let until = before.min(oldest.saturating_add(STEP_STARTS_MAX * millis(level.step())));
    let sql = "WITH gone AS
                   (DELETE FROM rollups WHERE level = $1 AND start < $2 RETURNING octet_length(data) + 100 AS bytes)
               UPDATE rolled SET bytes = bytes - (SELECT coalesce(sum(gone.bytes), 0) FROM gone)";
    tx.execute(sql, &[&number, &until]).await?;
    Ok(until < before)
}

struct Run {
    first_seq: i64,
    last_seq: i64,
    last_at: i64,
    lines: i64,
}

/// The run to delete next, and whether it is for its size and not for its age.
async fn next(tx: &Tx<'_>, keep: &LogKeep) -> Result<Option<(Run, bool)>, StoreError> {
    let for_age = oldest(tx, keep.from.millis()).await?;
    if for_age.is_some() || bytes_used(tx).await? <= column(keep.bytes_max) {
        return Ok(for_age.map(|run| (run, false)));
    }
    Ok(oldest(tx, i64::MAX).await?.map(|run| (run, true)))
}

/// The oldest run that ends before this instant.
async fn oldest(tx: &Tx<'_>, ends_before: i64) -> Result<Option<Run>, StoreError> {
    let sql = "SELECT first_seq, last_seq, last_at, lines FROM runs WHERE last_at < $1
               ORDER BY first_seq LIMIT 1";
    let run = |row| {
        Ok(Run {
            first_seq: rows::get(&row, 0)?,
            last_seq: rows::get(&row, 1)?,
            last_at: rows::get(&row, 2)?,
            lines: rows::get(&row, 3)?,
        })
    };
    tx.first(sql, &[&ends_before]).await?.map(run).transpose()
}

/// What lines and their counts take.
async fn bytes_used(tx: &Tx<'_>) -> Result<i64, StoreError> {
    let sql = "SELECT (SELECT coalesce(sum(bytes), 0) FROM runs)::bigint + (SELECT bytes FROM rolled)";
    Ok(one(tx, sql, &[]).await?.unwrap_or(0))
}
