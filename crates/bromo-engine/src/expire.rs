//! Deletes what is kept no longer: stored pages, ended tasks, and what signs nobody in any more.

use std::sync::Arc;
use std::time::Duration;

use bromo_store::StoreError;
use tokio_util::sync::CancellationToken;

use crate::Engine;

/// How often it is looked for.
const EVERY: Duration = Duration::from_secs(60);
/// What signs nobody in any more is looked for once in so many times.
const SIGN_INS_EVERY: u64 = 60;
/// Rows deleted in one transaction.
const BATCH: u32 = 500;

/// Deletes what has expired until `stop`.
pub async fn run(engine: Arc<Engine>, stop: CancellationToken) {
    for round in 0_u64.. {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.cancelled() => return,
        }
        if let Err(error) = engine.expire().await {
            tracing::error!(%error, "failed to delete what has expired");
        }
        if round % SIGN_INS_EVERY == 0
            && let Err(error) = engine.expire_sign_ins().await
        {
            tracing::error!(%error, "failed to delete sessions and invitations that are over");
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

    /// Deletes sessions, invitations and links that are over.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; some may be deleted.
    pub async fn expire_sign_ins(&self) -> Result<(), StoreError> {
        while self.parts.store.expire_sign_ins(self.clock().now(), BATCH).await? == BATCH {}
        Ok(())
    }
}
