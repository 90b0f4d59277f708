//! Reading the log backwards: which blocks may hold what is asked for, and when to stop.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use bromo_rules::id::AccountId;
use rusqlite::{Connection, Row};

use super::decode::{Block, Columns, Wanted};
use super::line::request_millis;
use crate::error::StoreError;
use crate::logs::{LogFilter, StoredLine};
use crate::sqlite::rows::{column, count};

/// The newest lines that match, newest first, before the cursor `before`, at most `lines_max`.
pub(super) fn read(
    connection: &Connection,
    filter: &LogFilter,
    before: Option<u64>,
    lines_max: usize,
) -> Result<Vec<StoredLine>, StoreError> {
    let mut page = Page { filter, before: before.unwrap_or(u64::MAX), lines_max, newest: BinaryHeap::new() };
    if lines_max == 0 {
        return Ok(Vec::new());
    }
    // One snapshot: a merge between two statements would show a line twice or not at all.
    let snapshot = connection.unchecked_transaction()?;
    let limits = Limits::of(&snapshot, filter, before)?;
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
            before: before.map_or(i64::MAX, column),
            until: filter.until.map_or(i64::MAX, |until| until.millis()),
            from: filter.from.map_or(i64::MIN, |from| from.millis()),
        };
        if let Some(request) = &filter.request {
            // Spans hold the instants inside the ids too, so this one is exact.
            let inside = request_millis(request);
            limits.until = limits.until.min(inside + 1);
            limits.from = limits.from.max(inside);
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
        "SELECT last_seq FROM blocks INDEXED BY blocks_by_account
         WHERE account = ?1 AND last_seq <= ?2 AND first_seq < ?3 AND first_at < ?4 AND last_at >= ?5
         ORDER BY last_seq DESC",
    )?;
    let params = (account.to_i64(), limits.last_seq, limits.before, limits.until, limits.from);
    let mut rows = statement.query(params)?;
    while let Some(row) = rows.next()? {
        if page.is_done(count(row, 0)?) {
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
         WHERE last_seq <= ?1 AND first_seq < ?2 AND first_at < ?3 AND last_at >= ?4
         ORDER BY last_seq DESC",
    )?;
    let mut runs = runs.query((limits.last_seq, limits.before, limits.until, limits.from))?;
    let mut blocks = connection.prepare_cached(
        "SELECT last_seq, account, data FROM blocks
         WHERE last_seq BETWEEN ?1 AND ?2 AND first_seq < ?3 AND first_at < ?4 AND last_at >= ?5
         ORDER BY last_seq DESC",
    )?;
    while let Some(run) = runs.next()? {
        let (last, first) = (run.get::<_, i64>(0)?, run.get::<_, i64>(1)?);
        let mut blocks = blocks.query((first, last, limits.before, limits.until, limits.from))?;
        while let Some(block) = blocks.next()? {
            if page.is_done(count(block, 0)?) {
                return Ok(());
            }
            page.add(AccountId::from_i64(block.get(1)?), blob(block, 2)?)?;
        }
    }
    Ok(())
}

fn blob<'a>(row: &'a Row<'_>, at: usize) -> Result<&'a [u8], StoreError> {
    row.get_ref(at)?
        .as_blob()
        .map_err(|error| StoreError::Corrupt { reason: format!("a log block is no blob: {error}") })
}

/// The newest matching lines seen so far, the oldest of them on top.
struct Page<'a> {
    filter: &'a LogFilter,
    before: u64,
    lines_max: usize,
    newest: BinaryHeap<Reverse<BySeq>>,
}

impl Page<'_> {
    /// Whether blocks that end at `last_seq` or before cannot add anything.
    fn is_done(&self, last_seq: u64) -> bool {
        self.floor() >= last_seq
    }

    /// Lines at or below this seq are not wanted any more.
    fn floor(&self) -> u64 {
        match self.newest.peek() {
            Some(Reverse(oldest)) if self.newest.len() == self.lines_max => oldest.0.cursor,
            _ => 0,
        }
    }

    fn add(&mut self, account: AccountId, data: &[u8]) -> Result<(), StoreError> {
        let block = Block::unpack(data)?;
        let columns = Columns::read(&block)?;
        let wanted =
            Wanted { filter: self.filter, after: self.floor(), before: self.before, count: self.lines_max };
        for line in columns.search(&wanted)? {
            self.newest.push(Reverse(BySeq(line.stored(account))));
            if self.newest.len() > self.lines_max {
                self.newest.pop();
            }
        }
        Ok(())
    }

    fn finish(self) -> Vec<StoredLine> {
        self.newest.into_sorted_vec().into_iter().map(|Reverse(BySeq(line))| line).collect()
    }
}

/// A line, ordered by its seq alone.
struct BySeq(StoredLine);

impl PartialEq for BySeq {
    fn eq(&self, other: &Self) -> bool {
        self.0.cursor == other.0.cursor
    }
}

impl Eq for BySeq {}

impl PartialOrd for BySeq {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for BySeq {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cursor.cmp(&other.0.cursor)
    }
}
