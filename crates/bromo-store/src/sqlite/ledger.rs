//! The ledger in SQLite, and the accounts that pay in one group.

use std::collections::HashMap;
use std::collections::hash_map;

use async_trait::async_trait;
use bromo_rules::account::{Account, ChangeError, Entry};
use bromo_rules::credit::Credits;
use bromo_rules::id::{AccountId, RequestId};
use rusqlite::{Connection, params};

use super::rows::{column, first};
use super::{SqliteStore, accounts, rows};
use crate::error::StoreError;
use crate::ledger::{Charge, Charged, Ledger};

#[async_trait]
impl Ledger for SqliteStore {
    async fn charge(&self, charge: Charge) -> Result<Charged, StoreError> {
        self.parts.writer.charge(charge).await
    }

    async fn list_entries(
        &self,
        account: AccountId,
        after_seq: u64,
        count: u32,
    ) -> Result<Vec<Entry>, StoreError> {
        self.parts
            .readers
            .run(move |connection| {
                let mut statement = connection.prepare_cached(
                    "SELECT account, seq, kind, amount, balance, request, at FROM ledger
                     WHERE account = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
                )?;
                let params = (account.to_i64(), column(after_seq), count);
                statement.query_and_then(params, rows::entry)?.collect()
            })
            .await
    }
}

/// An account as the group's charges leave it.
struct Payer {
    account: Account,
    changed: bool,
}

/// The accounts that pay in one group: one read and one update each.
#[derive(Default)]
pub(super) struct Payers(HashMap<AccountId, Option<Payer>>);

impl Payers {
    /// Takes the price from the account as it stands now and writes the entry.
    pub(super) fn pay(&mut self, connection: &Connection, charge: &Charge) -> Result<Charged, StoreError> {
        if charge.price <= Credits::ZERO {
            return Err(ChangeError::OutOfRange.into());
        }
        let payer = match self.0.entry(charge.account) {
            hash_map::Entry::Occupied(known) => known.into_mut(),
            hash_map::Entry::Vacant(new) => {
                let account = accounts::lookup(connection, charge.account)?;
                new.insert(account.map(|account| Payer { account, changed: false }))
            }
        };
        let payer = payer.as_mut().ok_or(StoreError::Missing { what: "account" })?;
        let before = (payer.account.balance, payer.account.ledger_seq);
        let Some(entry) = payer.account.charge(charge.request, charge.price, charge.at) else {
            return Ok(paid_before(connection, charge)?.unwrap_or(Charged::Short));
        };
        if insert(connection, &entry)? {
            payer.changed = true;
            return Ok(Charged::Paid { balance: entry.balance, ledger_seq: entry.seq });
        }
        (payer.account.balance, payer.account.ledger_seq) = before;
        paid_before(connection, charge)?.ok_or(StoreError::Corrupt { reason: "lost ledger entry".to_owned() })
    }

    /// Writes the accounts as they stand now.
    pub(super) fn write(self, connection: &Connection) -> Result<(), StoreError> {
        let mut update = connection.prepare_cached(
            "UPDATE accounts SET balance_plan = ?2, balance_granted = ?3, ledger_seq = ?4 WHERE id = ?1",
        )?;
        for payer in self.0.into_values().flatten().filter(|payer| payer.changed) {
            let Account { id, balance, ledger_seq, .. } = &payer.account;
            update.execute((id.to_i64(), balance.plan.get(), balance.granted.get(), column(*ledger_seq)))?;
        }
        Ok(())
    }
}

/// The entry of an earlier charge for the same request, as an answer.
fn paid_before(connection: &Connection, charge: &Charge) -> Result<Option<Charged>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT account, balance, seq FROM ledger WHERE request = ?1")?;
    let found = first(&mut statement, [charge.request.as_bytes()], |row| {
        let account = AccountId::from_i64(row.get(0)?);
        let balance = Credits::new(row.get(1)?);
        Ok((account, Charged::Paid { balance, ledger_seq: rows::count(row, 2)? }))
    })?;
    match found {
        Some((account, _)) if account != charge.account => Err(StoreError::Conflict { what: "request" }),
        found => Ok(found.map(|(_, paid)| paid)),
    }
}

/// Writes an entry; false if its request has one already.
pub(super) fn insert(connection: &Connection, entry: &Entry) -> Result<bool, StoreError> {
    let written = connection
        .prepare_cached(
            "INSERT INTO ledger (account, seq, kind, amount, balance, request, at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (request) WHERE request IS NOT NULL DO NOTHING",
        )?
        .execute(params![
            entry.account.to_i64(),
            column(entry.seq),
            entry.kind.word(),
            entry.amount.get(),
            entry.balance.get(),
            entry.request.as_ref().map(RequestId::as_bytes),
            entry.at.millis(),
        ])?;
    Ok(written == 1)
}
