//! Making deliveries again, whatever became of them.

use bromo_rules::id::AccountId;
use bromo_rules::task::TaskId;
use bromo_rules::time::Timestamp;

use super::delivery_rows::{self, delivery_state_columns, delivery_tables};
use super::link::{Rows, call};
use super::local::{Local, Moves};
use super::rows::get;
use super::task_rows;
use super::tx::Tx;
use crate::deliveries::DeliveryState;
use crate::error::StoreError;

/// One that is pending becomes due; one that is being sent is left alone. Not `node IS NULL`, which three indexes have all rows
/// of.
const SOONER: &str =
    "UPDATE due SET due_at = $3, round_attempts = 0, lane = CASE WHEN attempts = 0 THEN 0 ELSE 1 END
    WHERE seq = ANY(ARRAY(SELECT seq FROM tasks WHERE account = $1 AND id = $2)) AND num_nulls(node) = 1";

/// The rest of a statement whose `gone` are deliveries that were over.
macro_rules! book_gone {
    () => {
        ", booked AS (INSERT INTO due (seq, id, account, due_at, booked_at, delivered_at, attempts, lane, host)
            SELECT seq, id, account, $3, booked_at, delivered_at, attempts,
                CASE WHEN attempts = 0 THEN 0 ELSE 1 END, host FROM gone),
        counted AS (INSERT INTO queue_over AS o (account, stopped, booked)
            SELECT account, 0, count(*) FROM gone GROUP BY account
            ON CONFLICT (account) DO UPDATE SET booked = o.booked + excluded.booked)
        SELECT count(*) FROM gone"
    };
}

const AGAIN: &str = concat!(
    "WITH gone AS (DELETE FROM deliveries o
        USING (SELECT seq, id FROM tasks WHERE account = $1 AND id = $2 OFFSET 0) t
        WHERE o.seq = ANY(ARRAY[t.seq]) AND o.id = t.id
        RETURNING o.seq, o.id, o.account, o.booked_at, o.delivered_at, o.attempts, o.host)",
    book_gone!()
);

const FAILED: &str = concat!(
    "WITH found AS MATERIALIZED (SELECT seq, id FROM deliveries
        WHERE account = $1 AND booked_at >= $2 AND state = 4 ORDER BY booked_at LIMIT $4
        FOR UPDATE SKIP LOCKED),
    gone AS (DELETE FROM deliveries o USING found f WHERE o.seq = ANY(ARRAY[f.seq]) AND o.id = f.id
        RETURNING o.seq, o.id, o.account, o.booked_at, o.delivered_at, o.attempts, o.host)",
    book_gone!()
);

const STATE: &str = concat!(
    "SELECT ",
    delivery_state_columns!(),
    " FROM tasks t",
    delivery_tables!(),
    " WHERE t.account = $1 AND t.id = $2"
);

/// Makes this one due: its state; none if the task has no delivery.
pub(super) async fn one(
    tx: &Tx<'_>,
    local: &Local,
    account: AccountId,
    task: TaskId,
    now: Timestamp,
) -> Result<Option<DeliveryState>, StoreError> {
    let (account, id, now) = (account.to_i64(), task_rows::uuid(task), now.millis());
    let [_, again, state] = tx
        .commit([
            call(SOONER, &[&account, &id, &now]),
            call(AGAIN, &[&account, &id, &now]),
            call(STATE, &[&account, &id]),
        ])
        .await?;
    let row = state.rows.first().ok_or(StoreError::Missing { what: "task" })?;
    booked(local, &again)?;
    delivery_rows::state_if_any(row, 0)
}

/// The same for those of the account that were given up; how many.
pub(super) async fn failed(
    tx: &Tx<'_>,
    local: &Local,
    account: AccountId,
    since: Timestamp,
    now: Timestamp,
    count: u32,
) -> Result<u32, StoreError> {
    let (account, since, now, count) = (account.to_i64(), since.millis(), now.millis(), i64::from(count));
    let [again] = tx.commit([call(FAILED, &[&account, &since, &now, &count])]).await?;
    let booked = booked(local, &again)?;
    Ok(u32::try_from(booked).unwrap_or(u32::MAX))
}

fn booked(local: &Local, again: &Rows) -> Result<i64, StoreError> {
    let booked = again.rows.first().map_or(Ok(0), |row| get(row, 0))?;
    local.moved(Moves { pending: booked, ..Moves::default() });
    Ok(booked)
}
