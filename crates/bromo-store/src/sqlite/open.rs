//! Memory as a dead process left the disk.

use bromo_rules::credit::Price;
use rusqlite::{Connection, Row, TransactionBehavior};

use super::keys_recent::Keys;
use super::memory::{Counter, Memory, Numbers};
use super::queue::{Entry, Queue};
use super::{deliveries, task_blocks, task_rows};
use crate::error::StoreError;
use crate::tasks::TaskSeq;

/// Claims of one opening have numbers of their own.
const FENCE_BITS: u32 = 32;

/// All are as wide as what stands in their place before a task ends: see the schema.
const BEFORE_END_SEQS: i64 = 1 << 40;

/// Puts tasks back that a dead process left running, then reads what waits.
pub(super) fn load(connection: &mut Connection) -> Result<Memory, StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Cut attempts do not count, and may be made again at once.
    transaction.execute(
        "UPDATE tasks SET cuts = cuts + 1, not_before = NULL,
             started_at = (SELECT started_at FROM claims WHERE claims.seq = tasks.seq)
         WHERE seq IN (SELECT seq FROM claims)",
        [],
    )?;
    let recovered = transaction.execute("DELETE FROM claims", [])?;
    let opening: i64 =
        transaction
            .query_row("UPDATE state SET openings = openings + 1 RETURNING openings", [], |row| row.get(0))?;
    task_blocks::leave_old(&transaction)?;
    transaction.commit()?;
    let last =
        |sql: &str| connection.query_row(sql, [], |row| Ok(row.get::<_, Option<i64>>(0)?.unwrap_or(0)));
    let numbers = Numbers {
        seqs: Counter::after(last("SELECT max(seq) FROM tasks")?),
        end_seqs: Counter::after(last("SELECT max(end_seq) FROM results")?.max(BEFORE_END_SEQS)),
        fences: Counter::after(opening << FENCE_BITS),
    };
    let outbox = deliveries::pending(connection)?;
    Ok(Memory::new(waiting(connection)?, outbox, keys(connection)?, numbers, recovered as u64))
}

/// All that has not ended.
pub(super) fn waiting(connection: &Connection) -> Result<Queue, StoreError> {
    let mut blocks = connection.prepare("SELECT block FROM open_blocks ORDER BY block")?;
    let blocks: Vec<i64> = blocks.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let mut statement = connection.prepare(
        "SELECT seq, account, endpoint, kind, priority, price, clusters_max, not_before
         FROM tasks WHERE seq BETWEEN ?1 AND ?2 AND end_seq < 0",
    )?;
    let mut queue = Queue::default();
    for block in blocks {
        queue.open(block);
        for row in statement.query_and_then(task_blocks::seqs(block), entry)? {
            let (seq, entry, not_before) = row?;
            queue.accept(seq, entry, not_before);
        }
    }
    Ok(queue)
}

fn entry(row: &Row<'_>) -> Result<(TaskSeq, Entry, Option<bromo_rules::time::Timestamp>), StoreError> {
    let price: Price = task_rows::price(row, 5)?;
    let entry = Entry {
        account: task_rows::account(row, 1)?,
        hold: price.hold(),
        endpoint: task_rows::endpoint(row, 2)?,
        priority: task_rows::priority(row, 4)?,
        kind: task_rows::kind(row, 3)?,
    };
    Ok((row.get(0)?, entry, task_rows::instant(row, 7)?))
}

/// Keys that their table lacks.
fn keys(connection: &Connection) -> Result<Keys, StoreError> {
    let from = connection.query_row("SELECT keys_from FROM state", [], |row| row.get(0))?;
    let mut keys = Keys::new(from);
    let mut statement =
        connection.prepare("SELECT key_hash, seq FROM tasks WHERE seq >= ?1 AND key_hash IS NOT NULL")?;
    let mut rows = statement.query([from])?;
    while let Some(row) = rows.next()? {
        keys.add(row.get(0)?, row.get(1)?);
    }
    Ok(keys)
}
