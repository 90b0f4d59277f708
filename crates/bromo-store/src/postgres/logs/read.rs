//! Reading the log backwards, a few blocks a statement.
//!
//! Blocks never change and come in the order of their seqs, so statements need not see the same instant: what is appended
//! meanwhile lies above what is read.

use bromo_rules::id::AccountId;

use super::super::shared::Shared;
use crate::error::StoreError;
use crate::logs::line::request_millis;
use crate::logs::page::{Bounds, Page};
use crate::logs::{LogFilter, LogPage};
use crate::postgres::rows::{self, column, count};

/// Blocks of the first statement; each has twice as many as the one before …
const BLOCKS_MIN: i64 = 8;
/// … up to this.
const BLOCKS_MAX: i64 = 64;

/// The newest lines that match, newest first.
pub(super) async fn read(
    shared: &Shared,
    filter: &LogFilter,
    bounds: &Bounds,
) -> Result<LogPage, StoreError> {
    if bounds.lines_max == 0 {
        return Ok(LogPage::default());
    }
    let mut page = Page::new(filter, bounds);
    let Some(limits) = Limits::of(shared, filter, bounds.before).await? else { return Ok(page.finish()) };
    let (mut last_seq, mut blocks) = (limits.last_seq, BLOCKS_MIN);
    loop {
        let found = limits.blocks(shared, filter.account, last_seq, blocks).await?;
        for row in &found {
            if page.is_done(count(row, 0)?, rows::get(row, 1)?) {
                return Ok(page.finish());
            }
            page.add(AccountId::from_i64(rows::get(row, 2)?), rows::get(row, 3)?)?;
        }
        match found.last() {
            Some(row) if column(found.len() as u64) == blocks => last_seq = rows::get::<i64>(row, 0)? - 1,
            _ => return Ok(page.finish()),
        }
        blocks = (blocks * 2).min(BLOCKS_MAX);
    }
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
    /// None if nothing can match.
    async fn of(
        shared: &Shared,
        filter: &LogFilter,
        before: Option<u64>,
    ) -> Result<Option<Self>, StoreError> {
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
        // A block that the cursor cuts ends within the run that the cursor cuts.
        let sql = "SELECT min(first_seq), max(last_seq) FROM runs
                   WHERE first_at < $1 AND last_at >= $2 AND last_seq > $3 AND first_seq < $4";
        let params = (limits.until, limits.from, limits.after, limits.before);
        let found = shared.first(sql, &[&params.0, &params.1, &params.2, &params.3]).await?;
        let Some(row) = found else { return Ok(None) };
        let (Some(first), Some(last)) = (rows::get::<Option<i64>>(&row, 0)?, rows::get(&row, 1)?) else {
            return Ok(None);
        };
        limits.after = limits.after.max(first - 1);
        limits.last_seq = last;
        Ok(Some(limits))
    }

    /// So many blocks that end here or before, the newest first: last seq, last instant, account, data.
    async fn blocks(
        &self,
        shared: &Shared,
        account: Option<AccountId>,
        last_seq: i64,
        count: i64,
    ) -> Result<Vec<tokio_postgres::Row>, StoreError> {
        let Self { after, before, until, from, .. } = self;
        match account {
            Some(account) => {
                let sql = "SELECT last_seq, last_at, account, data FROM blocks
                           WHERE account = $7 AND last_seq <= $1 AND last_seq > $2 AND first_seq < $3
                               AND first_at < $4 AND last_at >= $5
                           ORDER BY last_seq DESC LIMIT $6";
                let account = account.to_i64();
                shared.query(sql, &[&last_seq, after, before, until, from, &count, &account]).await
            }
            None => {
                let sql = "SELECT last_seq, last_at, account, data FROM blocks
                           WHERE last_seq <= $1 AND last_seq > $2 AND first_seq < $3
                               AND first_at < $4 AND last_at >= $5
                           ORDER BY last_seq DESC LIMIT $6";
                shared.query(sql, &[&last_seq, after, before, until, from, &count]).await
            }
        }
    }
}
