//! Reading the log backwards: which blocks may hold what is asked for, and when to stop.

use bromo_rules::id::AccountId;
use rusqlite::{Connection, Row};

use crate::error::StoreError;
use crate::logs::line::request_millis;
use crate::logs::page::{Bounds, Page};
use crate::logs::{LogFilter, LogPage};
use crate::sqlite::rows::{column, count};

/// The newest lines that match, newest first.
pub(super) fn read(
    connection: &Connection,
    filter: &LogFilter,
    bounds: &Bounds,
) -> Result<LogPage, StoreError> {
    if bounds.lines_max == 0 {
        return Ok(LogPage::default());
    }
    let mut page = Page::new(filter, bounds);
    // One snapshot: a merge between two statements would show a line twice or not at all.
    let snapshot = connection.unchecked_transaction()?;
    let limits = Limits::of(&snapshot, filter, bounds.before)?;
    match filter.account {
        Some(account) => of_account(&snapshot, &mut page, &limits, account)?,
        None => of_all(&snapshot, &mut page, &limits)?,
    }
    Ok(page.finish())
}

/// What a block's row must satisfy.
struct Limits {
    /// Blocks end no later than this; all that begin before the cursor are among them.
    last_seq: i64,
    /// Blocks end after this.
    after: i64,
    /// Blocks begin before this.
    before: i64,
    /// Blocks begin before this instant …
    until: i64,
    /// … and end at this one or later.
    from: i64,
}

impl Limits {
    fn of(connection: &Connection, filter: &LogFilter, before: Option<u64>) -> Result<Self, StoreError> {
        let mut limits = Self {
            last_seq: i64::MAX,
            after: column(filter.after.unwrap_or(0)),
            before: before.map_or(i64::MAX, column),
            until: filter.until.map_or(i64::MAX, |until| until.millis()),
            from: filter.from.map_or(i64::MIN, |from| from.millis()),
        };
        if let Some(request) = &filter.request {
            // Spans hold the instants inside the ids too, so this one is exact.
            let (low, high) = request.ends();
            limits.until = limits.until.min(request_millis(&high) + 1);
            limits.from = limits.from.max(request_millis(&low));
        }
        if before.is_some() {
            // A block that the cursor cuts ends within the run that the cursor cuts.
            limits.last_seq = connection
                .prepare_cached("SELECT coalesce(min(last_seq), ?1) FROM runs WHERE last_seq >= ?1")?
                .query_row([limits.before], |row| row.get(0))?;
        }
        Ok(limits)
    }
}

fn of_account(
    connection: &Connection,
    page: &mut Page<'_>,
    limits: &Limits,
    account: AccountId,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT last_seq, last_at FROM blocks INDEXED BY blocks_by_account
         WHERE account = ?1 AND last_seq <= ?2 AND last_seq > ?3 AND first_seq < ?4 AND first_at < ?5
             AND last_at >= ?6
         ORDER BY last_seq DESC",
    )?;
    let params = (account.to_i64(), limits.last_seq, limits.after, limits.before, limits.until, limits.from);
    let mut rows = statement.query(params)?;
    while let Some(row) = rows.next()? {
        if page.is_done(count(row, 0)?, row.get(1)?) {
            break;
        }
        let data = "SELECT data FROM blocks WHERE last_seq = ?1";
        let mut statement = connection.prepare_cached(data)?;
        let mut blocks = statement.query([row.get::<_, i64>(0)?])?;
        if let Some(block) = blocks.next()? {
            page.add(account, blob(block, 0)?)?;
        }
    }
    Ok(())
}

/// Runs do not overlap, so they are read one after the other; blocks within a run do.
fn of_all(connection: &Connection, page: &mut Page<'_>, limits: &Limits) -> Result<(), StoreError> {
    let mut runs = connection.prepare_cached(
        "SELECT last_seq, first_seq FROM runs
         WHERE last_seq <= ?1 AND last_seq > ?2 AND first_seq < ?3 AND first_at < ?4 AND last_at >= ?5
         ORDER BY last_seq DESC",
    )?;
    let mut runs = runs.query((limits.last_seq, limits.after, limits.before, limits.until, limits.from))?;
    let mut blocks = connection.prepare_cached(
        "SELECT last_seq, last_at, account, data FROM blocks
         WHERE last_seq BETWEEN ?1 AND ?2 AND first_seq < ?3 AND first_at < ?4 AND last_at >= ?5
         ORDER BY last_seq DESC",
    )?;
    while let Some(run) = runs.next()? {
        let (last, first) = (run.get::<_, i64>(0)?, run.get::<_, i64>(1)?);
        let first = first.max(limits.after.saturating_add(1));
        let mut blocks = blocks.query((first, last, limits.before, limits.until, limits.from))?;
        while let Some(block) = blocks.next()? {
            if page.is_done(count(block, 0)?, block.get(1)?) {
                return Ok(());
            }
            page.add(AccountId::from_i64(block.get(2)?), blob(block, 3)?)?;
        }
    }
    Ok(())
}

fn blob<'a>(row: &'a Row<'_>, at: usize) -> Result<&'a [u8], StoreError> {
    row.get_ref(at)?
        .as_blob()
        .map_err(|error| StoreError::Corrupt { reason: format!("a log block is no blob: {error}") })
}
