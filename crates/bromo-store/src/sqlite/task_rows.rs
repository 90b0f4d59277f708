//! Rows to tasks and back.

use bromo_rules::credit::{Credits, Price};
use bromo_rules::endpoint::Endpoint;
use bromo_rules::id::AccountId;
use bromo_rules::key::KeyKind;
use bromo_rules::task::{Priority, Task, TaskId, TaskState};
use bromo_rules::time::Timestamp;
use rusqlite::Row;

use super::rows::corrupt;
use crate::error::StoreError;
use crate::numbers;

/// Columns of [`task`], from [`task_tables`].
macro_rules! task_columns {
    () => {
        "t.id, t.account, t.endpoint, t.priority, q.webhook, q.idempotency_key, t.price, t.clusters_max, \
         t.created_at, CASE WHEN c.seq IS NULL THEN t.state ELSE 3 END, \
         coalesce(r.attempts, c.attempt, t.attempts), coalesce(r.started_at, c.started_at, t.started_at), \
         r.ended_at, coalesce(r.charged, 0)"
    };
}
pub(super) use task_columns;

/// What is joined to a table of tasks named `t` for [`task_columns`].
macro_rules! task_tables {
    () => {
        " CROSS JOIN questions q ON q.seq = t.seq \
         LEFT JOIN claims c ON c.seq = t.seq LEFT JOIN results r ON r.end_seq = t.end_seq "
    };
}
pub(super) use task_tables;

/// How many columns [`task_columns`] has.
pub(super) const TASK_COLUMNS: usize = 14;

/// What stands where something is not yet known: as wide as what replaces it, so that the row keeps its size.
pub(super) const NOT_YET: i64 = -(1 << 40);

/// As a column keeps it.
pub(super) fn endpoint_number(endpoint: Endpoint) -> i64 {
    numbers::of_endpoint(endpoint).into()
}

/// As a column keeps it.
pub(super) fn kind_number(kind: KeyKind) -> i64 {
    numbers::of_kind(kind).into()
}

/// As a column keeps it.
pub(super) fn state_number(state: TaskState) -> i64 {
    numbers::of_state(state).into()
}

/// An endpoint.
pub(super) fn endpoint(row: &Row<'_>, at: usize) -> Result<Endpoint, StoreError> {
    let number = row.get(at)?;
    numbers::endpoint(number).ok_or_else(|| corrupt("endpoint", &number))
}

/// A kind of key.
pub(super) fn kind(row: &Row<'_>, at: usize) -> Result<KeyKind, StoreError> {
    let number = row.get(at)?;
    numbers::kind(number).ok_or_else(|| corrupt("kind of key", &number))
}

/// A state.
pub(super) fn state(row: &Row<'_>, at: usize) -> Result<TaskState, StoreError> {
    let number = row.get(at)?;
    numbers::state(number).ok_or_else(|| corrupt("state of a task", &number))
}

/// A task's id.
pub(super) fn id(row: &Row<'_>, at: usize) -> Result<TaskId, StoreError> {
    Ok(TaskId::from_bytes(row.get(at)?))
}

/// An account's id.
pub(super) fn account(row: &Row<'_>, at: usize) -> Result<AccountId, StoreError> {
    Ok(AccountId::from_i64(row.get(at)?))
}

/// A priority.
pub(super) fn priority(row: &Row<'_>, at: usize) -> Result<Priority, StoreError> {
    let number: i64 = row.get(at)?;
    Priority::new(number).ok_or_else(|| corrupt("priority", &number))
}

/// A price, two columns.
pub(super) fn price(row: &Row<'_>, at: usize) -> Result<Price, StoreError> {
    Ok(Price { fixed: Credits::new(row.get(at)?), clusters_max: row.get(at + 1)? })
}

/// An instant, if there is one: neither null nor [`NOT_YET`].
pub(super) fn instant(row: &Row<'_>, at: usize) -> Result<Option<Timestamp>, StoreError> {
    let millis: Option<i64> = row.get(at)?;
    Ok(millis.filter(|millis| *millis != NOT_YET).map(Timestamp::from_millis))
}

/// A task, its columns from number `at` on.
pub(super) fn task(row: &Row<'_>, at: usize) -> Result<Task, StoreError> {
    Ok(Task {
        id: id(row, at)?,
        account: account(row, at + 1)?,
        endpoint: endpoint(row, at + 2)?,
        priority: priority(row, at + 3)?,
        webhook: row.get(at + 4)?,
        idempotency_key: row.get(at + 5)?,
        price: price(row, at + 6)?,
        created_at: Timestamp::from_millis(row.get(at + 8)?),
        state: state(row, at + 9)?,
        attempts: row.get(at + 10)?,
        started_at: instant(row, at + 11)?,
        ended_at: instant(row, at + 12)?,
        charged: Credits::new(row.get(at + 13)?),
    })
}
