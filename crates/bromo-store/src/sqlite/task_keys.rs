//! The table of idempotency keys, whose missing part is in memory: see `keys_recent`.
//!
//! A key is found by 64 bits and then compared. A text index of random keys would cost more than all else that a submit
//! writes (ceilings: +57 %).

use bromo_rules::id::AccountId;
use rusqlite::Connection;
use sha2::{Digest, Sha256};

use super::keys_recent::{Sweep, Turn};
use crate::error::StoreError;
use crate::tasks::TaskSeq;

/// The number under which an account's key is found. Not a quick hash: customers choose keys, and none may choose many
/// that fall together.
pub(super) fn hash(account: AccountId, key: &str) -> i64 {
    let digest = Sha256::new().chain_update(account.to_i64().to_be_bytes()).chain_update(key).finalize();
    digest.first_chunk().map_or(0, |bytes| i64::from_be_bytes(*bytes))
}

/// The task that has this key; `recent` are those that memory knows.
pub(super) fn lookup(
    connection: &Connection,
    account: AccountId,
    key: &str,
    hash: i64,
    recent: &[TaskSeq],
) -> Result<Option<TaskSeq>, StoreError> {
    let mut candidates = recent.to_vec();
    let mut statement = connection.prepare_cached("SELECT seq FROM task_keys WHERE key_hash = ?1")?;
    let mut rows = statement.query([hash])?;
    while let Some(row) = rows.next()? {
        candidates.push(row.get(0)?);
    }
    for seq in candidates {
        let mut statement = connection.prepare_cached(
            "SELECT 1 FROM tasks t JOIN questions q ON q.seq = t.seq
             WHERE t.seq = ?1 AND t.account = ?2 AND q.idempotency_key = ?3",
        )?;
        if statement.exists((seq, account.to_i64(), key))? {
            return Ok(Some(seq));
        }
    }
    Ok(None)
}

/// Writes what a sweep takes along.
pub(super) fn sweep(connection: &Connection, sweep: &Sweep) -> Result<(), StoreError> {
    for ((hash, seq), turn) in &sweep.places {
        let sql = match turn {
            Turn::Add => "INSERT OR IGNORE INTO task_keys (key_hash, seq) VALUES (?1, ?2)",
            Turn::Remove => "DELETE FROM task_keys WHERE key_hash = ?1 AND seq = ?2",
        };
        connection.prepare_cached(sql)?.execute((hash, seq))?;
    }
    if let Some(keys_from) = sweep.keys_from {
        connection.prepare_cached("UPDATE state SET keys_from = ?1")?.execute([keys_from])?;
    }
    Ok(())
}
