//! Reading what was counted: the steps' rows, and the lines that wait to be counted.

use std::time::Duration;

use bromo_rules::id::{AccountId, KeyId};
use bromo_rules::time::Timestamp;
use rusqlite::{CachedStatement, Connection};

use super::roll::behind;
use crate::error::StoreError;
use crate::logs::bytes::Garbage;
use crate::logs::cells::{Counter, Span, Steps, beginning, millis, number};
use crate::logs::wide::Wide;
use crate::logs::{KeyUse, Level, Rollup};

/// Steps of a level looked at for one answer at most, the newest: a year of coarse ones.
const STEPS_MAX: i64 = 366 * 288;

/// What [`Logs::rollups`](crate::Logs::rollups) says.
pub(super) fn rollups(
    connection: &Connection,
    account: AccountId,
    level: Level,
    step: Duration,
    (from, until): (Timestamp, Timestamp),
) -> Result<Vec<Rollup>, StoreError> {
    let level_step = millis(level.step());
    let span = Span { level, from: beginning(from.millis(), level_step), until: until.millis() };
    let width = (millis(step) / level_step).max(1).saturating_mul(level_step);
    // One snapshot: lines counted between two statements would be missing, or count twice.
    let snapshot = connection.unchecked_transaction()?;
    let mut counter = Counter::new(span);
    behind(&snapshot, account, &mut counter)?;
    let mut waiting = counter.steps();
    let mut stored = Stored::new(&snapshot, account, level)?;
    let mut wide = Wide::new(span.from, width);
    for start in starts(&snapshot, &span, &waiting)? {
        if wide.is_full_before(start) {
            break;
        }
        stored.read(start, |row| wide.step(start).merge_encoded(row))?;
        if let Some(cells) = waiting.remove(&start) {
            wide.step(start).merge(cells);
        }
    }
    Ok(wide.finish())
}

/// Beginnings of steps that may have been counted, the newest first.
fn starts(
    connection: &Connection,
    span: &Span,
    waiting: &Steps,
) -> Result<impl Iterator<Item = i64> + use<>, StoreError> {
    let step = millis(span.level.step());
    let end = |sql: &str| -> Result<Option<i64>, StoreError> {
        Ok(connection.prepare_cached(sql)?.query_row([number(span.level)], |row| row.get(0))?)
    };
    let ends = [
        end("SELECT min(start) FROM rollups WHERE level = ?1")?,
        end("SELECT max(start) FROM rollups WHERE level = ?1")?,
        waiting.first_key_value().map(|(start, _)| *start),
        waiting.last_key_value().map(|(start, _)| *start),
    ];
    let first = ends.iter().flatten().min().copied().unwrap_or(0).max(span.from);
    let last = ends.iter().flatten().max().copied().unwrap_or(0).min(span.until.saturating_sub(1));
    let (first, last) = (beginning(first, step), beginning(last, step));
    let count =
        if ends == [None; 4] || last < first { 0 } else { ((last - first) / step + 1).min(STEPS_MAX) };
    Ok((0..count).map(move |back| last - back * step))
}

/// The rows of one account's steps.
struct Stored<'a> {
    statement: CachedStatement<'a>,
    level: i64,
    account: i64,
}

impl<'a> Stored<'a> {
    fn new(connection: &'a Connection, account: AccountId, level: Level) -> Result<Self, StoreError> {
        let sql = "SELECT data FROM rollups WHERE level = ?1 AND start = ?2 AND account = ?3";
        let statement = connection.prepare_cached(sql)?;
        Ok(Self { statement, level: number(level), account: account.to_i64() })
    }

    /// Hands the step's row over, if there is one.
    fn read(
        &mut self,
        start: i64,
        take: impl FnOnce(&[u8]) -> Result<(), Garbage>,
    ) -> Result<(), StoreError> {
        let mut rows = self.statement.query((self.level, start, self.account))?;
        if let Some(row) = rows.next()? {
            take(row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?)?;
        }
        Ok(())
    }
}

/// What [`Logs::key_uses`](crate::Logs::key_uses) says.
pub(super) fn key_uses(connection: &Connection, account: AccountId) -> Result<Vec<KeyUse>, StoreError> {
    let snapshot = connection.unchecked_transaction()?;
    let mut counter = Counter::new(Span::NONE);
    behind(&snapshot, account, &mut counter)?;
    let mut uses = counter.key_uses();
    let mut statement = snapshot.prepare_cached("SELECT key, last_at FROM key_uses WHERE account = ?1")?;
    let mut rows = statement.query([account.to_i64()])?;
    while let Some(row) = rows.next()? {
        let (key, at): (i64, i64) = (row.get(0)?, row.get(1)?);
        let last_at = uses.entry(key).or_insert(at);
        *last_at = at.max(*last_at);
    }
    let key_use = |(key, at)| KeyUse { key: KeyId::from_i64(key), last_at: Timestamp::from_millis(at) };
    Ok(uses.into_iter().map(key_use).collect())
}
