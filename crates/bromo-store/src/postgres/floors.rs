//! Floors: from where on a queue is read.
//!
//! A drained queue leaves dead entries in its index until vacuum has been there, and a look for the next task would walk
//! over all of them. So each priority of an account has a floor before which nothing may run. Whoever makes an earlier
//! task runnable lowers it in the same transaction; here it is raised again, behind the lock that all of them take.

use bromo_rules::task::Priority;

use super::link::call;
use super::tx::Tx;
use crate::error::StoreError;

/// Tasks claimed since a floor was last raised: before that the walk costs less than raising it.
pub(super) const RAISED_AFTER: u32 = 64;

const LOCK: &str = "SELECT FROM unnest($1::bigint[], $2::smallint[]) AS w (account, priority)
        JOIN queue_in i ON i.account = ANY(ARRAY[w.account]) AND i.priority = w.priority
    ORDER BY w.account, w.priority FOR UPDATE OF i";

/// Where nothing may run, the floor is as high as can be: the next task that comes lowers it.
const RAISE: &str = "UPDATE queue_in i SET floor = f.first FROM (
        SELECT i.account, i.priority, coalesce((
            SELECT min(s.seq) FROM generate_series(0, 8) AS l (line) CROSS JOIN LATERAL (
                SELECT seq FROM queue q WHERE q.account = i.account AND q.priority = i.priority
                    AND q.line = l.line::smallint AND q.seq + 0 >= i.floor
                    AND q.node IS NULL AND q.not_before IS NULL ORDER BY q.seq + 0 LIMIT 1) s),
            9223372036854775807) AS first
        FROM unnest($1::bigint[], $2::smallint[]) AS w (account, priority)
            CROSS JOIN LATERAL (
                SELECT * FROM queue_in WHERE account = w.account AND priority = w.priority OFFSET 0) i
        OFFSET 0) f
    WHERE i.account = ANY(ARRAY[f.account]) AND i.priority = f.priority AND f.first > i.floor";

/// Raises these floors.
pub(super) async fn raise(tx: &Tx<'_>, of: &[(i64, Priority)]) -> Result<(), StoreError> {
    let accounts: Vec<i64> = of.iter().map(|(account, _)| *account).collect();
    let priorities: Vec<i16> = of.iter().map(|(_, priority)| priority.get().into()).collect();
    // The second begins when the first has its locks, and so sees all that was written behind them.
    tx.commit([call(LOCK, &[&accounts, &priorities]), call(RAISE, &[&accounts, &priorities])]).await?;
    Ok(())
}
