//! What a node leaves behind when it is taken for dead, or says good-bye: its tasks go back to the queue with one more
//! cut, its deliveries are due again.

use bromo_rules::id::NodeId;
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;

use super::link::call;
use super::rows::get;
use super::tx::Tx;
use crate::error::StoreError;

/// The node's row is locked, so nobody claims in its name meanwhile. No index has nodes, or each claim would change it:
/// the queue is read as a whole, once for each node that dies.
const TASKS: &str = "WITH found AS MATERIALIZED (
        SELECT seq FROM queue WHERE node = $1 ORDER BY seq FOR UPDATE),
    back AS (
        UPDATE queue SET node = NULL, attempts = attempts - 1, cuts = cuts + 1
        WHERE seq = ANY(ARRAY(SELECT seq FROM found)) RETURNING seq, account, priority),
    counted AS (
        INSERT INTO queue_in AS i (account, priority, tasks, floor)
            SELECT account, priority, count(*), min(seq) FROM back GROUP BY account, priority
            ORDER BY account, priority
        ON CONFLICT (account, priority) DO UPDATE
            SET tasks = i.tasks + excluded.tasks, floor = least(i.floor, excluded.floor)),
    stopped AS (
        INSERT INTO queue_over AS o (account, stopped, booked)
            SELECT account, count(*), 0 FROM back GROUP BY account ORDER BY account
        ON CONFLICT (account) DO UPDATE SET stopped = o.stopped + excluded.stopped)
    SELECT count(*) FROM back";

const DELIVERIES: &str = "UPDATE due SET node = NULL WHERE seq = ANY(ARRAY(
        SELECT seq FROM due WHERE node = $1 ORDER BY seq FOR UPDATE))";

/// Nodes whose row somebody deleted by hand.
const UNKNOWN: &str = "SELECT DISTINCT node FROM (
        SELECT node FROM queue WHERE node IS NOT NULL UNION ALL SELECT node FROM due WHERE node IS NOT NULL) q
    WHERE NOT EXISTS (SELECT FROM nodes n WHERE n.id = q.node)";

/// Gives back what belongs to nodes that have no row: nobody else would. How many tasks.
pub(super) async fn give_back_unknown(tx: &Tx<'_>) -> Result<u64, StoreError> {
    let mut tasks = 0;
    for row in tx.query(UNKNOWN, &[]).await? {
        tasks += give_back(tx, NodeId::from_i64(get(&row, 0)?)).await?;
    }
    Ok(tasks)
}

/// Gives all of it back; how many tasks.
pub(super) fn give_back<'a>(tx: &'a Tx<'_>, node: NodeId) -> LocalBoxFuture<'a, Result<u64, StoreError>> {
    async move {
        let node = node.to_i64();
        let [tasks, _] = tx.read([call(TASKS, &[&node]), call(DELIVERIES, &[&node])]).await?;
        let back: i64 = tasks.rows.first().map_or(Ok(0), |row| get(row, 0))?;
        Ok(u64::try_from(back).unwrap_or(0))
    }
    .boxed_local()
}
