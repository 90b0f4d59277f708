//! Rows to deliveries and their attempts.
//!
//! A delivery is in one of two tables: `due` while it is pending, here `d`; `deliveries` once it is over, here `o`.

use bromo_rules::time::Timestamp;
use tokio_postgres::Row;

use super::rows::{get, instant, instant_if_any};
use super::task_rows::small;
use crate::deliveries::{DeliveryAttempt, DeliveryStage, DeliveryState, SealedSecrets};
use crate::error::StoreError;

/// Columns of [`state`], from [`delivery_tables`].
macro_rules! delivery_state_columns {
    () => {
        "coalesce(d.attempts, o.attempts), coalesce(d.delivered_at, o.delivered_at), d.due_at"
    };
}
pub(super) use delivery_state_columns;

/// What is joined to a table of tasks named `t` for [`delivery_state_columns`].
macro_rules! delivery_tables {
    () => {
        " LEFT JOIN LATERAL (SELECT * FROM due WHERE seq = t.seq OFFSET 0) d ON true \
          LEFT JOIN LATERAL (SELECT * FROM deliveries WHERE seq = t.seq AND id = t.id OFFSET 0) o ON true "
    };
}
pub(super) use delivery_tables;

/// Delivered, as a column keeps it.
pub(super) const DELIVERED: i16 = 3;
/// Given up, likewise.
pub(super) const GIVEN_UP: i16 = 4;

/// The state of a delivery that is there.
pub(super) fn state(row: &Row, at: usize) -> Result<DeliveryState, StoreError> {
    Ok(DeliveryState {
        attempts: small(row, at)?,
        delivered_at: instant_if_any(row, at + 1)?,
        due_at: instant_if_any(row, at + 2)?,
    })
}

/// The same from outer joins.
pub(super) fn state_if_any(row: &Row, at: usize) -> Result<Option<DeliveryState>, StoreError> {
    let any = get::<Option<i32>>(row, at)?.is_some();
    any.then(|| state(row, at)).transpose()
}

/// What became of a delivery: one column, null while it is pending.
pub(super) fn stage(row: &Row, at: usize) -> Result<DeliveryStage, StoreError> {
    match get::<Option<i16>>(row, at)? {
        None => Ok(DeliveryStage::Pending),
        Some(DELIVERED) => Ok(DeliveryStage::Delivered),
        Some(GIVEN_UP) => Ok(DeliveryStage::GivenUp),
        Some(other) => Err(StoreError::Corrupt { reason: format!("unknown state of a delivery {other}") }),
    }
}

/// Number, at, took, status, error, response, from column `at` on.
pub(super) fn attempt(row: &Row, at: usize) -> Result<DeliveryAttempt, StoreError> {
    let took_ms: i64 = get(row, at + 2)?;
    let status: Option<i32> = get(row, at + 3)?;
    let error: Option<&[u8]> = get(row, at + 4)?;
    Ok(DeliveryAttempt {
        number: small(row, at)?,
        at: instant(row, at + 1)?,
        took_ms: u32::try_from(took_ms).unwrap_or(u32::MAX),
        status: status.and_then(|status| u16::try_from(status).ok()),
        error: error.map(|error| String::from_utf8_lossy(error).into_owned()),
        response: get(row, at + 5)?,
    })
}

/// Current, previous, previous until; none from an outer join without a row.
pub(super) fn secrets(row: &Row, at: usize) -> Result<Option<SealedSecrets>, StoreError> {
    let Some(current) = get(row, at)? else { return Ok(None) };
    let previous = get::<Option<Vec<u8>>>(row, at + 1)?;
    let until: Option<Timestamp> = instant_if_any(row, at + 2)?;
    Ok(Some(SealedSecrets { current, previous: previous.zip(until) }))
}
