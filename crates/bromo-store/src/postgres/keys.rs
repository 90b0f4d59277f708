//! API keys in PostgreSQL.

use async_trait::async_trait;
use bromo_rules::account::{Account, Change, Key};
use bromo_rules::id::{AccountId, KeyId};
use bromo_rules::key::KeyHash;
use bromo_rules::plan::PlanTable;
use bromo_rules::time::Timestamp;

use super::rows::{KEY_COLUMNS, account_columns, key_columns};
use super::tx::Tx;
use super::{PostgresStore, accounts, rows};
use crate::error::StoreError;
use crate::keys::Keys;

#[async_trait]
impl Keys for PostgresStore {
    async fn create_key(&self, key: &Key) -> Result<Account, StoreError> {
        let key = key.clone();
        let work = async move |tx: &Tx<'_>| {
            let account = accounts::lock(tx, key.account).await?;
            if is_there(tx, &key).await? {
                return Ok(account);
            }
            insert(tx, &key).await?;
            move_version(tx, account, key.created_at).await
        };
        self.parts.others.run(work).await
    }

    async fn lookup_key(&self, hash: KeyHash) -> Result<Option<(Key, Account)>, StoreError> {
        let sql = concat!(
            "SELECT ",
            key_columns!(),
            ", ",
            account_columns!(),
            " FROM keys k CROSS JOIN LATERAL (SELECT * FROM accounts WHERE id = k.account OFFSET 0) a
              WHERE k.hash = $1"
        );
        let found = self.parts.shared.first(sql, &[&hash.0.as_slice()]).await?;
        found.map(|row| Ok((rows::key(&row)?, rows::account(&row, KEY_COLUMNS)?))).transpose()
    }

    async fn revoke_key(&self, id: KeyId, now: Timestamp) -> Result<(Key, Account), StoreError> {
        let work = async move |tx: &Tx<'_>| {
            let missing = StoreError::Missing { what: "key" };
            let account = accounts::lock(tx, lookup(tx, id).await?.ok_or(missing)?.account).await?;
            // Once more, now that nobody else can revoke it.
            let mut key = lookup(tx, id).await?.ok_or(StoreError::Missing { what: "key" })?;
            if key.revoked_at.is_some() {
                return Ok((key, account));
            }
            key.revoked_at = Some(now);
            tx.execute("UPDATE keys SET revoked_at = $2 WHERE id = $1", &[&id.to_i64(), &now.millis()])
                .await?;
            Ok((key, move_version(tx, account, now).await?))
        };
        self.parts.others.run(work).await
    }

    async fn list_keys(&self, account: AccountId) -> Result<Vec<Key>, StoreError> {
        let sql = concat!(
            "SELECT ",
            key_columns!(),
            " FROM keys k WHERE k.account = $1 ORDER BY k.created_at, k.id"
        );
        let found = self.parts.shared.query(sql, &[&account.to_i64()]).await?;
        found.iter().map(rows::key).collect()
    }
}

/// Whether this very key was written before: a call made again.
pub(super) async fn is_there(tx: &Tx<'_>, key: &Key) -> Result<bool, StoreError> {
    let other = lookup(tx, key.id).await?;
    Ok(other.is_some_and(|other| other.account == key.account && other.hash == key.hash))
}

/// Writes a key whose account is there.
pub(super) async fn insert(tx: &Tx<'_>, key: &Key) -> Result<(), StoreError> {
    let (id, hash) = (key.id.to_i64(), key.hash.0.as_slice());
    let taken = tx
        .first("SELECT FROM keys WHERE id = $1 UNION ALL SELECT FROM keys WHERE hash = $2", &[&id, &hash])
        .await?;
    if taken.is_some() {
        return Err(StoreError::Conflict { what: "key" });
    }
    tx.execute(
        "INSERT INTO keys (id, account, kind, name, hash, last4, created_at, revoked_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        &[
            &id,
            &key.account.to_i64(),
            &key.kind.word(),
            &key.name,
            &hash,
            &key.last4,
            &key.created_at.millis(),
            &key.revoked_at.map(Timestamp::millis),
        ],
    )
    .await?;
    Ok(())
}

async fn lookup(tx: &Tx<'_>, id: KeyId) -> Result<Option<Key>, StoreError> {
    let sql = concat!("SELECT ", key_columns!(), " FROM keys k WHERE k.id = $1");
    tx.first(sql, &[&id.to_i64()]).await?.as_ref().map(rows::key).transpose()
}

/// A change of keys looks at no plan, so the table's content does not matter.
async fn move_version(tx: &Tx<'_>, mut account: Account, now: Timestamp) -> Result<Account, StoreError> {
    account.apply(&Change::KeysChanged, &PlanTable::default(), now)?;
    accounts::update(tx, &account).await?;
    Ok(account)
}
