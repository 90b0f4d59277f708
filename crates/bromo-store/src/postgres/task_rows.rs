//! Rows to tasks and back.

use bromo_rules::credit::{Credits, Price};
use bromo_rules::endpoint::Endpoint;
use bromo_rules::id::AccountId;
use bromo_rules::key::KeyKind;
use bromo_rules::task::{Priority, Task, TaskId, TaskState};
use tokio_postgres::Row;
use uuid::Uuid;

use super::rows::{get, instant, instant_if_any};
use crate::error::StoreError;
use crate::numbers;

/// Columns of [`task`], from [`task_tables`].
macro_rules! task_columns {
    () => {
        "t.id, t.account, t.endpoint, t.priority, t.webhook, t.idempotency_key, t.price, t.clusters_max, \
         t.created_at, (CASE WHEN q.seq IS NULL THEN r.state WHEN q.node IS NULL THEN 2 ELSE 3 END)::smallint, \
         coalesce(r.attempts, q.attempts), coalesce(r.started_at, q.started_at), r.ended_at, \
         coalesce(r.charged, 0)"
    };
}
pub(super) use task_columns;

/// What is joined to a table of tasks named `t` for [`task_columns`]. The id says which partition, the number where.
macro_rules! task_tables {
    () => {
        " LEFT JOIN LATERAL (SELECT * FROM queue WHERE seq = t.seq OFFSET 0) q ON true \
          LEFT JOIN LATERAL (SELECT * FROM results WHERE seq = t.seq AND id = t.id OFFSET 0) r ON true "
    };
}
pub(super) use task_tables;

/// How many columns [`task_columns`] has.
pub(super) const TASK_COLUMNS: usize = 14;

/// The line of test tasks, which ask no endpoint.
pub(super) const TEST_LINE: i16 = 8;

/// What a task stands in line for.
pub(super) fn line(endpoint: Endpoint, kind: KeyKind) -> i16 {
    match kind {
        KeyKind::Live => numbers::of_endpoint(endpoint),
        KeyKind::Test => TEST_LINE,
    }
}

/// As a column keeps it.
pub(super) const fn uuid(id: TaskId) -> Uuid {
    Uuid::from_bytes(*id.as_bytes())
}

/// A task's id.
pub(super) fn id(row: &Row, at: usize) -> Result<TaskId, StoreError> {
    Ok(TaskId::from_bytes(*get::<Uuid>(row, at)?.as_bytes()))
}

/// An account's id.
pub(super) fn account(row: &Row, at: usize) -> Result<AccountId, StoreError> {
    Ok(AccountId::from_i64(get(row, at)?))
}

/// A priority.
pub(super) fn priority(row: &Row, at: usize) -> Result<Priority, StoreError> {
    priority_of(get(row, at)?)
}

/// A task's priority.
pub(super) fn priority_of(number: i16) -> Result<Priority, StoreError> {
    Priority::new(number.into()).ok_or_else(|| unknown("priority", number))
}

/// An endpoint.
pub(super) fn endpoint(row: &Row, at: usize) -> Result<Endpoint, StoreError> {
    let number: i16 = get(row, at)?;
    numbers::endpoint(number.into()).ok_or_else(|| unknown("endpoint", number))
}

/// A kind of key.
pub(super) fn kind(row: &Row, at: usize) -> Result<KeyKind, StoreError> {
    let number: i16 = get(row, at)?;
    numbers::kind(number.into()).ok_or_else(|| unknown("kind of key", number))
}

/// A state.
pub(super) fn state(row: &Row, at: usize) -> Result<TaskState, StoreError> {
    let number: Option<i16> = get(row, at)?;
    let number = number.ok_or_else(|| StoreError::Corrupt { reason: "a task without a state".to_owned() })?;
    numbers::state(number.into()).ok_or_else(|| unknown("state of a task", number))
}

/// A price, two columns.
pub(super) fn price(row: &Row, at: usize) -> Result<Price, StoreError> {
    Ok(Price { fixed: Credits::new(get(row, at)?), clusters_max: small(row, at + 1)? })
}

/// A count that is never negative.
pub(super) fn small<T: TryFrom<i32>>(row: &Row, at: usize) -> Result<T, StoreError> {
    let number: i32 = get(row, at)?;
    T::try_from(number).map_err(|_| unknown("count", number))
}

/// Attempts of a task.
pub(super) fn attempts(row: &Row, at: usize) -> Result<u8, StoreError> {
    let number: i16 = get(row, at)?;
    u8::try_from(number).map_err(|_| unknown("count of attempts", number))
}

/// A text that a customer chose.
pub(super) fn text(bytes: &[u8]) -> Result<&str, StoreError> {
    std::str::from_utf8(bytes)
        .map_err(|_| StoreError::Corrupt { reason: "a text that is not UTF-8".to_owned() })
}

fn text_if_any(row: &Row, at: usize) -> Result<Option<Box<str>>, StoreError> {
    let bytes: Option<&[u8]> = get(row, at)?;
    Ok(bytes.map(text).transpose()?.map(Into::into))
}

fn unknown(what: &str, number: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt { reason: format!("unknown {what} {number}") }
}

/// A task, its columns from number `at` on.
pub(super) fn task(row: &Row, at: usize) -> Result<Task, StoreError> {
    Ok(Task {
        id: id(row, at)?,
        account: account(row, at + 1)?,
        endpoint: endpoint(row, at + 2)?,
        priority: priority(row, at + 3)?,
        webhook: text_if_any(row, at + 4)?,
        idempotency_key: text_if_any(row, at + 5)?,
        price: price(row, at + 6)?,
        created_at: instant(row, at + 8)?,
        state: state(row, at + 9)?,
        attempts: attempts(row, at + 10)?,
        started_at: instant_if_any(row, at + 11)?,
        ended_at: instant_if_any(row, at + 12)?,
        charged: Credits::new(get(row, at + 13)?),
    })
}
