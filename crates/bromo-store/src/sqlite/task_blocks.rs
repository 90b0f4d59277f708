//! Where tasks lie: coarse indexes, of each account's tasks for lists, and of those that have not ended for when the
//! store is opened.
//!
//! An index with an entry a task would grow at as many places as there are accounts, and each place is a page of WAL a
//! commit. This one has an entry for each stretch of 4096 numbers that has a task of the account.

use std::collections::BTreeSet;

use bromo_rules::id::AccountId;
use rusqlite::Connection;

use crate::error::StoreError;
use crate::tasks::TaskSeq;

/// Numbers in a block: 2 to the power of this. Tests want to see many.
const BLOCK_BITS: u32 = if cfg!(test) { 3 } else { 12 };
/// Numbers in a block.
pub(super) const BLOCK_SEQS: i64 = 1 << BLOCK_BITS;

/// The block of a task.
pub(super) const fn block(seq: TaskSeq) -> i64 {
    seq >> BLOCK_BITS
}

/// The first and the last number of a block.
pub(super) const fn seqs(block: i64) -> (TaskSeq, TaskSeq) {
    let first = block << BLOCK_BITS;
    (first, first + BLOCK_SEQS - 1)
}

/// The account has a task in this block.
pub(super) fn enter(connection: &Connection, account: AccountId, block: i64) -> Result<(), StoreError> {
    connection
        .prepare_cached("INSERT OR IGNORE INTO task_blocks (account, block) VALUES (?1, ?2)")?
        .execute((account.to_i64(), block))?;
    Ok(())
}

/// The block has tasks that have not ended.
pub(super) fn open(connection: &Connection, block: i64) -> Result<(), StoreError> {
    connection.prepare_cached("INSERT OR IGNORE INTO open_blocks (block) VALUES (?1)")?.execute([block])?;
    Ok(())
}

/// All tasks of the block have ended, and it gets no new ones.
pub(super) fn close(connection: &Connection, block: i64) -> Result<(), StoreError> {
    connection.prepare_cached("DELETE FROM open_blocks WHERE block = ?1")?.execute([block])?;
    Ok(())
}

/// Takes those out of `accounts` that have a task in this block. One look at the block, whatever their number.
pub(super) fn keep_present(
    connection: &Connection,
    block: i64,
    accounts: &mut BTreeSet<i64>,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached("SELECT account FROM tasks WHERE seq BETWEEN ?1 AND ?2")?;
    let mut rows = statement.query(seqs(block))?;
    while !accounts.is_empty()
        && let Some(row) = rows.next()?
    {
        accounts.remove(&row.get(0)?);
    }
    Ok(())
}

/// Blocks before the oldest task that there is are left by all: of a block that was being filled when an account's last
/// task in it was deleted, nobody took it out.
pub(super) fn leave_old(connection: &Connection) -> Result<(), StoreError> {
    let oldest: Option<TaskSeq> = connection.query_row("SELECT min(seq) FROM tasks", [], |row| row.get(0))?;
    let first = oldest.map_or(i64::MAX, block);
    connection.execute("DELETE FROM task_blocks WHERE block < ?1", [first])?;
    Ok(())
}

/// The account has no task in this block any more.
pub(super) fn leave(connection: &Connection, account: i64, block: i64) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM task_blocks WHERE account = ?1 AND block = ?2")?
        .execute((account, block))?;
    Ok(())
}
