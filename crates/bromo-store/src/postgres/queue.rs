//! Looking at the queue: what may run next, how much there is, whose waits are over.

use bromo_rules::credit::Credits;
use bromo_rules::endpoint::Endpoint;
use bromo_rules::id::AccountId;
use bromo_rules::key::KeyKind;
use bromo_rules::task::{Depth, Priority};
use bromo_rules::time::Timestamp;
use tokio_postgres::Row;

use super::link::call;
use super::rows::{self, get};
use super::shared::Shared;
use super::task_rows::{self, TEST_LINE};
use super::tx::Tx;
use crate::error::StoreError;
use crate::numbers;
use crate::tasks::{Endpoints, Head, TaskSeq};

/// One priority after the other, from the floor on, which spares the dead entries before it. Within one, the front of
/// each line, so that what an endpoint holds up is not walked over. Priorities in which nothing waits are left out: an
/// account that is well served has ten of them. So are the tasks of $4.
pub(super) const HEADS: &str = "SELECT w.turn, h.seq, h.endpoint, h.line, h.hold
    FROM unnest($1::bigint[], $2::bigint[]) WITH ORDINALITY AS w (account, count, turn)
    CROSS JOIN LATERAL (
        SELECT f.* FROM (
            SELECT i.priority, i.floor
            FROM queue_in i LEFT JOIN queue_out o ON o.account = i.account AND o.priority = i.priority
            WHERE i.account = w.account AND i.tasks > coalesce(o.claimed + o.removed, 0)
            ORDER BY i.priority DESC) p
        CROSS JOIN LATERAL (
            SELECT t.* FROM unnest($3::smallint[]) AS l (line) CROSS JOIN LATERAL (
                SELECT seq, endpoint, line, hold FROM queue
                WHERE account = w.account AND priority = p.priority AND line = l.line AND seq + 0 >= p.floor
                    AND node IS NULL AND not_before IS NULL AND seq NOT IN (SELECT unnest($4::bigint[]))
                ORDER BY seq + 0 LIMIT w.count) t
            ORDER BY t.seq LIMIT w.count) f
        LIMIT w.count) h";

const DEPTH: &str = "SELECT i.priority, i.tasks - coalesce(o.claimed + o.removed, 0), coalesce(o.claimed, 0)
    FROM queue_in i LEFT JOIN queue_out o ON o.account = i.account AND o.priority = i.priority
    WHERE i.account = $1
    UNION ALL SELECT 0::smallint, 0, -stopped FROM queue_over WHERE account = $1";

/// Counted ones are few; whether any of them may run now, the queue says.
const WAITING: &str = "SELECT DISTINCT i.account
    FROM queue_in i LEFT JOIN LATERAL (
        SELECT * FROM queue_out WHERE account = i.account AND priority = i.priority OFFSET 0) o ON true
    WHERE i.tasks > coalesce(o.claimed + o.removed, 0) AND EXISTS (
        SELECT FROM generate_series(0, 8) AS l (line) CROSS JOIN LATERAL (
            SELECT FROM queue WHERE account = i.account AND priority = i.priority AND line = l.line::smallint
                AND seq + 0 >= i.floor AND node IS NULL AND not_before IS NULL LIMIT 1) f)";

/// Those whose wait is over may stand before the floor. In order of `seq + 0`, or `queue_pkey` could be walked over for it.
const END_WAITS: &str = "WITH over AS MATERIALIZED (
        SELECT seq, not_before AS until FROM queue WHERE not_before <= $1 ORDER BY seq + 0 FOR UPDATE SKIP LOCKED),
    ended AS (
        UPDATE queue q SET not_before = NULL FROM over WHERE q.seq = ANY(ARRAY[over.seq])
        RETURNING q.seq, q.account, q.priority, over.until),
    counted AS (
        INSERT INTO queue_in AS i (account, priority, tasks, floor)
            SELECT account, priority, 0, min(seq) FROM ended GROUP BY account, priority ORDER BY account, priority
        ON CONFLICT (account, priority) DO UPDATE SET floor = least(i.floor, excluded.floor))
    SELECT account FROM ended GROUP BY account ORDER BY min(until)";

const NEXT_WAIT: &str =
    "SELECT not_before FROM queue WHERE not_before IS NOT NULL ORDER BY not_before LIMIT 1";

/// Which lines are asked for. Test tasks ask no endpoint.
pub(super) fn lines(endpoints: Endpoints) -> Vec<i16> {
    let live = Endpoint::ALL.into_iter().filter(|endpoint| endpoints.has(*endpoint));
    live.map(numbers::of_endpoint).chain([TEST_LINE]).collect()
}

