//! One group of jobs in one transaction.
//!
//! The frequent jobs of a kind are written together, in one savepoint and with what they have in common done once. If
//! one of them spoils that, each is tried again alone, so that an error of one never undoes another.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rusqlite::Connection;

use super::job::{Committed, Fail, Job};
use super::memory::{Change, Changes, Memory};
use super::settle::Settlement;
use super::{attempt, claim, settle, submit, task_blocks, task_keys};
use crate::error::StoreError;
use crate::tasks::TaskSeq;

/// What a job is run with.
pub(super) struct Step<'a> {
    /// Inside the group's transaction.
    pub(super) connection: &'a Connection,
    /// As it was before the group.
    pub(super) memory: &'a Arc<Memory>,
    /// What the group has written so far.
    pub(super) changes: &'a mut Changes,
}

/// Runs the group in one transaction, and lets `memory` follow if it is on disk. Afterwards no transaction is open,
/// whatever happened.
pub(super) fn commit(connection: &Connection, memory: &Arc<Memory>, group: &mut [Job]) -> Committed {
    let outcome = catch_unwind(AssertUnwindSafe(|| run(connection, memory, group)));
    let committed = match outcome {
        Ok(outcome) => outcome.map_err(|error| error.to_string()),
        Err(panic) => Err(format!("panicked: {}", panic_text(panic.as_ref()))),
    };
    if !connection.is_autocommit()
        && let Err(error) = connection.execute_batch("ROLLBACK")
    {
        tracing::error!(%error, "rollback failed");
    }
    committed.map(|changes| {
        memory.apply(changes);
        for job in group {
            job.apply(memory);
        }
    })
}

fn run(connection: &Connection, memory: &Arc<Memory>, group: &mut [Job]) -> Result<Changes, StoreError> {
    execute(connection, "BEGIN IMMEDIATE")?;
    let next = memory.numbers().seqs.peek();
    let mut changes = Changes::default();
    let mut step = Step { connection, memory, changes: &mut changes };
    let (mut claims, mut submits, mut settlements, mut attempts) = (vec![], vec![], vec![], vec![]);
    for job in group {
        match job {
            Job::Other(work) => drop(in_savepoint(&mut step, |step| {
                if work.run(step.connection, step.changes) { Ok(()) } else { Err(undone()) }
            })?),
            Job::Claim(job) => claims.push(job),
            Job::Submit(job) => submits.push(job),
            Job::Charge(job) => settlements.push(Settlement::Charge(job)),
            Job::End(job) => settlements.push(Settlement::End(job)),
            Job::Attempt(job) => attempts.push(job),
        }
    }
    // All arrived together, so any order is right. This one lets grants count for charges, and lets deleted and
    // claimed tasks make room for new ones.
    together(&mut step, &mut claims, claim::run)?;
    together(&mut step, &mut submits, submit::run)?;
    together(&mut step, &mut settlements, settle::run)?;
    together(&mut step, &mut attempts, attempt::run)?;
    keep_house(&mut step, next)?;
    execute(connection, "COMMIT")?;
    Ok(changes)
}

/// What waits for any commit to go along with. `next` is the number of the next task as it was before the group.
fn keep_house(step: &mut Step<'_>, next: TaskSeq) -> Result<(), StoreError> {
    let closed = step.memory.queue().take_closed();
    let accepted = step.changes.keys().count();
    let sweep = step.memory.keys().slice(accepted, next);
    if closed.is_empty() && sweep.is_none() {
        return Ok(());
    }
    let kept = in_savepoint(step, |step| {
        for block in closed {
            task_blocks::close(step.connection, block)?;
        }
        if let Some(sweep) = sweep {
            task_keys::sweep(step.connection, &sweep)?;
            step.changes.note(Change::KeysSwept(sweep));
        }
        Ok(())
    })?;
    // Nobody waits for it, and it comes again: open blocks may be too many, keys stay in memory.
    if let Err(error) = kept {
        tracing::warn!(%error, "cannot keep house");
    }
    Ok(())
}

/// At the end: writes what memory knows of keys, which the next opening need not read then.
pub(super) fn finish(connection: &Connection, memory: &Memory) -> Result<(), StoreError> {
    let Some(rest) = memory.keys().rest(memory.numbers().seqs.peek()) else { return Ok(()) };
    execute(connection, "BEGIN IMMEDIATE")?;
    let written = task_keys::sweep(connection, &rest).and_then(|()| execute(connection, "COMMIT"));
    if written.is_err() {
        drop(connection.execute_batch("ROLLBACK"));
    }
    written
}

/// Runs jobs of one kind together, or each alone.
fn together<J: Fail>(
    step: &mut Step<'_>,
    jobs: &mut [J],
    run: impl Fn(&mut Step<'_>, &mut [J]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    if jobs.is_empty() {
        return Ok(());
    }
    let Err(error) = in_savepoint(step, |step| run(step, jobs))? else { return Ok(()) };
    if let [job] = jobs {
        job.fail(error);
        return Ok(());
    }
    for job in jobs {
        let alone = std::slice::from_mut(job);
        if let Err(error) = in_savepoint(step, |step| run(step, alone))? {
            job.fail(error);
        }
    }
    Ok(())
}

/// Runs `work` so that its changes can be undone alone, which an error of it does. The outer error ends the group.
fn in_savepoint(
    step: &mut Step<'_>,
    work: impl FnOnce(&mut Step<'_>) -> Result<(), StoreError>,
) -> Result<Result<(), StoreError>, StoreError> {
    let (connection, mark) = (step.connection, step.changes.mark());
    execute(connection, "SAVEPOINT job")?;
    let outcome = catch_unwind(AssertUnwindSafe(|| work(step))).unwrap_or_else(|panic| {
        tracing::error!(panic = panic_text(panic.as_ref()), "a store job panicked");
        Err(StoreError::Unavailable { reason: "the job panicked".to_owned() })
    });
    // A full disk can make SQLite undo the whole transaction, and with it the jobs before this one.
    if connection.is_autocommit() {
        return Err(StoreError::Unavailable { reason: "the database undid the transaction".to_owned() });
    }
    if outcome.is_err() {
        step.changes.undo(mark);
        execute(connection, "ROLLBACK TO job")?;
    }
    execute(connection, "RELEASE job")?;
    Ok(outcome)
}

/// Not told to anybody: the job has its own error.
fn undone() -> StoreError {
    StoreError::Unavailable { reason: "undone".to_owned() }
}

fn execute(connection: &Connection, sql: &str) -> Result<(), StoreError> {
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
