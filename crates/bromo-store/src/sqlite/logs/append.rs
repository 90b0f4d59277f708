//! Appending a batch: its lines become a run, apart by account, and small runs are merged.
//!
//! A run is cheap to write and many small ones are dear to read, so neighbours of about the same size are
//! merged, [`MERGED_RUNS`] at a time, and again one size up. A line is rewritten a few times in its life
//! however the batches came, and what was never merged is a few dozen runs at the young end.

use std::ops::RangeInclusive;
use std::time::Duration;

use bromo_rules::id::AccountId;
use bromo_rules::log::LogLine;
use rusqlite::{Connection, params};

use super::roll::roll_if_due;
use crate::error::StoreError;
use crate::logs::LogGap;
use crate::logs::decode::{Block, Columns};
use crate::logs::encode::{Builder, Packed};
use crate::logs::pack::{pack, put};
use crate::sqlite::rows::column;

/// Neighbours of one size that are merged together.
const MERGED_RUNS: usize = 8;
/// A run of this many lines is left as it is.
const RUN_LINES_ENOUGH: u64 = 32_768;
/// A run spans no more than this by merging, so that a quiet log can be trimmed by age too.
const RUN_SPAN_MAX: Duration = Duration::from_secs(6 * 3600);
/// A block of this many lines, half of what one may have, is not rewritten when its run is merged.
const BLOCK_LINES_ENOUGH: u32 = 2048;

/// Writes lines and gap; the caller's savepoint makes it all or nothing.
pub(super) fn append(
    connection: &Connection,
    lines: &[LogLine],
    gap: Option<LogGap>,
) -> Result<(), StoreError> {
    if let Some(gap) = gap {
        connection
            .prepare_cached("INSERT INTO gaps (first_at, last_at, lines) VALUES (?1, ?2, ?3)")?
            .execute((gap.from.millis(), gap.until.millis(), column(gap.lines)))?;
    }
    if lines.is_empty() {
        return Ok(());
    }
    let blocks = pack(lines, first_free_seq(connection, lines.len())?);
    for (account, block) in &blocks {
        insert_block(connection, *account, block)?;
    }
    let run = Run {
        first_seq: blocks.iter().map(|(_, block)| block.first_seq).min().unwrap_or(0),
        last_seq: blocks.iter().map(|(_, block)| block.last_seq).max().unwrap_or(0),
        first_at: blocks.iter().map(|(_, block)| block.first_at).min().unwrap_or(0),
        last_at: blocks.iter().map(|(_, block)| block.last_at).max().unwrap_or(0),
        lines: lines.len() as u64,
    };
    run.insert(connection)?;
    roll_if_due(connection, run.last_seq)?;
    while let Some(runs) = due(connection)? {
        merge(connection, &runs)?;
    }
    Ok(())
}

/// Counts the lines; answers with the seq of the first.
fn first_free_seq(connection: &Connection, lines: usize) -> Result<u64, StoreError> {
    let last: i64 = connection
        .prepare_cached("UPDATE appended SET lines = lines + ?1 RETURNING lines")?
        .query_row([column(lines as u64)], |row| row.get(0))?;
    Ok(last.unsigned_abs() - lines as u64 + 1)
}

fn insert_block(connection: &Connection, account: AccountId, block: &Packed) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO blocks (last_seq, first_seq, account, first_at, last_at, lines, data)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            column(block.last_seq),
            column(block.first_seq),
            account.to_i64(),
            block.first_at,
            block.last_at,
            column(block.lines as u64),
            block.data,
        ])?;
    Ok(())
}

#[derive(Debug, Clone, Copy)]
struct Run {
    first_seq: u64,
    last_seq: u64,
    first_at: i64,
    last_at: i64,
    lines: u64,
}

impl Run {
    fn insert(&self, connection: &Connection) -> Result<(), StoreError> {
        connection
            .prepare_cached(
                "INSERT INTO runs (last_seq, first_seq, first_at, last_at, lines) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute((
                column(self.last_seq),
                column(self.first_seq),
                self.first_at,
                self.last_at,
                column(self.lines),
            ))?;
        Ok(())
    }

    /// Runs of one size have 8 times as many lines as those of the size below.
    const fn size(&self) -> u32 {
        self.lines.ilog2() / MERGED_RUNS.ilog2()
    }

    fn with(self, older: Self) -> Self {
        Self {
            first_seq: older.first_seq,
            last_seq: self.last_seq,
            first_at: self.first_at.min(older.first_at),
            last_at: self.last_at.max(older.last_at),
            lines: self.lines + older.lines,
        }
    }
}

