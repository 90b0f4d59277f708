//! Credit entries, append-only: nothing here changes or deletes one.

use async_trait::async_trait;
use bromo_rules::account::Entry;
use bromo_rules::credit::Credits;
use bromo_rules::id::{AccountId, RequestId};
use bromo_rules::time::Timestamp;

use crate::error::StoreError;

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
    /// Once the writer has it, it is paid even if the caller leaves: the point of no return.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if the account is unknown; [`StoreError::Refused`] if the price is not above 0;
    /// [`StoreError::Conflict`] if another account paid for this request; [`StoreError::Unavailable`] if the
    /// commit failed: then nothing was written, or calling again finds that it was.
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
