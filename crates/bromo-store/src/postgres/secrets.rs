//! The sealed secrets of accounts in PostgreSQL.

use bromo_rules::id::AccountId;

use super::accounts;
use super::tx::Tx;
use crate::deliveries::SealedSecrets;
use crate::error::StoreError;

/// Replaces them; none deletes them.
pub(super) async fn put(
    tx: &Tx<'_>,
    account: AccountId,
    secrets: Option<&SealedSecrets>,
) -> Result<(), StoreError> {
    accounts::lock(tx, account).await?;
    let account = account.to_i64();
    let Some(SealedSecrets { current, previous }) = secrets else {
        tx.execute("DELETE FROM webhook_secrets WHERE account = $1", &[&account]).await?;
        return Ok(());
    };
    let (previous, until) = previous.as_ref().map(|(previous, until)| (previous, until.millis())).unzip();
    tx.execute(
        "INSERT INTO webhook_secrets (account, current, previous, previous_until) VALUES ($1, $2, $3, $4)
         ON CONFLICT (account) DO UPDATE
         SET current = excluded.current, previous = excluded.previous, previous_until = excluded.previous_until",
        &[&account, current, &previous, &until],
    )
    .await?;
    Ok(())
}
