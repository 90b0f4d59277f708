//! Who may be moved here, and what is there before the first row.

use std::time::Duration;

use bromo_rules::id::NodeId;
use tokio_postgres::error::SqlState;

use super::Target;
use crate::error::StoreError;
use crate::moving::MoveError;
use crate::postgres::rows::get;
use crate::postgres::{logs, migrations, nodes, partitions};

/// Held by a move as long as it is connected: "bromo mv" as a number.
const LOCK: i64 = 0x6272_6f6d_6f20_6d76;
/// A node that has not renewed its row for so long is dead.
const DEAD_AFTER: Duration = Duration::from_secs(10);
/// Days of tasks that get partitions of their own, the newest; those before lie with the rest.
const TASK_DAYS_MAX: usize = 400;

const FOUND: &str =
    "SELECT source, finished_at IS NOT NULL, floor(extract(epoch FROM begun_at) / 86400)::bigint FROM moves";

const USED: &str = "SELECT count(*) FROM (SELECT 1 FROM accounts UNION ALL SELECT 1 FROM runs) used";

const NODES: &str =
    "SELECT id, renewed_at > clock_timestamp() - $1::double precision * interval '1 second' FROM nodes";

/// A program that knows nothing of moves would serve what is here: it refuses to start as long as the last step asks for
/// more than it knows.
const BEGIN: &str = "BEGIN;
    UPDATE migrations SET needs = number WHERE schema = 'store' AND name = 'moves';
    DELETE FROM agreed;";
const UNDO: &str = "BEGIN; DELETE FROM moves; UPDATE migrations SET needs = 1 WHERE schema = 'store' AND name = 'moves'; COMMIT";

impl Target {
    /// Begins the move of the folder that is known by `source`, or goes on with it: the day on which it began.
    ///
    /// # Errors
    /// [`MoveError::Busy`], [`MoveError::NodesLive`], [`MoveError::NotEmpty`], [`MoveError::AnotherFolder`] and
    /// [`MoveError::Finished`].
    pub(crate) async fn begin(&self, source: [u8; 32]) -> Result<i64, MoveError> {
        let client = &self.link.client;
        for schema in [&migrations::STORE, &migrations::LOGS] {
            migrations::migrate(&self.link, schema, true).await.map_err(StoreError::from)?;
        }
        client.query("SELECT pg_advisory_lock($1)", &[&LOCK]).await.map_err(|error| match error.code() {
            Some(&SqlState::LOCK_NOT_AVAILABLE) => MoveError::Busy,
            _ => StoreError::from(error).into(),
        })?;
        if let Some(day) = self.begun(source).await? {
            self.no_nodes().await?;
            return Ok(day);
        }
        self.no_nodes().await?;
        let used: i64 = get(&client.query_one(USED, &[]).await.map_err(StoreError::from)?, 0)?;
        if used > 0 {
            return Err(MoveError::NotEmpty);
        }
        self.batch(BEGIN).await?;
        let insert = "INSERT INTO moves (source) VALUES ($1)";
        client.execute(insert, &[&source.as_slice()]).await.map_err(StoreError::from)?;
        self.batch("COMMIT").await?;
        // A node that started in between has seen nothing of this.
        if let Err(error) = self.no_nodes().await {
            self.batch(UNDO).await?;
            return Err(error);
        }
        self.begun(source).await?.ok_or(MoveError::Finished)
    }

    /// The day on which the move of this folder began, if it has begun.
    async fn begun(&self, source: [u8; 32]) -> Result<Option<i64>, MoveError> {
        let found = self.link.client.query_opt(FOUND, &[]).await.map_err(StoreError::from)?;
        let Some(row) = found else { return Ok(None) };
        let (known, finished): (&[u8], bool) = (get(&row, 0)?, get(&row, 1)?);
        match (known == source, finished) {
            (true, false) => Ok(Some(get(&row, 2)?)),
            (true, true) => Err(MoveError::Finished),
            (false, false) => Err(MoveError::AnotherFolder),
            (false, true) => Err(MoveError::NotEmpty),
        }
    }

    /// Only if no node lives here; rows of dead ones go, so that they can do nothing should they come back.
    async fn no_nodes(&self) -> Result<(), MoveError> {
        let dead_after = DEAD_AFTER.as_secs_f64();
        let found = self.link.client.query(NODES, &[&dead_after]).await.map_err(StoreError::from)?;
        let mut live = 0;
        for row in found {
            let node = NodeId::from_i64(get(&row, 0)?);
            let is_gone =
                !get::<bool>(&row, 1)? && nodes::remove(&self.link, node, Some(DEAD_AFTER)).await?.is_some();
            live += usize::from(!is_gone);
        }
        if live == 0 { Ok(()) } else { Err(MoveError::NodesLive { nodes: live }) }
    }

    /// Makes the partitions of these days, where there are none.
    pub(crate) async fn make_days(
        &self,
        of_tasks: &[i64],
        of_lines: impl Iterator<Item = i64>,
    ) -> Result<(), StoreError> {
        let newest = &of_tasks[of_tasks.len().saturating_sub(TASK_DAYS_MAX)..];
        for day in newest {
            if !self.is_there("tasks", *day).await? {
                // A node that has left may drop empty ones of old days, for as long as its process lives.
                partitions::make_if_none_lie_with_the_rest(&self.link, *day).await?;
            }
        }
        for day in of_lines {
            if !self.is_there("blocks", day).await? {
                self.batch(&format!("BEGIN; {}; COMMIT", logs::make_day(day))).await?;
            }
        }
        Ok(())
    }

    async fn is_there(&self, table: &str, day: i64) -> Result<bool, StoreError> {
        let name = format!("{table}_{day}");
        let found = self.link.client.query_one("SELECT to_regclass($1) IS NOT NULL", &[&name]).await?;
        get(&found, 0)
    }

    pub(super) async fn batch(&self, sql: &str) -> Result<(), StoreError> {
        Ok(self.link.client.batch_execute(sql).await?)
    }
}
