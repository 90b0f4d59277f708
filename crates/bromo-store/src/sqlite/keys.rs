//! API keys in SQLite.

use async_trait::async_trait;
use bromo_rules::account::{Account, Change, Key};
use bromo_rules::id::{AccountId, KeyId};
use bromo_rules::key::KeyHash;
use bromo_rules::plan::PlanTable;
use bromo_rules::time::Timestamp;
use rusqlite::{Connection, params};

use super::rows::{KEY_COLUMNS, account_columns, first, key_columns};
use super::{SqliteStore, accounts, rows};
use crate::error::StoreError;
use crate::keys::Keys;

#[async_trait]
impl Keys for SqliteStore {
    async fn create_key(&self, key: &Key) -> Result<Account, StoreError> {
        let key = key.clone();
        self.parts
            .writer
            .run(move |connection| {
                let account = accounts::get(connection, key.account)?;
                if is_there(connection, &key)? {
                    return Ok(account);
                }
                insert(connection, &key)?;
                move_version(connection, account, key.created_at)
            })
            .await
    }

    async fn lookup_key(&self, hash: KeyHash) -> Result<Option<(Key, Account)>, StoreError> {
        self.parts
            .readers
            .run(move |connection| {
                let mut statement = connection.prepare_cached(concat!(
                    "SELECT ",
                    key_columns!(),
                    ", ",
                    account_columns!(),
                    " FROM keys k JOIN accounts a ON a.id = k.account WHERE k.hash = ?1"
                ))?;
                first(&mut statement, [hash.0], |row| Ok((rows::key(row)?, rows::account(row, KEY_COLUMNS)?)))
            })
            .await
    }

    async fn revoke_key(&self, id: KeyId, now: Timestamp) -> Result<(Key, Account), StoreError> {
        self.parts
            .writer
            .run(move |connection| {
                let mut key = lookup(connection, id)?.ok_or(StoreError::Missing { what: "key" })?;
                let account = accounts::get(connection, key.account)?;
                if key.revoked_at.is_some() {
                    return Ok((key, account));
                }
                key.revoked_at = Some(now);
                connection
                    .prepare_cached("UPDATE keys SET revoked_at = ?2 WHERE id = ?1")?
                    .execute((id.to_i64(), now.millis()))?;
                Ok((key, move_version(connection, account, now)?))
            })
            .await
    }

    async fn list_keys(&self, account: AccountId) -> Result<Vec<Key>, StoreError> {
        self.parts
            .readers
            .run(move |connection| {
                let mut statement = connection.prepare_cached(concat!(
                    "SELECT ",
                    key_columns!(),
                    " FROM keys k WHERE k.account = ?1 ORDER BY k.created_at, k.id"
                ))?;
                statement.query_and_then([account.to_i64()], rows::key)?.collect()
            })
            .await
    }
}

/// Whether this very key was written before: a call made again.
pub(super) fn is_there(connection: &Connection, key: &Key) -> Result<bool, StoreError> {
    let other = lookup(connection, key.id)?;
    Ok(other.is_some_and(|other| other.account == key.account && other.hash == key.hash))
}

/// Writes a key whose account is there.
pub(super) fn insert(connection: &Connection, key: &Key) -> Result<(), StoreError> {
    let taken = connection
        .prepare_cached("SELECT 1 FROM keys WHERE id = ?1 OR hash = ?2")?
        .exists((key.id.to_i64(), key.hash.0))?;
    if taken {
        return Err(StoreError::Conflict { what: "key" });
    }
    connection
        .prepare_cached(
            "INSERT INTO keys (id, account, kind, name, hash, last4, created_at, revoked_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            key.id.to_i64(),
            key.account.to_i64(),
            key.kind.word(),
            key.name,
            key.hash.0,
            key.last4,
            key.created_at.millis(),
            key.revoked_at.map(Timestamp::millis),
        ])?;
    Ok(())
}

fn lookup(connection: &Connection, id: KeyId) -> Result<Option<Key>, StoreError> {
    let mut statement =
        connection.prepare_cached(concat!("SELECT ", key_columns!(), " FROM keys k WHERE k.id = ?1"))?;
    first(&mut statement, [id.to_i64()], rows::key)
}

/// A change of keys looks at no plan, so the table's content does not matter.
fn move_version(
    connection: &Connection,
    mut account: Account,
    now: Timestamp,
) -> Result<Account, StoreError> {
    account.apply(&Change::KeysChanged, &PlanTable::default(), now)?;
    accounts::update(connection, &account)?;
    Ok(account)
}
