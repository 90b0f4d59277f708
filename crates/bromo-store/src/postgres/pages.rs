//! Stored answer pages in PostgreSQL. They may hold U+0000, which `text` refuses, and so are bytes.

use async_trait::async_trait;
use bromo_rules::id::RequestId;
use bromo_rules::time::Timestamp;

use super::{PostgresStore, rows};
use crate::error::StoreError;
use crate::pages::Pages;

#[async_trait]
impl Pages for PostgresStore {
    async fn put_page(&self, id: RequestId, html: String, expires_at: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT INTO pages (id, expires_at, html) VALUES ($1, $2, $3)
                   ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at, html = excluded.html";
        self.parts.shared.execute(sql, &[&rows::uuid(&id), &expires_at.millis(), &html.as_bytes()]).await?;
        Ok(())
    }

    async fn lookup_page(&self, id: RequestId, now: Timestamp) -> Result<Option<String>, StoreError> {
        let sql = "SELECT html FROM pages WHERE id = $1 AND expires_at + 0 > $2";
        let found = self.parts.shared.first(sql, &[&rows::uuid(&id), &now.millis()]).await?;
        let page = |row| {
            let bytes = rows::get(&row, 0)?;
            String::from_utf8(bytes).map_err(|error| rows::corrupt("page", &error))
        };
        found.map(page).transpose()
    }

    async fn expire_pages(&self, now: Timestamp, count: u32) -> Result<u32, StoreError> {
        // Several nodes may be at it.
        let sql = "DELETE FROM pages WHERE id = ANY(ARRAY(
                       SELECT id FROM pages WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2
                       FOR UPDATE SKIP LOCKED))";
        let expired = self.parts.shared.execute(sql, &[&now.millis(), &i64::from(count)]).await?;
        Ok(u32::try_from(expired).unwrap_or(u32::MAX))
    }
}
