//! The ledger in PostgreSQL.

use std::collections::HashMap;

use async_trait::async_trait;
use bromo_rules::account::Entry;
use bromo_rules::id::{AccountId, RequestId};

use super::PostgresStore;
use super::lane::{Answers, Job};
use super::link::{Rows, call};
use super::payers::{self, Cause, Entries, Payers};
use super::rows::{self, column};
use super::tx::Tx;
use crate::error::StoreError;
use crate::ledger::{Charge, Charged, Ledger};

/// After the accounts are locked: a request is always its account's, so nobody else writes it meanwhile. If it is
/// another account's all the same, the index refuses it, and the second try finds it.
const PAID_BEFORE: &str =
    "SELECT account, balance, seq, request FROM ledger WHERE request = ANY($1) AND request IS NOT NULL";

#[async_trait]
impl Ledger for PostgresStore {
    async fn charge(&self, charge: Charge) -> Result<Charged, StoreError> {
        self.parts.charges.ask(charge).await
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

impl Job for Charge {
    type Answer = Charged;
    const GUARDED: bool = true;

    async fn run(tx: &Tx<'_>, jobs: &[Self]) -> Result<Answers<Charged>, StoreError> {
        let mut accounts: Vec<i64> = jobs.iter().map(|charge| charge.account.to_i64()).collect();
        accounts.sort_unstable();
        accounts.dedup();
        let requests: Vec<_> = jobs.iter().map(|charge| rows::uuid(&charge.request)).collect();
        let [locked, before] = tx.read([payers::lock(&accounts), call(PAID_BEFORE, &[&requests])]).await?;
        let mut payers = Payers::new(&locked)?;
        let mut paid = paid_before(&before)?;
        let answers = jobs.iter().map(|charge| pay(&mut payers, &mut paid, charge)).collect();
        if let Some(columns) = payers.into_columns() {
            tx.commit(columns.calls()).await?;
        }
        Ok(answers)
    }
}

type Paid = HashMap<RequestId, (AccountId, Charged)>;

fn pay(payers: &mut Payers, paid: &mut Paid, charge: &Charge) -> Result<Charged, StoreError> {
    match paid.get(&charge.request) {
        Some((account, charged)) if *account == charge.account => return Ok(*charged),
        Some(_) => return Err(StoreError::Conflict { what: "request" }),
        None => {}
    }
    let charged = payers.pay(charge, Cause::Request)?;
    if matches!(charged, Charged::Paid { .. }) {
        paid.insert(charge.request, (charge.account, charged));
    }
    Ok(charged)
}

fn paid_before(found: &Rows) -> Result<Paid, StoreError> {
    let mut paid = Paid::with_capacity(found.rows.len());
    for row in &found.rows {
        let request = RequestId::from_bytes(rows::get::<uuid::Uuid>(row, 3)?.into_bytes());
        let charged = Charged::Paid { balance: rows::credits(row, 1)?, ledger_seq: rows::count(row, 2)? };
        paid.insert(request, (AccountId::from_i64(rows::get(row, 0)?), charged));
    }
    Ok(paid)
}

/// Writes one entry of a change.
pub(super) async fn insert(tx: &Tx<'_>, entry: &Entry) -> Result<(), StoreError> {
    let mut entries = Entries::default();
    entries.push(entry, Cause::Request);
    tx.read([entries.call()]).await?;
    Ok(())
}
