//! Who pays, on which plan. The rules of a change are the account's own; a backend only keeps it.

use std::sync::Arc;

use async_trait::async_trait;
use bromo_rules::account::{Account, Change, Entry, Key};
use bromo_rules::id::AccountId;
use bromo_rules::member::Member;
use bromo_rules::plan::PlanTable;
use bromo_rules::time::Timestamp;

use crate::deliveries::SealedSecrets;
use crate::error::StoreError;

/// Who pays, on which plan.
#[async_trait]
pub trait Accounts: Send + Sync {
    /// Writes a new account, its opening entry, its first key if it gets one at once, what its deliveries are signed
    /// with, and its owner with the PHC text of the password. The same call made again changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if the name, the account's id, the key's id or hash, or the owner's id or address is
    /// taken.
    async fn create_account(
        &self,
        account: &Account,
        opening: &Entry,
        key: Option<&Key>,
        secrets: Option<&SealedSecrets>,
        owner: Option<(&Member, Option<&str>)>,
    ) -> Result<(), StoreError>;

    /// The account of this id.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn lookup_account(&self, id: AccountId) -> Result<Option<Account>, StoreError>;

    /// The account of this exact name.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn lookup_account_by_name(&self, name: &str) -> Result<Option<Account>, StoreError>;

    /// Accounts in id order after `after`, at most `count`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn list_accounts(&self, after: Option<AccountId>, count: u32) -> Result<Vec<Account>, StoreError>;

    /// Reads the account, applies `change` by [`Account::apply`], writes it and the entry that came out.
    /// Answers with the account as it is now.
    ///
    /// # Errors
    /// [`StoreError::Missing`], or [`StoreError::Refused`] by the rules.
    async fn change_account(
        &self,
        id: AccountId,
        change: &Change,
        plans: &Arc<PlanTable>,
        now: Timestamp,
    ) -> Result<Account, StoreError>;
}
