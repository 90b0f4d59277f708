//! API keys by hash. No method here ever sees a whole key.

use async_trait::async_trait;
use bromo_rules::account::{Account, Key};
use bromo_rules::id::{AccountId, KeyId};
use bromo_rules::key::KeyHash;
use bromo_rules::time::Timestamp;

use crate::error::StoreError;

/// API keys, by hash.
#[async_trait]
pub trait Keys: Send + Sync {
    /// Writes a key and moves its account's version. The same call made again changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if the account is unknown; [`StoreError::Conflict`] if the id or the hash is
    /// another key's.
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
