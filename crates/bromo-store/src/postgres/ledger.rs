//! The ledger in PostgreSQL.

use async_trait::async_trait;
use bromo_rules::account::Entry;
use bromo_rules::id::AccountId;

use super::PostgresStore;
use super::charge::Paying;
use super::payers::{Cause, Entries};
use super::rows::{self, column};
use super::tx::Tx;
use crate::error::StoreError;
use crate::ledger::{Charge, Charged, Ledger};

#[async_trait]
impl Ledger for PostgresStore {
    async fn charge(&self, charge: Charge) -> Result<Charged, StoreError> {
        self.parts.charges.ask_twice(|closely| Paying { charge, closely }).await
    }

    async fn list_entries(
        &self,
        account: AccountId,
        after_seq: u64,
        count: u32,
    ) -> Result<Vec<Entry>, StoreError> {
        let sql = "SELECT account, seq, kind, amount, balance, coalesce(request, task), at
                   FROM ledger WHERE account = $1 AND seq > $2 ORDER BY seq LIMIT $3";
        let (account, after, count) = (account.to_i64(), column(after_seq), i64::from(count));
        let found = self.parts.shared.query(sql, &[&account, &after, &count]).await?;
        found.iter().map(rows::entry).collect()
    }
}

/// Writes one entry of a change.
pub(super) async fn insert(tx: &Tx<'_>, entry: &Entry) -> Result<(), StoreError> {
    let mut entries = Entries::default();
    entries.push(entry, Cause::Request);
    tx.read([entries.call()]).await?;
    Ok(())
}