/// The next tasks of each account but for those that are hidden, as many as asked for, higher priority first, then in order.
pub(super) async fn heads(
    shared: &Shared,
    asked: &[(AccountId, usize)],
    lines: &[i16],
    hidden: &[TaskSeq],
) -> Result<Vec<Vec<Head>>, StoreError> {
    let accounts: Vec<i64> = asked.iter().map(|(account, _)| account.to_i64()).collect();
    let counts: Vec<i64> = asked.iter().map(|(_, count)| i64::try_from(*count).unwrap_or(i64::MAX)).collect();
    let mut heads: Vec<Vec<Head>> = asked.iter().map(|_| Vec::new()).collect();
    for row in &shared.query(HEADS, &[&accounts, &counts, &lines, &hidden]).await? {
        let turn: i64 = get(row, 0)?;
        if let Some(heads) = usize::try_from(turn - 1).ok().and_then(|turn| heads.get_mut(turn)) {
            heads.push(head(row)?);
        }
    }
    Ok(heads)
}

fn head(row: &Row) -> Result<Head, StoreError> {
    let line: i16 = get(row, 3)?;
    let kind = if line == TEST_LINE { KeyKind::Test } else { KeyKind::Live };
    Ok(Head {
        seq: get(row, 1)?,
        endpoint: task_rows::endpoint(row, 2)?,
        kind,
        hold: Credits::new(get(row, 4)?),
    })
}

/// What the account has waiting and running.
pub(super) async fn depth(shared: &Shared, account: AccountId) -> Result<Depth, StoreError> {
    let mut depth = Depth::default();
    let mut running = 0;
    for row in &shared.query(DEPTH, &[&account.to_i64()]).await? {
        let (priority, waiting, claimed): (i16, i64, i64) = (get(row, 0)?, get(row, 1)?, get(row, 2)?);
        running += claimed;
        if let Some(priority) = Priority::new(priority.into()) {
            depth.queued[priority.index()] = u64::try_from(waiting).unwrap_or(0);
        }
    }
    depth.processing = u64::try_from(running).unwrap_or(0);
    Ok(depth)
}

/// Accounts with tasks that may run now.
pub(super) async fn accounts_waiting(shared: &Shared) -> Result<Vec<AccountId>, StoreError> {
    shared.query(WAITING, &[]).await?.iter().map(|row| task_rows::account(row, 0)).collect()
}

/// Lets tasks run whose wait is over: their accounts, and when the next wait ends.
pub(super) async fn end_waits(
    tx: &Tx<'_>,
    now: Timestamp,
) -> Result<(Vec<AccountId>, Option<Timestamp>), StoreError> {
    let [ended, next] = tx.commit([call(END_WAITS, &[&now.millis()]), call(NEXT_WAIT, &[])]).await?;
    let accounts = ended.rows.iter().map(|row| task_rows::account(row, 0)).collect::<Result<_, _>>()?;
    let next = next.rows.first().map_or(Ok(None), |row| rows::instant_if_any(row, 0))?;
    Ok((accounts, next))
}

/// Those of the task's own priority with the first of them that may run, and how many before it wait for later: of the first
/// that wait so, whoever's they are, so that no account's tasks make this slow for another.
const AHEAD: &str = "SELECT i.priority, i.tasks - coalesce(o.claimed + o.removed, 0),
        (SELECT min(f.seq) FROM generate_series(0, 8) AS l (line) CROSS JOIN LATERAL (
            SELECT seq FROM queue WHERE account = $1 AND priority = i.priority AND line = l.line::smallint
                AND seq + 0 >= i.floor AND node IS NULL AND not_before IS NULL ORDER BY seq + 0 LIMIT 1) f
            WHERE i.priority = $2),
        (SELECT count(*) FROM (
            SELECT FROM (SELECT account, priority, seq FROM queue WHERE not_before IS NOT NULL LIMIT 10000) q
            WHERE account = $1 AND priority = $2 AND seq < $3 LIMIT 1000) w)
    FROM queue_in i LEFT JOIN queue_out o ON o.account = i.account AND o.priority = i.priority
    WHERE i.account = $1 AND i.priority >= $2";

/// More waits than that are not counted.
const WAITS_COUNTED_MAX: i64 = 1000;

/// At most so many tasks of the account stand before this one, which waits: all of higher priority, and of its own no
/// more than there are, nor than were accepted since the first that may run or wait for another attempt.
pub(super) async fn ahead_max(
    shared: &Shared,
    account: AccountId,
    priority: Priority,
    seq: TaskSeq,
) -> Result<u64, StoreError> {
    let own = i16::from(priority.get());
    let mut ahead: i64 = 0;
    for row in &shared.query(AHEAD, &[&account.to_i64(), &own, &seq]).await? {
        let (of, count, waits): (i16, i64, i64) = (get(row, 0)?, get(row, 1)?, get(row, 3)?);
        let first: Option<i64> = get(row, 2)?;
        let others = if of > own { count } else { count - 1 };
        let since = (of == own && waits < WAITS_COUNTED_MAX)
            .then(|| seq.saturating_sub(first.unwrap_or(seq)).max(0).saturating_add(waits));
        ahead += since.map_or(others, |since| since.min(others)).max(0);
    }
    Ok(u64::try_from(ahead).unwrap_or(0))
}
