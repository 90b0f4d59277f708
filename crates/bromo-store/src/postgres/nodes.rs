//! This node's row and those of the others: a row that is renewed says that its node lives.
//!
//! The row is the lease of all that its node has claimed. A node is taken for dead when another has watched its row for
//! `dead_after` without seeing it renewed, over a connection that held all the time: so a database that was away for
//! longer kills nobody. What hangs on the row goes back in the transaction that deletes it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bromo_rules::id::NodeId;
use futures_util::future::LocalBoxFuture;

use super::link::Link;
use super::reap;
use super::settings::PostgresSettings;
use super::tx::Tx;
use crate::error::StoreError;

/// Gives back what a node had, in the transaction that deletes its row; how many tasks.
pub(super) type GiveBack = for<'a> fn(&'a Tx<'_>, NodeId) -> LocalBoxFuture<'a, Result<u64, StoreError>>;

/// All that hangs on a node's row.
const GIVE_BACK: &[GiveBack] = &[reap::give_back];

/// How often a node looks after the others.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Writes this node's row.
pub(super) async fn register(link: &Link, settings: &PostgresSettings) -> Result<(), StoreError> {
    let sql = "INSERT INTO nodes (id, name) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING";
    let statement = link.prepare(sql).await?;
    link.send(&statement, &[&settings.node.to_i64(), &settings.name]).await?;
    Ok(())
}

/// Renews this node's row; false if it is gone.
pub(super) async fn renew(link: &Link, node: NodeId) -> Result<bool, StoreError> {
    let statement = link.prepare("UPDATE nodes SET renewed_at = clock_timestamp() WHERE id = $1").await?;
    Ok(link.send(&statement, &[&node.to_i64()]).await?.count == 1)
}

/// What this node has seen of the others over one connection.
pub(super) struct Watch {
    dead_after: Duration,
    /// The row's time of renewal, and since when it has been that.
    seen: HashMap<i64, (i64, Instant)>,
}

impl Watch {
    /// Nothing seen yet.
    pub(super) fn new(dead_after: Duration) -> Self {
        Self { dead_after, seen: HashMap::new() }
    }

    /// Looks at the others' rows: those that have stood still for too long.
    pub(super) async fn look(&mut self, link: &Link, me: NodeId) -> Result<Vec<NodeId>, StoreError> {
        let statement = link
            .prepare(
                "SELECT id, (extract(epoch FROM renewed_at) * 1000000)::bigint FROM nodes WHERE id <> $1",
            )
            .await?;
        let rows = link.send(&statement, &[&me.to_i64()]).await?.rows;
        let now = Instant::now();
        let mut seen = HashMap::with_capacity(rows.len());
        for row in rows {
            let (id, renewed): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
            let since = self.seen.get(&id).filter(|(before, _)| *before == renewed).map(|(_, since)| *since);
            seen.insert(id, (renewed, since.unwrap_or(now)));
        }
        self.seen = seen;
        let dead = self.seen.iter().filter(|(_, (_, since))| now.duration_since(*since) >= self.dead_after);
        Ok(dead.map(|(id, _)| NodeId::from_i64(*id)).collect())
    }
}

/// Deletes a node's row and gives back what it had, so many tasks; none if another node is at it, or it has been renewed
/// after all.
/// With no `dead_after` it goes whatever it says.
pub(super) async fn remove(
    link: &Link,
    node: NodeId,
    dead_after: Option<Duration>,
) -> Result<Option<u64>, StoreError> {
    let tx = Tx::new(link, "BEGIN", None);
    let removed = remove_in(&tx, node, dead_after).await;
    match removed {
        Ok(Some(_)) => tx.finish().await?,
        Ok(None) | Err(_) => tx.roll_back().await,
    }
    removed
}

async fn remove_in(
    tx: &Tx<'_>,
    node: NodeId,
    dead_after: Option<Duration>,
) -> Result<Option<u64>, StoreError> {
    let id = node.to_i64();
    let least = dead_after.map_or(0.0, |dead_after| dead_after.as_secs_f64());
    let sql = "SELECT FROM nodes WHERE id = $1 AND renewed_at <= clock_timestamp() - $2 * interval '1 second'
               FOR UPDATE SKIP LOCKED";
    if tx.first(sql, &[&id, &least]).await?.is_none() {
        return Ok(None);
    }
    // Transactions in its name that checked the row before we locked it end first.
    tx.execute("SELECT pg_advisory_xact_lock($1)", &[&id]).await?;
    let mut tasks = 0;
    for give_back in GIVE_BACK {
        tasks += give_back(tx, node).await?;
    }
    tx.execute("DELETE FROM nodes WHERE id = $1", &[&id]).await?;
    Ok(Some(tasks))
}
