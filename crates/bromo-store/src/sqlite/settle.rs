//! Charges and ends of tasks: what of a group touches balances, written together.

use std::collections::HashMap;

use bromo_rules::id::AccountId;
use bromo_rules::task::{TaskId, TaskState};
use bromo_rules::time::Timestamp;
use rusqlite::{Connection, params};

use super::group::Step;
use super::job::{Asked, Fail};
use super::ledger::Payers;
use super::memory::{Change, TakenDeliveries};
use super::outbox::Pending;
use super::rows::first;
use super::{attempt, task_rows, webhook};
use crate::deliveries::Lane;
use crate::error::StoreError;
use crate::ledger::{Charge, Charged};
use crate::tasks::{Claim, End, Ended, Ender, TaskSeq};

/// A job that touches balances.
pub(super) enum Settlement<'a> {
    /// A charge.
    Charge(&'a mut Asked<Charge, Charged>),
    /// The end of a task.
    End(&'a mut Box<Asked<End, Ended>>),
}

impl Fail for Settlement<'_> {
    fn fail(&mut self, error: StoreError) {
        match self {
            Self::Charge(job) => job.fail(error),
            Self::End(job) => job.fail(error),
        }
    }
}

/// Settles all of them, one read and one update an account.
pub(super) fn run(step: &mut Step<'_>, jobs: &mut [Settlement<'_>]) -> Result<(), StoreError> {
    let mut payers = Payers::default();
    let mut booked = Booked::default();
    for job in jobs {
        match job {
            Settlement::Charge(job) => {
                job.outcome = Some(match payers.pay(step.connection, &job.ask) {
                    // What is wrong with one charge is told to its caller alone; anything else ends the group's.
                    Err(error @ (StoreError::Unavailable { .. } | StoreError::Corrupt { .. })) => {
                        return Err(error);
                    }
                    outcome => outcome,
                });
            }
            Settlement::End(job) => job.outcome = Some(Ok(end(step, &mut payers, &mut booked, &job.ask)?)),
        }
    }
    payers.write(step.connection)
}

/// By how much the group moves the number of an account's pending deliveries.
type Booked = HashMap<AccountId, i64>;

/// What is needed of a task to end it.
struct Ending {
    id: TaskId,
    account: AccountId,
    host: Option<std::sync::Arc<str>>,
}

fn end(
    step: &mut Step<'_>,
    payers: &mut Payers,
    booked: &mut Booked,
    end: &End,
) -> Result<Ended, StoreError> {
    let connection = step.connection;
    let Some((seq, ending)) = ending(step, end.ender)? else { return Ok(Ended::Lost) };
    let end_seq = step.memory.numbers().end_seqs.next();
    let state = if end.charge.is_some() { TaskState::Completed } else { TaskState::Failed };
    if !write_end(connection, end, seq, end_seq, state)? {
        return Ok(Ended::Lost);
    }
    let mut ended = Ended::Done { paid: None };
    if let Some(price) = end.charge
        && price.get() > 0
    {
        let charge = Charge { request: ending.id, account: ending.account, price, at: end.at };
        match payers.pay(connection, &charge)? {
            Charged::Paid { balance, ledger_seq } => {
                ended = Ended::Done { paid: Some((balance, ledger_seq)) }
            }
            Charged::Short => {
                ended = Ended::Short;
                connection
                    .prepare_cached("UPDATE tasks SET state = ?2, charged = 0 WHERE seq = ?1")?
                    .execute((seq, task_rows::state_number(TaskState::Failed)))?;
            }
        }
    }
    let response = if ended == Ended::Short { &end.if_short } else { &end.response };
    connection
        .prepare_cached("INSERT INTO results (end_seq, response) VALUES (?1, ?2)")?
        .execute((end_seq, response))?;
    step.changes.note(match end.ender {
        Ender::Claim(_) => Change::Ended { seq },
        Ender::Queued(_) => Change::Removed { account: ending.account, seq },
    });
    if let Some(host) = ending.host {
        let account = ending.account;
        let delivery = Pending { seq, end_seq, account, host, due_at: end.at, lane: Lane::Fresh };
        book(connection, &delivery)?;
        step.changes.note(Change::Booked(delivery));
        give_up_past(step, booked, account, end.pending_max, end.at)?;
    }
    Ok(ended)
}

/// What ends; none if the ender has no right to it.
fn ending(step: &Step<'_>, ender: Ender) -> Result<Option<(TaskSeq, Ending)>, StoreError> {
    match ender {
        Ender::Claim(Claim { seq, .. }) => {
            let queue = step.memory.queue();
            Ok(queue.running(seq).map(|running| {
                let host = running.host.clone();
                (seq, Ending { id: running.id, account: running.entry.account, host })
            }))
        }
        Ender::Queued(seq) => {
            let mut statement = step.connection.prepare_cached(
                "SELECT t.id, t.account, q.webhook FROM tasks t JOIN questions q ON q.seq = t.seq WHERE t.seq = ?1",
            )?;
            let found = first(&mut statement, [seq], |row| {
                let webhook: Option<Box<str>> = row.get(2)?;
                let host = webhook.as_deref().map(webhook::host);
                Ok(Ending { id: task_rows::id(row, 0)?, account: task_rows::account(row, 1)?, host })
            })?;
            Ok(found.map(|ending| (seq, ending)))
        }
    }
}

/// Ends the task if it is still the ender's.
fn write_end(
    connection: &Connection,
    end: &End,
    seq: TaskSeq,
    end_seq: i64,
    state: TaskState,
) -> Result<bool, StoreError> {
    let (from, fence) = match end.ender {
        Ender::Claim(Claim { fence, .. }) => (TaskState::Processing, Some(fence)),
        Ender::Queued(_) => (TaskState::Queued, None),
    };
    let written = connection
        .prepare_cached(
            "UPDATE tasks SET state = ?2, ended_at = ?3, end_seq = ?4, charged = ?5, expires_at = ?6, not_before = NULL
             WHERE seq = ?1 AND state = ?7 AND fence = coalesce(?8, fence)",
        )?
        .execute(params![
            seq,
            task_rows::state_number(state),
            end.at.millis(),
            end_seq,
            end.charge.map_or(0, |charge| charge.get()),
            end.keep_until.millis(),
            task_rows::state_number(from),
            fence,
        ])?;
    Ok(written == 1)
}

fn book(connection: &Connection, delivery: &Pending) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO deliveries (end_seq, seq, account, host, booked_at, state, due_at, attempts, round_attempts)
             VALUES (?1, ?2, ?3, ?4, ?5, 0, ?5, 0, 0)",
        )?
        .execute((
            delivery.end_seq,
            delivery.seq,
            delivery.account.to_i64(),
            &*delivery.host,
            delivery.due_at.millis(),
        ))?;
    Ok(())
}

/// Another delivery is pending: if that is one too many, the oldest retrying one is given up.
fn give_up_past(
    step: &mut Step<'_>,
    booked: &mut Booked,
    account: AccountId,
    pending_max: u64,
    now: Timestamp,
) -> Result<(), StoreError> {
    let moved = booked.entry(account).or_default();
    *moved += 1;
    let mut outbox = step.memory.outbox();
    if outbox.pending_of(account).saturating_add_signed(*moved) <= pending_max {
        return Ok(());
    }
    let Some(oldest) = outbox.take_oldest_retrying(account) else { return Ok(()) };
    drop(outbox);
    *moved -= 1;
    let taken = TakenDeliveries::new(step.memory, vec![oldest.seq]);
    step.changes.note(Change::GivenUp { seq: oldest.seq, taken });
    attempt::give_up(step.connection, oldest.end_seq, now)
}
