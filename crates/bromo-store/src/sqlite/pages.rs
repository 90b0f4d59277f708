//! Stored answer pages in SQLite.

use async_trait::async_trait;
use bromo_rules::id::RequestId;
use bromo_rules::time::Timestamp;

use super::SqliteStore;
use super::rows::first;
use crate::error::StoreError;
use crate::pages::Pages;

#[async_trait]
impl Pages for SqliteStore {
    async fn put_page(&self, id: RequestId, html: String, expires_at: Timestamp) -> Result<(), StoreError> {
        self.parts
            .writer
            .run(move |connection| {
                connection
                    .prepare_cached(
                        "INSERT INTO pages (id, expires_at, html) VALUES (?1, ?2, ?3)
                         ON CONFLICT (id) DO UPDATE SET expires_at = ?2, html = ?3",
                    )?
                    .execute((id.as_bytes(), expires_at.millis(), html))?;
                Ok(())
            })
            .await
    }

    async fn lookup_page(&self, id: RequestId, now: Timestamp) -> Result<Option<String>, StoreError> {
        self.parts
            .readers
            .run(move |connection| {
                let mut statement =
                    connection.prepare_cached("SELECT html FROM pages WHERE id = ?1 AND expires_at > ?2")?;
                first(&mut statement, (id.as_bytes(), now.millis()), |row| Ok(row.get(0)?))
            })
            .await
    }

    async fn expire_pages(&self, now: Timestamp, count: u32) -> Result<u32, StoreError> {
        self.parts
            .writer
            .run(move |connection| {
                let expired = connection
                    .prepare_cached(
                        "DELETE FROM pages WHERE rowid IN
                             (SELECT rowid FROM pages WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)",
                    )?
                    .execute((now.millis(), count))?;
                Ok(u32::try_from(expired).unwrap_or(u32::MAX))
            })
            .await
    }
}
