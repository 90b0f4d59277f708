//! Idempotency keys: found by 64 bits, then compared.
//!
//! A text index of random keys would cost more than all else that a submit writes (ceilings: +57 %).

use bromo_rules::id::AccountId;
use rusqlite::Connection;
use sha2::{Digest, Sha256};

use super::rows::first;
use crate::error::StoreError;
use crate::tasks::TaskSeq;

/// The number under which an account's key is found. Not a quick hash: customers choose keys, and none may choose many
/// that fall together.
pub(super) fn hash(account: AccountId, key: &str) -> i64 {
    let digest = Sha256::new().chain_update(account.to_i64().to_be_bytes()).chain_update(key).finalize();
    digest.first_chunk().map_or(0, |bytes| i64::from_be_bytes(*bytes))
}

/// The task that has this key.
pub(super) fn lookup(
    connection: &Connection,
    account: AccountId,
    key: &str,
    hash: i64,
) -> Result<Option<TaskSeq>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT q.seq FROM questions q JOIN tasks t ON t.seq = q.seq
         WHERE q.key_hash = ?1 AND q.idempotency_key = ?2 AND t.account = ?3",
    )?;
    first(&mut statement, (hash, key, account.to_i64()), |row| Ok(row.get(0)?))
}
