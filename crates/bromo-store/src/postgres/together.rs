//! What nodes know of each other beside their work.

use bromo_rules::id::NodeId;

use super::{PostgresStore, rows};
use crate::error::StoreError;

impl PostgresStore {
    /// The nodes that live, this one among them; also those whose death nobody has noticed yet.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn living(&self) -> Result<Vec<NodeId>, StoreError> {
        let nodes = self.parts.shared.query("SELECT id FROM nodes ORDER BY id", &[]).await?;
        nodes.iter().map(|row| Ok(NodeId::from_i64(rows::get(row, 0)?))).collect()
    }

    /// Whether all nodes have this value under this name; the first to ask decides what it is.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn agree(&self, name: &'static str, value: &[u8]) -> Result<bool, StoreError> {
        let value = value.to_vec();
        let agreed = self.parts.others.run(async move |tx| {
            let insert = "INSERT INTO agreed (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
            tx.execute(insert, &[&name, &value]).await?;
            let row = tx.first("SELECT value FROM agreed WHERE name = $1", &[&name]).await?;
            let agreed: Vec<u8> = rows::get(&row.ok_or(StoreError::Missing { what: "value" })?, 0)?;
            Ok(agreed == value)
        });
        agreed.await
    }
}
