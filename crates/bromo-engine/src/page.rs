//! Stored answer pages (`include.html`): put before the charge, kept for 24 h.

use bromo_rules::id::RequestId;
use bromo_store::StoreError;

use crate::Engine;
use crate::random::{self, RandomError};

/// Why a page was not kept.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// The store did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It has no address.
    #[error(transparent)]
    Random(#[from] RandomError),
}

impl Engine {
    /// Keeps a page, and answers with its address. The address is the page's only protection, so its id is
    /// made of bits that nobody can guess; a request's id is not.
    pub(crate) async fn put_page(&self, html: String) -> Result<String, PageError> {
        let now = self.parts.clock.now();
        let id = RequestId::new(now, random::secret()?);
        self.parts.store.put_page(id, html, now.plus(self.parts.settings.page_ttl)).await?;
        Ok(format!("{}/results/{id}/page-1.html", self.parts.settings.public_url))
    }

    /// The page of this id, unless it has expired.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn page(&self, id: RequestId) -> Result<Option<String>, StoreError> {
        self.parts.store.lookup_page(id, self.parts.clock.now()).await
    }
}
