//! Deleting tasks: those kept no longer, and those whose owner does not want them.

use bromo_rules::id::AccountId;
use bromo_rules::time::Timestamp;

use super::link::{Rows, call};
use super::local::{Local, Moves};
use super::rows::get;
use super::shared::Shared;
use super::tx::Tx;
use crate::error::StoreError;
use crate::tasks::TaskSeq;

/// The rest of a statement whose `gone` are rows of the queue that were deleted.
macro_rules! delete_gone {
    () => {
        ", counted AS (
            INSERT INTO queue_out AS o (account, priority, claimed, removed)
                SELECT account, priority, 0, count(*) FROM gone GROUP BY account, priority ORDER BY account, priority
            ON CONFLICT (account, priority) DO UPDATE SET removed = o.removed + excluded.removed),
        tasks AS (DELETE FROM tasks t USING gone g WHERE t.account = ANY(ARRAY[g.account]) AND t.id = g.id
            RETURNING t.id, t.key_hash),
        keys AS (DELETE FROM task_keys k USING tasks t WHERE k.hash = ANY(ARRAY[t.key_hash]) AND k.id = t.id)
        SELECT count(*) FROM gone"
    };
}

const DELETE: &str = concat!(
    "WITH gone AS (DELETE FROM queue WHERE seq = $1 AND node IS NULL RETURNING id, account, priority)",
    delete_gone!()
);

/// Those that somebody is about to claim are theirs.
const CLEAR: &str = concat!(
    "WITH found AS MATERIALIZED (
        SELECT seq FROM queue WHERE account = $1 AND node IS NULL AND seq + 0 <= $2 LIMIT $3 FOR UPDATE SKIP LOCKED),
    gone AS (DELETE FROM queue WHERE seq = ANY(ARRAY(SELECT seq FROM found)) RETURNING id, account, priority)",
    delete_gone!()
);

/// A pending delivery ends now at the earliest. What is large stays where it is until its day is dropped, since nobody
/// finds it without the task; what lies with the rest, which is never dropped, goes at once.
const EXPIRE: &str = "WITH found AS MATERIALIZED (
        SELECT e.expires_at, e.id, e.seq, e.account FROM expiries e WHERE e.expires_at <= $1
        ORDER BY e.expires_at, e.id LIMIT $3 FOR UPDATE SKIP LOCKED),
    kept AS MATERIALIZED (
        SELECT f.*, coalesce(CASE WHEN d.seq IS NOT NULL THEN $1 ELSE o.ended_at END + $2, 0) AS until
        FROM found f LEFT JOIN LATERAL (SELECT * FROM due WHERE seq = f.seq OFFSET 0) d ON true
            LEFT JOIN LATERAL (SELECT * FROM deliveries WHERE seq = f.seq AND id = f.id OFFSET 0) o ON true),
    longer AS (UPDATE expiries e SET expires_at = k.until FROM kept k
        WHERE e.expires_at = ANY(ARRAY[k.expires_at]) AND e.id = k.id AND k.until > $1),
    over AS (DELETE FROM expiries e USING kept k
        WHERE e.expires_at = ANY(ARRAY[k.expires_at]) AND e.id = k.id AND k.until <= $1),
    tasks AS (DELETE FROM tasks t USING kept k
        WHERE t.account = ANY(ARRAY[k.account]) AND t.id = k.id AND k.until <= $1 RETURNING t.id, t.key_hash),
    keys AS (DELETE FROM task_keys k USING tasks t WHERE k.hash = ANY(ARRAY[t.key_hash]) AND k.id = t.id),
    rest AS (DELETE FROM results_rest r USING kept k
        WHERE r.seq = ANY(ARRAY[k.seq]) AND r.id = k.id AND k.until <= $1),
    attempts AS (DELETE FROM delivery_attempts_rest a USING kept k
        WHERE a.seq = ANY(ARRAY[k.seq]) AND a.id = k.id AND k.until <= $1),
    deliveries AS (DELETE FROM deliveries o USING kept k
        WHERE o.seq = ANY(ARRAY[k.seq]) AND o.id = k.id AND k.until <= $1)
    SELECT count(*) FROM found";

/// The last task that was accepted, of whoever.
pub(super) async fn last_seq(shared: &Shared) -> Result<TaskSeq, StoreError> {
    let last = shared.first("SELECT last_value FROM task_seqs", &[]).await?;
    last.map_or(Ok(0), |row| get(&row, 0))
}

/// Deletes this task if it waits; how many that were.
pub(super) async fn delete(tx: &Tx<'_>, local: &Local, seq: TaskSeq) -> Result<u64, StoreError> {
    let [found] = tx.commit([call(DELETE, &[&seq])]).await?;
    removed(local, &found)
}

/// Deletes waiting tasks of the account up to this one; how many.
pub(super) async fn clear(
    tx: &Tx<'_>,
    local: &Local,
    account: AccountId,
    last: TaskSeq,
    most: i64,
) -> Result<u64, StoreError> {
    let [found] = tx.commit([call(CLEAR, &[&account.to_i64(), &last, &most])]).await?;
    removed(local, &found)
}

fn removed(local: &Local, found: &Rows) -> Result<u64, StoreError> {
    let count: i64 = found.rows.first().map_or(Ok(0), |row| get(row, 0))?;
    local.moved(Moves { waiting: -count, ..Moves::default() });
    Ok(u64::try_from(count).unwrap_or(0))
}

/// Deletes what is kept no longer, or keeps it for as long as its delivery needs it; how many were looked at.
pub(super) async fn expire(tx: &Tx<'_>, now: Timestamp, keep_ms: i64, most: u32) -> Result<u32, StoreError> {
    // So that nothing overflows.
    let now = now.millis().min(i64::MAX / 4);
    let (keep_ms, most) = (keep_ms.clamp(0, i64::MAX / 4), i64::from(most));
    let [found] = tx.commit([call(EXPIRE, &[&now, &keep_ms, &most])]).await?;
    let found: i64 = found.rows.first().map_or(Ok(0), |row| get(row, 0))?;
    Ok(u32::try_from(found).unwrap_or(u32::MAX))
}
