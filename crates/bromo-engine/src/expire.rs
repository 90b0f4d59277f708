//! Deletes what is kept no longer: stored pages, ended tasks.

use std::sync::Arc;
use std::time::Duration;

use bromo_store::StoreError;
use tokio_util::sync::CancellationToken;

use crate::Engine;

/// How often it is looked for.
const EVERY: Duration = Duration::from_secs(60);
/// Rows deleted in one transaction.
const BATCH: u32 = 500;

/// Deletes what has expired until `stop`.
pub async fn run(engine: Arc<Engine>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.cancelled() => return,
        }
        if let Err(error) = engine.expire().await {
            tracing::error!(%error, "failed to delete what has expired");
        }
    }
}

impl Engine {
    /// Deletes everything that has expired by now.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; some may be deleted.
    ///
    /// Source: docs/tasks.md#how-long-tasks-are-kept
    pub async fn expire(&self) -> Result<(), StoreError> {
        let (store, now) = (&self.parts.store, self.clock().now());
        while store.expire_pages(now, BATCH).await? == BATCH {}
        let keep_ms = i64::try_from(self.settings().tasks.keep.as_millis()).unwrap_or(i64::MAX);
        while store.expire_tasks(now, keep_ms, BATCH).await? == BATCH {}
        Ok(())
    }
}
