//! What must survive a restart: one trait per concern, one transaction a method.
//!
//! Ids, times and secrets come from the caller; the store writes what it is given. No open transaction
//! leaves this crate, and nothing above it knows which backend runs.

use std::sync::Arc;

use async_trait::async_trait;
use bromo_rules::account::{Account, Change, ChangeError, Entry, Key};
use bromo_rules::credit::Credits;
use bromo_rules::id::{AccountId, KeyId, RequestId};
use bromo_rules::key::KeyHash;
use bromo_rules::log::LogLine;
use bromo_rules::plan::PlanTable;
use bromo_rules::time::Timestamp;

/// Why a store method did nothing.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Something of that name or id is there already.
    #[error("{what} exists already")]
    Conflict {
        /// What is there.
        what: &'static str,
    },
    /// There is nothing of that name or id.
    #[error("no such {what}")]
    Missing {
        /// What was looked for.
        what: &'static str,
    },
    /// The change is against the rules.
    #[error(transparent)]
    Refused(#[from] ChangeError),
    /// The database cannot be reached or cannot write (disk full, locked by another process). Every
    /// method is safe to call again.
    #[error("database unavailable: {reason}")]
    Unavailable {
        /// For the log.
        reason: String,
    },
    /// What the database holds cannot be read.
    #[error("database corrupt: {reason}")]
    Corrupt {
        /// For the log.
        reason: String,
    },
}

/// Who pays, on which plan.
#[async_trait]
pub trait Accounts: Send + Sync {
    /// Writes a new account, its opening entry and its first key.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if the name is taken.
    async fn create_account(&self, account: &Account, opening: &Entry, key: &Key) -> Result<(), StoreError>;

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

/// API keys, by hash.
#[async_trait]
pub trait Keys: Send + Sync {
    /// Writes a key and moves its account's version.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if the account is unknown.
    async fn create_key(&self, key: &Key) -> Result<Account, StoreError>;

    /// The key with this hash, revoked or not, and its account.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn lookup_key(&self, hash: KeyHash) -> Result<Option<(Key, Account)>, StoreError>;

    /// Marks the key as revoked, if it is not, and moves its account's version. Answers with both.
    ///
    /// # Errors
    /// [`StoreError::Missing`].
    async fn revoke_key(&self, id: KeyId, now: Timestamp) -> Result<(Key, Account), StoreError>;

    /// All keys of an account, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn list_keys(&self, account: AccountId) -> Result<Vec<Key>, StoreError>;
}

/// One payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charge {
    /// What was answered; the key of the charge.
    pub request: RequestId,
    /// Who pays.
    pub account: AccountId,
    /// How much; more than 0.
    pub price: Credits,
    /// When.
    pub at: Timestamp,
}

/// What became of a charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charged {
    /// It is on disk, by this call or by an earlier one with the same request.
    Paid {
        /// The account's balance right after this charge.
        balance: Credits,
        /// The place of its entry in the account's ledger: orders balances.
        ledger_seq: u64,
    },
    /// The balance does not cover it; nothing was written. Admission's holds make this impossible.
    Short,
}

/// Credit entries, append-only.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Takes the price from the balance and writes the entry; acknowledged means fsynced. Charges that
    /// arrive together share one commit, one balance update an account.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if the account is unknown; [`StoreError::Unavailable`] if the commit failed:
    /// then nothing was written, or calling again finds that it was.
    async fn charge(&self, charge: Charge) -> Result<Charged, StoreError>;

    /// Entries of an account after `after_seq`, in order, at most `count`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn list_entries(
        &self,
        account: AccountId,
        after_seq: u64,
        count: u32,
    ) -> Result<Vec<Entry>, StoreError>;
}

/// Stored answer pages (`include.html`).
#[async_trait]
pub trait Pages: Send + Sync {
    /// Keeps a page until `expires_at`. `id` is the request's.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn put_page(&self, id: RequestId, html: String, expires_at: Timestamp) -> Result<(), StoreError>;

    /// The page, unless it has expired.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn lookup_page(&self, id: RequestId, now: Timestamp) -> Result<Option<String>, StoreError>;

    /// Deletes at most `count` expired pages; says how many went.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn expire_pages(&self, now: Timestamp, count: u32) -> Result<u32, StoreError>;
}

/// Everything but the log.
pub trait Store: Accounts + Keys + Ledger + Pages {}
impl<T: Accounts + Keys + Ledger + Pages> Store for T {}

/// Which lines a reader wants. Newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogFilter {
    /// Only this account's.
    pub account: Option<AccountId>,
    /// Only this request's.
    pub request: Option<RequestId>,
    /// Only lines at or after this instant.
    pub from: Option<Timestamp>,
    /// Only lines before this instant.
    pub until: Option<Timestamp>,
    /// Only this status.
    pub status: Option<u16>,
    /// Only this code.
    pub code: Option<String>,
    /// Only this route.
    pub route: Option<String>,
}

/// A line as it was read back; the texts are owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLine {
    /// Where it stands: pass the last line's to read on towards older lines.
    pub cursor: u64,
    /// The line. `route` and `code` are interned: known words come back as themselves.
    pub line: LogLine,
}

/// Lines that could not be kept: shown in sequence, never silently lost (promise L1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogGap {
    /// How many.
    pub lines: u64,
    /// Between here …
    pub from: Timestamp,
    /// … and here.
    pub until: Timestamp,
}

/// The request log: its own file, its own writer.
#[async_trait]
pub trait Logs: Send + Sync {
    /// Appends a batch and the gap that came before it, in one transaction.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; nothing was written.
    async fn append(&self, lines: Vec<LogLine>, gap: Option<LogGap>) -> Result<(), StoreError>;

    /// Lines that match, newest first, before `before` if given, at most `count`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn read(
        &self,
        filter: &LogFilter,
        before: Option<u64>,
        count: u32,
    ) -> Result<Vec<StoredLine>, StoreError>;

    /// Gaps that overlap the stretch, newest first, at most `count`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn gaps(&self, from: Timestamp, until: Timestamp, count: u32) -> Result<Vec<LogGap>, StoreError>;

    /// Deletes whole batches, oldest first, until the log is no larger than `bytes_max` and holds nothing
    /// older than `before`; says how many lines went.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn trim(&self, before: Timestamp, bytes_max: u64) -> Result<u64, StoreError>;
}
