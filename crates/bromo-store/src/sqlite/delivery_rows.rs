//! Rows to deliveries and their attempts.

use bromo_rules::time::Timestamp;
use rusqlite::Row;

use super::task_rows::instant;
use crate::deliveries::{DeliveryAttempt, DeliveryState, SealedSecrets};
use crate::error::StoreError;

/// Columns of [`state`], of a table named `d`.
macro_rules! delivery_state_columns {
    () => {
        "d.attempts, d.delivered_at, CASE WHEN d.state = 2 THEN d.due_at END"
    };
}
pub(super) use delivery_state_columns;

/// The state of a delivery that is there.
pub(super) fn state(row: &Row<'_>, at: usize) -> Result<DeliveryState, StoreError> {
    Ok(DeliveryState {
        attempts: row.get(at)?,
        delivered_at: instant(row, at + 1)?,
        due_at: instant(row, at + 2)?,
    })
}

/// The same from an outer join.
pub(super) fn state_if_any(row: &Row<'_>, at: usize) -> Result<Option<DeliveryState>, StoreError> {
    let any = row.get::<_, Option<u32>>(at)?.is_some();
    any.then(|| state(row, at)).transpose()
}

/// Number, at, took, status, error, response.
pub(super) fn attempt(row: &Row<'_>) -> Result<DeliveryAttempt, StoreError> {
    attempt_at(row, 0)
}

/// The same, its columns from number `at` on.
pub(super) fn attempt_at(row: &Row<'_>, at: usize) -> Result<DeliveryAttempt, StoreError> {
    Ok(DeliveryAttempt {
        number: row.get(at)?,
        at: Timestamp::from_millis(row.get(at + 1)?),
        took_ms: row.get(at + 2)?,
        status: row.get(at + 3)?,
        error: row.get(at + 4)?,
        response: row.get(at + 5)?,
    })
}

/// Current, previous, previous until; none from an outer join without a row.
pub(super) fn secrets(row: &Row<'_>, at: usize) -> Result<Option<SealedSecrets>, StoreError> {
    let Some(current) = row.get(at)? else { return Ok(None) };
    let previous = row.get::<_, Option<Vec<u8>>>(at + 1)?.zip(instant(row, at + 2)?);
    Ok(Some(SealedSecrets { current, previous }))
}
