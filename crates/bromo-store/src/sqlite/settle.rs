//! Charges and ends of tasks: what of a group touches balances, written together.

use std::collections::HashMap;
use std::sync::Arc;

use bromo_rules::credit::Credits;
use bromo_rules::id::AccountId;
use bromo_rules::task::{TaskId, TaskState};
use bromo_rules::time::Timestamp;
use rusqlite::{Connection, params};

use super::group::Step;
use super::job::{Asked, Fail};
use super::ledger::{Cause, Payers};
use super::memory::{Change, TakenDeliveries};
use super::outbox::Pending;
use super::rows::first;
use super::{attempt, claim, task_rows};
use crate::deliveries::Lane;
use crate::error::StoreError;
use crate::ledger::{Charge, Charged};
use crate::tasks::{Claim, End, Ended, Ender, TaskSeq};
use crate::webhook;

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
                job.outcome = Some(match payers.pay(step.connection, &job.ask, Cause::Request) {
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

/// A task that is about to end.
struct Ending {
    seq: TaskSeq,
    id: TaskId,
    account: AccountId,
    host: Option<Arc<str>>,
    attempts: i64,
    started_at: Option<i64>,
}

fn end(
    step: &mut Step<'_>,
    payers: &mut Payers,
    booked: &mut Booked,
    end: &End,
) -> Result<Ended, StoreError> {
    let ending = match end.ender {
        Ender::Claim(claim) => claimed(step, claim)?,
        Ender::Queued(seq) => waiting(step.connection, seq)?,
    };
    let Some(ending) = ending else { return Ok(Ended::Lost) };
    let Ending { seq, account, .. } = ending;
    let ended = pay(step.connection, payers, &ending, end)?;
    let end_seq = step.memory.numbers().end_seqs.next();
    write(step.connection, &ending, end_seq, end, ended)?;
    step.changes.note(match end.ender {
        Ender::Claim(_) => Change::Ended { seq },
        Ender::Queued(_) => Change::Removed { account, seq },
    });
    if let Some(host) = ending.host {
        let delivery = Pending { seq, end_seq, account, host, due_at: end.at, lane: Lane::Fresh };
        book(step.connection, &delivery)?;
        step.changes.note(Change::Booked(delivery));
        give_up_past(step, booked, account, end.pending_max, end.at)?;
    }
    Ok(ended)
}

/// The task of this claim, which is over with that; none if it was lost. What never changes is in memory.
fn claimed(step: &Step<'_>, claim: Claim) -> Result<Option<Ending>, StoreError> {
    let Some(held) = claim::release(step.connection, claim)? else { return Ok(None) };
    let queue = step.memory.queue();
    let running = queue.running(claim.seq).ok_or_else(|| StoreError::Corrupt {
        reason: format!("a claim of task {} that nobody made", claim.seq),
    })?;
    Ok(Some(Ending {
        seq: claim.seq,
        id: running.id,
        account: running.entry.account,
        host: running.host.clone(),
        attempts: held.attempt,
        started_at: Some(held.started_at),
    }))
}

/// This task, if it waits.
fn waiting(connection: &Connection, seq: TaskSeq) -> Result<Option<Ending>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT t.id, t.account, q.webhook, t.attempts, t.started_at FROM tasks t JOIN questions q ON q.seq = t.seq
         WHERE t.seq = ?1 AND t.end_seq < 0 AND NOT EXISTS (SELECT 1 FROM claims WHERE seq = ?1)",
    )?;
    first(&mut statement, [seq], |row| {
        let webhook: Option<Box<str>> = row.get(2)?;
        Ok(Ending {
            seq,
            id: task_rows::id(row, 0)?,
            account: task_rows::account(row, 1)?,
            host: webhook.as_deref().map(webhook::host),
            attempts: row.get(3)?,
            started_at: row.get(4)?,
        })
    })
}

/// Takes the charge, if there is one to take.
fn pay(
    connection: &Connection,
    payers: &mut Payers,
    ending: &Ending,
    end: &End,
) -> Result<Ended, StoreError> {
    let Some(price) = end.charge.filter(|price| *price > Credits::ZERO) else {
        return Ok(Ended::Done { paid: None });
    };
    let charge = Charge { request: ending.id, account: ending.account, price, at: end.at };
    Ok(match payers.pay(connection, &charge, Cause::Task)? {
        Charged::Paid { balance, ledger_seq } => Ended::Done { paid: Some((balance, ledger_seq)) },
        Charged::Short => Ended::Short,
    })
}

fn write(
    connection: &Connection,
    ending: &Ending,
    end_seq: i64,
    end: &End,
    ended: Ended,
) -> Result<(), StoreError> {
    let short = ended == Ended::Short;
    let charged = end.charge.filter(|_| !short);
    let state = if charged.is_some() { TaskState::Completed } else { TaskState::Failed };
    connection.prepare_cached("UPDATE tasks SET state = ?2, end_seq = ?3 WHERE seq = ?1")?.execute((
        ending.seq,
        task_rows::state_number(state),
        end_seq,
    ))?;
    connection
        .prepare_cached(
            "INSERT INTO results (end_seq, seq, attempts, started_at, ended_at, charged, expires_at, response)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            end_seq,
            ending.seq,
            ending.attempts,
            ending.started_at,
            end.at.millis(),
            charged.map_or(0, Credits::get),
            end.keep_until.millis(),
            if short { &end.if_short } else { &end.response },
        ])?;
    Ok(())
}

fn book(connection: &Connection, delivery: &Pending) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO deliveries (end_seq, seq, account, host, booked_at, due_at, attempts, round_attempts)
             VALUES (?1, ?2, ?3, ?4, ?5, ?5, 0, 0)",
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
