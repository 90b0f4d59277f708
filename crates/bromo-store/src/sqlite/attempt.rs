//! Recording attempts at deliveries.

use std::time::Duration;

use bromo_rules::time::Timestamp;
use rusqlite::{Connection, params};

use super::group::Step;
use super::job::Asked;
use super::memory::Change;
use super::rows::first;
use super::task_rows::NOT_YET;
use crate::deliveries::{DeliveryAttempt, Next};
use crate::error::StoreError;
use crate::tasks::TaskSeq;

/// What stands in the last attempt of a delivery that made room for others.
const TOO_MANY_PENDING: &str = "gave up: too many deliveries pending";

/// An attempt that was made.
pub(super) struct Attempted {
    pub(super) seq: TaskSeq,
    pub(super) attempt: DeliveryAttempt,
    pub(super) next: Next,
}

/// Where a delivery stands, as a column keeps it.
const fn state_number(next: Next) -> i64 {
    match next {
        Next::RetryAt(_) => 2,
        Next::Delivered => 3,
        Next::GivenUp => 4,
    }
}

/// Records the attempt of each.
pub(super) fn run(
    step: &mut Step<'_>,
    jobs: &mut [&mut Box<Asked<Attempted, ()>>],
) -> Result<(), StoreError> {
    for job in jobs {
        job.outcome = Some(record(step, &job.ask)?);
    }
    Ok(())
}

/// The inner error is the caller's alone.
fn record(step: &mut Step<'_>, attempted: &Attempted) -> Result<Result<(), StoreError>, StoreError> {
    let Attempted { seq, attempt, next } = attempted;
    let known = step.memory.outbox().end_seq(*seq);
    let Some(end_seq) = known.map_or_else(|| end_seq(step.connection, *seq), |known| Ok(Some(known)))? else {
        return Ok(Err(StoreError::Missing { what: "delivery" }));
    };
    if !insert(step.connection, end_seq, attempt)? {
        // The same call again, after one whose outcome was not known.
        return Ok(Ok(()));
    }
    if !follow(step.connection, end_seq, attempt, *next)? {
        return Err(StoreError::Missing { what: "delivery" });
    }
    step.changes.note(match next {
        Next::RetryAt(due_at) => Change::RetryAt { seq: *seq, due_at: *due_at },
        Next::Delivered | Next::GivenUp => Change::Closed { seq: *seq },
    });
    Ok(Ok(()))
}

/// Writes what follows an attempt; false if there is no such delivery.
fn follow(
    connection: &Connection,
    end_seq: i64,
    attempt: &DeliveryAttempt,
    next: Next,
) -> Result<bool, StoreError> {
    let after = attempt.at.plus(Duration::from_millis(attempt.took_ms.into())).millis();
    let (due_at, delivered_at, ended_at) = match next {
        Next::RetryAt(due_at) => (Some(due_at.millis()), NOT_YET, NOT_YET),
        Next::Delivered => (None, after, after),
        Next::GivenUp => (None, NOT_YET, after),
    };
    let written = connection
        .prepare_cached(
            "UPDATE deliveries SET state = ?2, due_at = coalesce(?3, due_at), attempts = max(attempts, ?4),
                 round_attempts = round_attempts + 1, ended_at = ?6,
                 delivered_at = CASE WHEN delivered_at < 0 THEN ?5 ELSE delivered_at END
             WHERE end_seq = ?1",
        )?
        .execute((end_seq, state_number(next), due_at, attempt.number, delivered_at, ended_at))?;
    Ok(written == 1)
}

/// The name on disk of a task's delivery.
fn end_seq(connection: &Connection, seq: TaskSeq) -> Result<Option<i64>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT d.end_seq FROM tasks t JOIN deliveries d ON d.end_seq = t.end_seq WHERE t.seq = ?1",
    )?;
    first(&mut statement, [seq], |row| Ok(row.get(0)?))
}

/// Writes an attempt; false if it is there already.
fn insert(connection: &Connection, end_seq: i64, attempt: &DeliveryAttempt) -> Result<bool, StoreError> {
    let written = connection
        .prepare_cached(
            "INSERT OR IGNORE INTO delivery_attempts (end_seq, number, at, took_ms, status, error, response)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            end_seq,
            attempt.number,
            attempt.at.millis(),
            attempt.took_ms,
            attempt.status,
            attempt.error,
            attempt.response,
        ])?;
    Ok(written == 1)
}

/// Ends a pending delivery to make room for others, recorded as such.
pub(super) fn give_up(connection: &Connection, end_seq: i64, now: Timestamp) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE deliveries SET state = 4, attempts = attempts + 1, ended_at = ?2
             WHERE end_seq = ?1",
        )?
        .execute((end_seq, now.millis()))?;
    connection
        .prepare_cached(
            "INSERT INTO delivery_attempts (end_seq, number, at, took_ms, error, response)
             SELECT end_seq, attempts, ?2, 0, ?3, x'' FROM deliveries WHERE end_seq = ?1",
        )?
        .execute((end_seq, now.millis(), TOO_MANY_PENDING))?;
    Ok(())
}
