//! Memory as a dead process left the disk.

use bromo_rules::credit::Price;
use rusqlite::Connection;

use super::memory::{Counter, Memory, Numbers};
use super::queue::{Entry, Queue};
use super::{deliveries, task_rows};
use crate::error::StoreError;
use crate::tasks::TaskSeq;

/// Claims of one opening have numbers of their own.
const FENCE_BITS: u32 = 32;

/// Puts tasks back that a dead process left running, then reads what waits.
pub(super) fn load(connection: &Connection) -> Result<Memory, StoreError> {
    // Cut attempts do not count.
    let recovered = connection.execute(
        "UPDATE tasks SET state = 0, attempts = attempts - 1, cuts = cuts + 1, not_before = NULL
         WHERE expires_at IS NULL AND state = 1",
        [],
    )?;
    let opening: i64 =
        connection
            .query_row("UPDATE openings SET count = count + 1 RETURNING count", [], |row| row.get(0))?;
    let last = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let numbers = Numbers {
        seqs: Counter::after(last("SELECT coalesce(max(seq), 0) FROM tasks")?),
        end_seqs: Counter::after(last("SELECT coalesce(max(end_seq), 0) FROM results")?),
        fences: Counter::after(opening << FENCE_BITS),
    };
    Ok(Memory::new(waiting(connection)?, deliveries::pending(connection)?, numbers, recovered as u64))
}

fn waiting(connection: &Connection) -> Result<Queue, StoreError> {
    let mut statement = connection.prepare(
        "SELECT seq, account, endpoint, kind, priority, price, clusters_max, not_before
         FROM tasks WHERE expires_at IS NULL",
    )?;
    let mut queue = Queue::default();
    for row in statement.query_and_then([], |row| {
        let price: Price = task_rows::price(row, 5)?;
        let entry = Entry {
            account: task_rows::account(row, 1)?,
            hold: price.hold(),
            endpoint: task_rows::endpoint(row, 2)?,
            priority: task_rows::priority(row, 4)?,
            kind: task_rows::kind(row, 3)?,
        };
        let seq: TaskSeq = row.get(0)?;
        Ok::<_, StoreError>((seq, entry, task_rows::instant(row, 7)?))
    })? {
        let (seq, entry, not_before) = row?;
        queue.push(seq, entry, not_before);
    }
    Ok(queue)
}
