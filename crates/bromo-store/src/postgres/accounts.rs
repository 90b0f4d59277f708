//! Accounts in PostgreSQL.

use std::sync::Arc;

use async_trait::async_trait;
use bromo_rules::account::{Account, Change, Entry, Key};
use bromo_rules::id::AccountId;
use bromo_rules::member::Member;
use bromo_rules::plan::PlanTable;
use bromo_rules::time::Timestamp;

use super::rows::{account_columns, column};
use super::tx::Tx;
use super::{PostgresStore, keys, ledger, members, rows, secrets};
use crate::accounts::Accounts;
use crate::deliveries::SealedSecrets;
use crate::error::StoreError;

const BY_ID: &str = concat!("SELECT ", account_columns!(), " FROM accounts a WHERE a.id = $1");
const BY_NAME: &str = concat!("SELECT ", account_columns!(), " FROM accounts a WHERE a.name = $1");
const LOCK: &str =
    concat!("SELECT ", account_columns!(), " FROM accounts a WHERE a.id = $1 FOR NO KEY UPDATE");

#[async_trait]
impl Accounts for PostgresStore {
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
        self.parts.others.run(async move |tx: &Tx<'_>| create(tx, &new).await).await
    }

    async fn lookup_account(&self, id: AccountId) -> Result<Option<Account>, StoreError> {
        let found = self.parts.shared.first(BY_ID, &[&id.to_i64()]).await?;
        found.map(|row| rows::account(&row, 0)).transpose()
    }

    async fn lookup_account_by_name(&self, name: &str) -> Result<Option<Account>, StoreError> {
        let found = self.parts.shared.first(BY_NAME, &[&name]).await?;
        found.map(|row| rows::account(&row, 0)).transpose()
    }

    async fn list_accounts(&self, after: Option<AccountId>, count: u32) -> Result<Vec<Account>, StoreError> {
        let sql =
            concat!("SELECT ", account_columns!(), " FROM accounts a WHERE a.id > $1 ORDER BY a.id LIMIT $2");
        let after = after.map_or(-1, AccountId::to_i64);
        let found = self.parts.shared.query(sql, &[&after, &i64::from(count)]).await?;
        found.iter().map(|row| rows::account(row, 0)).collect()
    }

    async fn change_account(
        &self,
        id: AccountId,
        change: &Change,
        plans: &Arc<PlanTable>,
        now: Timestamp,
    ) -> Result<Account, StoreError> {
        let (change, plans) = (change.clone(), Arc::clone(plans));
        let work = async move |tx: &Tx<'_>| {
            let mut account = lock(tx, id).await?;
            let before = account.version;
            if let Some(entry) = account.apply(&change, &plans, now)? {
                ledger::insert(tx, &entry).await?;
            }
            if account.version != before {
                update(tx, &account).await?;
            }
            Ok(account)
        };
        self.parts.others.run(work).await
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
    async fn is_there(&self, tx: &Tx<'_>, found: &Account) -> Result<bool, StoreError> {
        if found.id != self.account.id {
            return Ok(false);
        }
        if let Some(key) = &self.key
            && !keys::is_there(tx, key).await?
        {
            return Ok(false);
        }
        match &self.owner {
            Some((owner, _)) => members::is_there(tx, owner).await,
            None => Ok(true),
        }
    }
}

async fn create(tx: &Tx<'_>, new: &New) -> Result<(), StoreError> {
    let account = &new.account;
    if let Some(other) = tx.first(BY_NAME, &[&account.name]).await? {
        let again = new.is_there(tx, &rows::account(&other, 0)?).await?;
        return if again { Ok(()) } else { Err(StoreError::Conflict { what: "account name" }) };
    }
    if tx.first(BY_ID, &[&account.id.to_i64()]).await?.is_some() {
        return Err(StoreError::Conflict { what: "account" });
    }
    insert(tx, account).await?;
    ledger::insert(tx, &new.opening).await?;
    if let Some(key) = &new.key {
        keys::insert(tx, key).await?;
    }
    if new.secrets.is_some() {
        secrets::put(tx, account.id, new.secrets.as_ref()).await?;
    }
    if let Some((owner, password)) = &new.owner {
        members::insert(tx, owner, password.as_deref()).await?;
    }
    Ok(())
}

async fn insert(tx: &Tx<'_>, account: &Account) -> Result<(), StoreError> {
    let sql = "INSERT INTO accounts (id, name, plan, next_plan, balance_plan, balance_granted, allocated,
                   cycle_anchor, cycle_starts_at, cycle_ends_at, version, ledger_seq, created_at, keep_texts)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
    tx.execute(
        sql,
        &[
            &account.id.to_i64(),
            &account.name,
            &account.plan,
            &account.next_plan,
            &account.balance.plan.get(),
            &account.balance.granted.get(),
            &account.allocated.get(),
            &account.cycle.anchor.millis(),
            &account.cycle.starts_at.millis(),
            &account.cycle.ends_at.millis(),
            &column(account.version),
            &column(account.ledger_seq),
            &account.created_at.millis(),
            &account.keep_texts,
        ],
    )
    .await?;
    Ok(())
}

/// The account, which must be there; nobody else changes it until the end of the transaction.
pub(super) async fn lock(tx: &Tx<'_>, id: AccountId) -> Result<Account, StoreError> {
    let found = tx.first(LOCK, &[&id.to_i64()]).await?;
    rows::account(&found.ok_or(StoreError::Missing { what: "account" })?, 0)
}

/// Writes everything that can change.
pub(super) async fn update(tx: &Tx<'_>, account: &Account) -> Result<(), StoreError> {
    let sql = "UPDATE accounts SET plan = $2, next_plan = $3, balance_plan = $4, balance_granted = $5,
                   allocated = $6, cycle_starts_at = $7, cycle_ends_at = $8, version = $9, ledger_seq = $10,
                   keep_texts = $11
               WHERE id = $1";
    tx.execute(
        sql,
        &[
            &account.id.to_i64(),
            &account.plan,
            &account.next_plan,
            &account.balance.plan.get(),
            &account.balance.granted.get(),
            &account.allocated.get(),
            &account.cycle.starts_at.millis(),
            &account.cycle.ends_at.millis(),
            &column(account.version),
            &column(account.ledger_seq),
            &account.keep_texts,
        ],
    )
    .await?;
    Ok(())
}
