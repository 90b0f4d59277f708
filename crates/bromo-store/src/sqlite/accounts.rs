//! Accounts in SQLite.

use std::sync::Arc;

use async_trait::async_trait;
use bromo_rules::account::{Account, Change, Entry, Key};
use bromo_rules::id::AccountId;
use bromo_rules::member::Member;
use bromo_rules::plan::PlanTable;
use bromo_rules::time::Timestamp;
use rusqlite::{Connection, params};

use super::ledger::Cause;
use super::rows::{account_columns, column, first};
use super::{SqliteStore, keys, ledger, members, rows, secrets};
use crate::accounts::Accounts;
use crate::deliveries::SealedSecrets;
use crate::error::StoreError;

#[async_trait]
impl Accounts for SqliteStore {
    async fn create_account(
        &self,
        account: &Account,
        opening: &Entry,
        key: Option<&Key>,
        secrets: Option<&SealedSecrets>,
        owner: Option<(&Member, Option<&str>)>,
    ) -> Result<(), StoreError> {
        let new = New {
            account: account.clone(),
            opening: opening.clone(),
            key: key.cloned(),
            secrets: secrets.cloned(),
            owner: owner.map(|(owner, password)| (owner.clone(), password.map(str::to_owned))),
        };
        self.parts.writer.run(move |connection| create(connection, &new)).await
    }

    async fn lookup_account(&self, id: AccountId) -> Result<Option<Account>, StoreError> {
        self.parts.readers.run(move |connection| lookup(connection, id)).await
    }

    async fn lookup_account_by_name(&self, name: &str) -> Result<Option<Account>, StoreError> {
        let name = name.to_owned();
        self.parts.readers.run(move |connection| lookup_by_name(connection, &name)).await
    }

    async fn list_accounts(&self, after: Option<AccountId>, count: u32) -> Result<Vec<Account>, StoreError> {
        self.parts
            .readers
            .run(move |connection| {
                let mut statement = connection.prepare_cached(concat!(
                    "SELECT ",
                    account_columns!(),
                    " FROM accounts a WHERE a.id > ?1 ORDER BY a.id LIMIT ?2"
                ))?;
                let after = after.map_or(-1, AccountId::to_i64);
                statement.query_and_then((after, count), |row| rows::account(row, 0))?.collect()
            })
            .await
    }

    async fn change_account(
        &self,
        id: AccountId,
        change: &Change,
        plans: &Arc<PlanTable>,
        now: Timestamp,
    ) -> Result<Account, StoreError> {
        let (change, plans) = (change.clone(), Arc::clone(plans));
        self.parts
            .writer
            .run(move |connection| {
                let mut account = get(connection, id)?;
                let before = account.version;
                if let Some(entry) = account.apply(&change, &plans, now)? {
                    ledger::insert(connection, &entry, Cause::Request)?;
                }
                if account.version != before {
                    update(connection, &account)?;
                }
                Ok(account)
            })
            .await
    }
}

/// All that is written of a new account.
struct New {
    account: Account,
    opening: Entry,
    key: Option<Key>,
    secrets: Option<SealedSecrets>,
    owner: Option<(Member, Option<String>)>,
}

impl New {
    /// Whether this was written before: ids are random, so the same ones are this very call, made again.
    fn is_there(&self, connection: &Connection, found: &Account) -> Result<bool, StoreError> {
        Ok(found.id == self.account.id
            && self.key.as_ref().map_or(Ok(true), |key| keys::is_there(connection, key))?
            && self.owner.as_ref().map_or(Ok(true), |(owner, _)| members::is_there(connection, owner))?)
    }
}

fn create(connection: &Connection, new: &New) -> Result<(), StoreError> {
    let account = &new.account;
    if let Some(other) = lookup_by_name(connection, &account.name)? {
        let again = new.is_there(connection, &other)?;
        return if again { Ok(()) } else { Err(StoreError::Conflict { what: "account name" }) };
    }
    if lookup(connection, account.id)?.is_some() {
        return Err(StoreError::Conflict { what: "account" });
    }
    connection
        .prepare_cached(
            "INSERT INTO accounts (id, name, plan, next_plan, balance_plan, balance_granted, allocated,
                 cycle_anchor, cycle_starts_at, cycle_ends_at, version, ledger_seq, created_at, keep_texts)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        )?
        .execute(params![
            account.id.to_i64(),
            account.name,
            account.plan,
            account.next_plan,
            account.balance.plan.get(),
            account.balance.granted.get(),
            account.allocated.get(),
            account.cycle.anchor.millis(),
            account.cycle.starts_at.millis(),
            account.cycle.ends_at.millis(),
            column(account.version),
            column(account.ledger_seq),
            account.created_at.millis(),
            account.keep_texts,
        ])?;
    ledger::insert(connection, &new.opening, Cause::Request)?;
    if let Some(key) = &new.key {
        keys::insert(connection, key)?;
    }
    if new.secrets.is_some() {
        secrets::put(connection, account.id, new.secrets.as_ref())?;
    }
    if let Some((owner, password)) = &new.owner {
        members::insert(connection, owner, password.as_deref())?;
    }
    Ok(())
}

/// The account, from inside or outside the writer.
pub(super) fn lookup(connection: &Connection, id: AccountId) -> Result<Option<Account>, StoreError> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        account_columns!(),
        " FROM accounts a WHERE a.id = ?1"
    ))?;
    first(&mut statement, [id.to_i64()], |row| rows::account(row, 0))
}

/// The account, which must be there.
pub(super) fn get(connection: &Connection, id: AccountId) -> Result<Account, StoreError> {
    lookup(connection, id)?.ok_or(StoreError::Missing { what: "account" })
}

fn lookup_by_name(connection: &Connection, name: &str) -> Result<Option<Account>, StoreError> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        account_columns!(),
        " FROM accounts a WHERE a.name = ?1"
    ))?;
    first(&mut statement, [name], |row| rows::account(row, 0))
}

/// Writes everything that can change.
pub(super) fn update(connection: &Connection, account: &Account) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE accounts SET plan = ?2, next_plan = ?3, balance_plan = ?4, balance_granted = ?5,
                 allocated = ?6, cycle_starts_at = ?7, cycle_ends_at = ?8, version = ?9, ledger_seq = ?10,
                 keep_texts = ?11
             WHERE id = ?1",
        )?
        .execute(params![
            account.id.to_i64(),
            account.plan,
            account.next_plan,
            account.balance.plan.get(),
            account.balance.granted.get(),
            account.allocated.get(),
            account.cycle.starts_at.millis(),
            account.cycle.ends_at.millis(),
            column(account.version),
            column(account.ledger_seq),
            account.keep_texts,
        ])?;
    Ok(())
}
