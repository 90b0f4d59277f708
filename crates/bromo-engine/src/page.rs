//! Stored answer pages (`include.html`): put before the charge, kept for 24 h, deleted in the background.

use std::sync::Arc;
use std::time::Duration;

use bromo_rules::id::RequestId;
use bromo_rules::time::Clock;
use bromo_store::{Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::Engine;

/// How often expired pages are looked for.
const EXPIRE_EVERY: Duration = Duration::from_secs(60);
/// Pages deleted in one transaction.
const EXPIRE_BATCH: u32 = 500;

impl Engine {
    /// Keeps a page, and answers with its address.
    pub(crate) async fn put_page(&self, id: RequestId, html: String) -> Result<String, StoreError> {
        let expires_at = self.parts.clock.now().plus(self.parts.settings.page_ttl);
        self.parts.store.put_page(id, html, expires_at).await?;
        Ok(format!("{}/results/{id}/page-1.html", self.parts.settings.public_url))
    }

    /// The page of this request, unless it has expired.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn page(&self, id: RequestId) -> Result<Option<String>, StoreError> {
        self.parts.store.lookup_page(id, self.parts.clock.now()).await
    }
}

/// Deletes expired pages until `stop`.
pub async fn expire(store: Arc<dyn Store>, clock: Arc<dyn Clock>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(EXPIRE_EVERY) => {}
            () = stop.cancelled() => return,
        }
        loop {
            match store.expire_pages(clock.now(), EXPIRE_BATCH).await {
                Ok(EXPIRE_BATCH..) => {}
                Ok(_) => break,
                Err(error) => {
                    tracing::error!(%error, "failed to delete expired pages");
                    break;
                }
            }
        }
    }
}
