//! Deleting what is too old or too much, whole runs at a time, the counts of what went, and kept texts.
//!
//! The pages that become free are used again by what is appended next; the file does not shrink.

use rusqlite::Connection;

use super::roll::{roll, rolled};
use super::texts;
use crate::error::StoreError;
use crate::logs::cells::{beginning, millis, number};
use crate::logs::{Level, LogKeep};

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

/// Deletes up to [`STEP_RUNS_MAX`] runs.
pub(super) fn step(connection: &Connection, keep: &LogKeep) -> Result<Step, StoreError> {
    let mut lines = 0;
    let mut runs = 0;
    let mut oldest_kept = keep.from.millis();
    while runs < STEP_RUNS_MAX
        && let Some((run, for_size)) = next(connection, keep)?
    {
        if run.last_seq > rolled(connection)? {
            // The last uses of keys are kept.
            roll(connection)?;
        }
        connection
            .prepare_cached("DELETE FROM blocks WHERE last_seq BETWEEN ?1 AND ?2")?
            .execute((run.first_seq, run.last_seq))?;
        connection.prepare_cached("DELETE FROM runs WHERE last_seq = ?1")?.execute([run.last_seq])?;
        if for_size {
            oldest_kept = oldest_kept.max(run.last_at);
        }
        lines += run.lines;
        runs += 1;
    }
    // A gap tells of missing lines among others; it goes with those around it.
    connection.prepare_cached("DELETE FROM gaps WHERE last_at < ?1")?.execute([oldest_kept])?;
    let mut more = runs == STEP_RUNS_MAX;
    if !more {
        more |= delete_starts(connection, Level::Coarse, oldest_counted(connection)?)?;
        more |= delete_starts(connection, Level::Fine, oldest_fine(connection)?)?;
        more |= texts::trim(connection, keep)?;
    }
    Ok(Step { lines: lines.unsigned_abs(), more })
}

/// Coarse steps that begin before this have lost all their lines.
fn oldest_counted(connection: &Connection) -> Result<i64, StoreError> {
    let oldest: Option<i64> =
        connection.prepare_cached("SELECT min(first_at) FROM runs")?.query_row([], |row| row.get(0))?;
    Ok(beginning(oldest.unwrap_or(i64::MAX), millis(Level::Coarse.step())))
}

/// Fine steps that begin before this are not kept: so long before the newest.
fn oldest_fine(connection: &Connection) -> Result<i64, StoreError> {
    let newest: Option<i64> = connection
        .prepare_cached("SELECT max(start) FROM rollups WHERE level = ?1")?
        .query_row([number(Level::Fine)], |row| row.get(0))?;
    let keep = Level::Fine.keep().map_or(i64::MAX, millis);
    Ok(newest.map_or(i64::MIN, |newest| newest.saturating_sub(keep)))
}

/// Deletes the oldest steps before `before`; says whether there may be more of them.
fn delete_starts(connection: &Connection, level: Level, before: i64) -> Result<bool, StoreError> {
    let oldest: Option<i64> = connection
        .prepare_cached("SELECT min(start) FROM rollups WHERE level = ?1")?
        .query_row([number(level)], |row| row.get(0))?;
    let Some(oldest) = oldest.filter(|oldest| *oldest < before) else { return Ok(false) };
    let until = before.min(oldest.saturating_add(STEP_STARTS_MAX * millis(level.step())));
    connection
        .prepare_cached("DELETE FROM rollups WHERE level = ?1 AND start < ?2")?
        .execute((number(level), until))?;
    Ok(until < before)
}

struct Run {
    first_seq: i64,
    last_seq: i64,
    last_at: i64,
    lines: i64,
}

/// The run to delete next, and whether it is for its size and not for its age.
fn next(connection: &Connection, keep: &LogKeep) -> Result<Option<(Run, bool)>, StoreError> {
    let for_age = oldest(connection, keep.from.millis())?;
    if for_age.is_some() || bytes_used(connection)? <= keep.bytes_max {
        return Ok(for_age.map(|run| (run, false)));
    }
    Ok(oldest(connection, i64::MAX)?.map(|run| (run, true)))
}

/// The oldest run that ends before this instant.
fn oldest(connection: &Connection, ends_before: i64) -> Result<Option<Run>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT first_seq, last_seq, last_at, lines FROM runs WHERE last_at < ?1 ORDER BY last_seq LIMIT 1",
    )?;
    let mut rows = statement.query_map([ends_before], |row| {
        Ok(Run { first_seq: row.get(0)?, last_seq: row.get(1)?, last_at: row.get(2)?, lines: row.get(3)? })
    })?;
    Ok(rows.next().transpose()?)
}

/// What the database takes, free pages and kept texts apart.
fn bytes_used(connection: &Connection) -> Result<u64, StoreError> {
    let pragma = |name: &str| -> Result<u64, StoreError> {
        let number: i64 = connection.prepare_cached(name)?.query_row([], |row| row.get(0))?;
        Ok(number.unsigned_abs())
    };
    let pages = pragma("PRAGMA page_count")?.saturating_sub(pragma("PRAGMA freelist_count")?);
    Ok((pages * pragma("PRAGMA page_size")?).saturating_sub(texts::bytes(connection)?))
}
