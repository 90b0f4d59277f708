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
                    "SELECT l.account, l.seq, l.kind, l.amount, l.balance, coalesce(l.request, l.task), l.at
                     FROM ledger_blocks b CROSS JOIN ledger l ON l.place BETWEEN b.block * ?3 AND b.block * ?3 + ?3 - 1
                     WHERE b.account = ?1 AND l.account = ?1 AND l.seq > ?2 AND b.block >= coalesce(
                         (SELECT max(block) FROM ledger_blocks WHERE account = ?1 AND first_seq <= ?2 + 1), 0)
                     ORDER BY b.block, l.place LIMIT ?4",
                )?;
                let params = (account.to_i64(), column(after_seq), BLOCK_PLACES, count);
                statement.query_and_then(params, rows::entry)?.collect()
            })
            .await
    }
}

/// Places in a block of the ledger: an account's entries are found by the blocks that it has any in.
const BLOCK_PLACES: i64 = 4096;

/// What a charge is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cause {
    /// An answer. It may be asked for again.
    Request,
    /// A task, which ends once.
    Task,
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
    pub(super) fn pay(
        &mut self,
        connection: &Connection,
        charge: &Charge,
        cause: Cause,
    ) -> Result<Charged, StoreError> {
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
        if insert(connection, &entry, cause)? {
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
pub(super) fn insert(connection: &Connection, entry: &Entry, cause: Cause) -> Result<bool, StoreError> {
    let name = entry.request.as_ref().map(RequestId::as_bytes);
    let (request, task) = match cause {
        Cause::Request => (name, None),
        Cause::Task => (None, name),
    };
    let written = connection
        .prepare_cached(
            "INSERT INTO ledger (account, seq, kind, amount, balance, request, task, at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT (request) WHERE request IS NOT NULL DO NOTHING",
        )?
        .execute(params![
            entry.account.to_i64(),
            column(entry.seq),
            entry.kind.word(),
            entry.amount.get(),
            entry.balance.get(),
            request,
            task,
            entry.at.millis(),
        ])?;
    if written == 0 {
        return Ok(false);
    }
    let block = connection.last_insert_rowid() / BLOCK_PLACES;
    connection
        .prepare_cached(
            "INSERT INTO ledger_blocks (account, block, first_seq) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        )?
        .execute((entry.account.to_i64(), block, column(entry.seq)))?;
    Ok(true)
}
