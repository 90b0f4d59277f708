//! Stored answer pages, until they expire.

use async_trait::async_trait;
use bromo_rules::id::RequestId;
use bromo_rules::time::Timestamp;

use crate::error::StoreError;

/// Stored answer pages (`include.html`).
#[async_trait]
pub trait Pages: Send + Sync {
    /// Keeps a page until `expires_at`. `id` is the request's; put again, the page is replaced.
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
