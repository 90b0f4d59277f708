//! Appending a batch: one block an account, copied in, and the run that it belongs to.
//!
//! Nodes append one after the other: whoever gives seqs holds a lock until it has committed. So a reader that has seen
//! a seq has seen all below it, and its cursor misses nothing.

use std::time::Duration;

use bromo_rules::log::LogLine;
use tokio_postgres::types::{ToSql, Type};

use super::{APPEND_LOCK, LOCK, day, day_begins, make_day};
use crate::error::StoreError;
use crate::logs::LogGap;
use crate::logs::cells::millis;
use crate::logs::encode::Packed;
use crate::logs::pack::pack;
use crate::postgres::link::{Rows, call};
use crate::postgres::rows::{self, column};
use crate::postgres::tx::Tx;

/// A run of this many lines grows no more.
const RUN_LINES_ENOUGH: i64 = 16_384;
/// A run spans no more than this, so that a quiet log can be trimmed by age too.
const RUN_SPAN_MAX: Duration = Duration::from_secs(15 * 60);
/// What a block takes beside its data: its row and its two index entries.
const BLOCK_BYTES: usize = 140;

const COPY: &str = "COPY blocks (last_seq, first_seq, account, first_at, last_at, lines, data)
    FROM STDIN (FORMAT binary)";
const COLUMNS: [Type; 7] =
    [Type::INT8, Type::INT8, Type::INT8, Type::INT8, Type::INT8, Type::INT4, Type::BYTEA];

/// Writes lines and gap; says how many lines wait to be counted.
pub(super) async fn append(tx: &Tx<'_>, lines: &[LogLine], gap: Option<LogGap>) -> Result<i64, StoreError> {
    let [_, appended, youngest, now] = tx
        .read([
            call(LOCK, &[&APPEND_LOCK]),
            call("SELECT a.last_seq, a.lines, a.lines - r.lines FROM appended a CROSS JOIN rolled r", &[]),
            call(
                "SELECT first_seq, last_seq, first_at, last_at, lines, bytes FROM runs
                 ORDER BY first_seq DESC LIMIT 1",
                &[],
            ),
            call("SELECT floor(extract(epoch FROM clock_timestamp()) / 86400)::bigint", &[]),
        ])
        .await?;
    if let Some(gap) = gap {
        let sql = "INSERT INTO gaps (first_at, last_at, lines) VALUES ($1, $2, $3)";
        tx.execute(sql, &[&gap.from.millis(), &gap.until.millis(), &column(gap.lines)]).await?;
    }
    let state = first(&appended)?;
    let (last_seq, ever, waiting): (i64, i64, i64) =
        (rows::get(state, 0)?, rows::get(state, 1)?, rows::get(state, 2)?);
    if lines.is_empty() {
        return Ok(waiting);
    }
    let first_seq = first_free_seq(tx, last_seq, rows::get(first(&now)?, 0)?).await?;
    let blocks = pack(lines, first_seq.unsigned_abs());
    copy(tx, &blocks).await?;
    let batch = Run::of(&blocks);
    let before = youngest.rows.first().map(Run::read).transpose()?;
    let grown = before.and_then(|run| run.with(&batch));
    let sql = if grown.is_some() {
        "UPDATE runs SET last_seq = $2, first_at = $3, last_at = $4, lines = $5, bytes = $6 WHERE first_seq = $1"
    } else {
        "INSERT INTO runs (first_seq, last_seq, first_at, last_at, lines, bytes) VALUES ($1, $2, $3, $4, $5, $6)"
    };
    let run = grown.unwrap_or(batch);
    tx.commit([
        call(sql, &[&run.first_seq, &run.last_seq, &run.first_at, &run.last_at, &run.lines, &run.bytes]),
        call("UPDATE appended SET last_seq = $1, lines = $2", &[&batch.last_seq, &(ever + batch.lines)]),
    ])
    .await?;
    Ok(waiting + batch.lines)
}

fn first(rows: &Rows) -> Result<&tokio_postgres::Row, StoreError> {
    rows.rows.first().ok_or_else(|| StoreError::Corrupt { reason: "a table of one row is empty".to_owned() })
}

/// The seq of the batch's first line, `today` in days since 1970; makes the day's partition, if it is the first of its day. A clock that steps back
/// goes on with the day of the last seq.
async fn first_free_seq(tx: &Tx<'_>, last_seq: i64, today: i64) -> Result<i64, StoreError> {
    if day(last_seq) >= today {
        return Ok(last_seq + 1);
    }
    tx.batch(&make_day(today)).await?;
    Ok(day_begins(today) + 1)
}

async fn copy(tx: &Tx<'_>, blocks: &[(bromo_rules::id::AccountId, Packed)]) -> Result<(), StoreError> {
    let mut copy = tx.copy(COPY, &COLUMNS).await?;
    for (account, block) in blocks {
        let row: [&(dyn ToSql + Sync); 7] = [
            &column(block.last_seq),
            &column(block.first_seq),
            &account.to_i64(),
            &block.first_at,
            &block.last_at,
            &i32::try_from(block.lines).unwrap_or(i32::MAX),
            &block.data,
        ];
        copy.write(&row).await?;
    }
    copy.finish().await
}

/// A stretch of seqs.
#[derive(Debug, Clone, Copy)]
struct Run {
    first_seq: i64,
    last_seq: i64,
    first_at: i64,
    last_at: i64,
    lines: i64,
    bytes: i64,
}

impl Run {
    fn of(blocks: &[(bromo_rules::id::AccountId, Packed)]) -> Self {
        let blocks = || blocks.iter().map(|(_, block)| block);
        Self {
            first_seq: column(blocks().map(|block| block.first_seq).min().unwrap_or(0)),
            last_seq: column(blocks().map(|block| block.last_seq).max().unwrap_or(0)),
            first_at: blocks().map(|block| block.first_at).min().unwrap_or(0),
            last_at: blocks().map(|block| block.last_at).max().unwrap_or(0),
            lines: blocks().map(|block| column(block.lines as u64)).sum(),
            bytes: blocks().map(|block| column((block.data.len() + BLOCK_BYTES) as u64)).sum(),
        }
    }

    fn read(row: &tokio_postgres::Row) -> Result<Self, StoreError> {
        Ok(Self {
            first_seq: rows::get(row, 0)?,
            last_seq: rows::get(row, 1)?,
            first_at: rows::get(row, 2)?,
            last_at: rows::get(row, 3)?,
            lines: rows::get(row, 4)?,
            bytes: rows::get(row, 5)?,
        })
    }

    /// Both as one, if they may be: of one day, and neither many lines nor a long time.
    fn with(self, younger: &Self) -> Option<Self> {
        let joined = Self {
            first_seq: self.first_seq,
            last_seq: younger.last_seq,
            first_at: self.first_at.min(younger.first_at),
            last_at: self.last_at.max(younger.last_at),
            lines: self.lines + younger.lines,
            bytes: self.bytes + younger.bytes,
        };
        let fits = day(self.first_seq) == day(younger.last_seq)
            && self.lines < RUN_LINES_ENOUGH
            && joined.last_at.saturating_sub(joined.first_at) <= millis(RUN_SPAN_MAX);
        fits.then_some(joined)
    }
}