/// What is to be merged now: the run that comes of it, if the youngest runs call for one.
fn due(connection: &Connection) -> Result<Option<Run>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT last_seq, first_seq, first_at, last_at, lines FROM runs ORDER BY last_seq DESC LIMIT ?1",
    )?;
    let youngest = statement
        .query_map([column(MERGED_RUNS as u64)], |row| {
            let count = |at| row.get::<_, i64>(at).map(i64::unsigned_abs);
            Ok(Run {
                last_seq: count(0)?,
                first_seq: count(1)?,
                first_at: row.get(2)?,
                last_at: row.get(3)?,
                lines: count(4)?.max(1),
            })
        })?
        .collect::<Result<Vec<_>, _>>()?;
    let Some(size) = youngest.first().map(Run::size) else { return Ok(None) };
    let small = |run: &Run| run.size() <= size && run.lines < RUN_LINES_ENOUGH;
    if youngest.len() < MERGED_RUNS || !youngest.iter().all(small) {
        return Ok(None);
    }
    let merged = youngest.into_iter().reduce(Run::with);
    let span_max = i64::try_from(RUN_SPAN_MAX.as_millis()).unwrap_or(i64::MAX);
    Ok(merged.filter(|run| run.last_at.saturating_sub(run.first_at) <= span_max))
}

/// Makes one run of all in `run`'s stretch, account by account, so that no more than a block is in memory.
fn merge(connection: &Connection, run: &Run) -> Result<(), StoreError> {
    let stretch = column(run.first_seq)..=column(run.last_seq);
    let mut statement = connection.prepare_cached(
        "SELECT account, last_seq, lines FROM blocks WHERE last_seq BETWEEN ?1 AND ?2 ORDER BY account, last_seq",
    )?;
    let blocks = statement
        .query_map((stretch.start(), stretch.end()), |row| {
            Ok(Piece {
                account: AccountId::from_i64(row.get(0)?),
                last_seq: row.get(1)?,
                lines: row.get::<_, u32>(2)?,
            })
        })?
        .collect::<Result<Vec<_>, _>>()?;
    for of_account in blocks.chunk_by(|a, b| a.account == b.account) {
        let is_enough = |piece: &Piece| piece.lines >= BLOCK_LINES_ENOUGH;
        for small in of_account.split(is_enough).filter(|pieces| pieces.len() > 1) {
            merge_blocks(connection, small)?;
        }
    }
    delete_runs(connection, &stretch)?;
    run.insert(connection)
}

/// A block, as far as merging looks at it.
struct Piece {
    account: AccountId,
    last_seq: i64,
    lines: u32,
}

/// Packs the lines of neighbouring blocks of one account anew.
fn merge_blocks(connection: &Connection, pieces: &[Piece]) -> Result<(), StoreError> {
    let mut builder = Builder::default();
    let mut finished = Vec::new();
    for piece in pieces {
        let taken = connection.prepare_cached("SELECT data FROM blocks WHERE last_seq = ?1")?.query_row(
            [piece.last_seq],
            |row| {
                let data = row.get_ref(0)?.as_blob()?;
                Ok(take_lines(&mut builder, data, &mut finished))
            },
        )?;
        if taken.is_ok() {
            connection.prepare_cached("DELETE FROM blocks WHERE last_seq = ?1")?.execute([piece.last_seq])?;
        } else {
            // Left as it is: appending goes on, and whoever reads it is told.
            tracing::error!(last_seq = piece.last_seq, account = %piece.account, "a log block cannot be read");
        }
    }
    finished.extend(builder.finish());
    for block in &finished {
        insert_block(connection, pieces[0].account, block)?;
    }
    Ok(())
}

/// Adds a block's lines, or none of them if it is garbage.
fn take_lines(
    builder: &mut Builder,
    data: &[u8],
    finished: &mut Vec<Packed>,
) -> Result<(), crate::logs::bytes::Garbage> {
    let block = Block::unpack(data)?;
    let columns = Columns::read(&block)?;
    let lines = columns.lines().collect::<Result<Vec<_>, _>>()?;
    for line in &lines {
        put(builder, line, |block| finished.push(block));
    }
    Ok(())
}

/// Deletes the entries of runs, not their blocks.
fn delete_runs(connection: &Connection, stretch: &RangeInclusive<i64>) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM runs WHERE last_seq BETWEEN ?1 AND ?2")?
        .execute((stretch.start(), stretch.end()))?;
    Ok(())
}
