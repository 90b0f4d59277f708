//! The sealed secrets of accounts in SQLite.

use bromo_rules::id::AccountId;
use rusqlite::Connection;

use super::rows::first;
use super::{accounts, delivery_rows};
use crate::deliveries::SealedSecrets;
use crate::error::StoreError;

/// The account's secrets.
pub(super) fn lookup(
    connection: &Connection,
    account: AccountId,
) -> Result<Option<SealedSecrets>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT current, previous, previous_until FROM webhook_secrets WHERE account = ?1")?;
    Ok(first(&mut statement, [account.to_i64()], |row| delivery_rows::secrets(row, 0))?.flatten())
}

/// Replaces them; none deletes them.
pub(super) fn put(
    connection: &Connection,
    account: AccountId,
    secrets: Option<&SealedSecrets>,
) -> Result<(), StoreError> {
    accounts::get(connection, account)?;
    let Some(SealedSecrets { current, previous }) = secrets else {
        connection
            .prepare_cached("DELETE FROM webhook_secrets WHERE account = ?1")?
            .execute([account.to_i64()])?;
        return Ok(());
    };
    let (previous, until) = previous.as_ref().map(|(previous, until)| (previous, until.millis())).unzip();
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO webhook_secrets (account, current, previous, previous_until)
             VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute((account.to_i64(), current, previous, until))?;
    Ok(())
}
