//! Accepting tasks: room first, for all or none, then each key alone.

use std::collections::HashMap;

use bromo_rules::id::AccountId;
use bromo_rules::task::NewTask;
use rusqlite::{Connection, params};

use super::group::Step;
use super::job::Asked;
use super::memory::{Change, Memory};
use super::queue::Entry;
use super::rows::first;
use super::{task_blocks, task_keys, task_rows};
use crate::error::StoreError;
use crate::tasks::{Accepted, KeyTaken, Submitted, TaskSeq};

/// Tasks of one account, handed in together.
pub(super) struct Submission {
    account: AccountId,
    pub(super) tasks: Vec<NewTask>,
    key_hashes: Vec<Option<i64>>,
    queued_max: u64,
    /// The place of each in the order of acceptance; none of one that was refused.
    seqs: Vec<Option<TaskSeq>>,
}

impl Submission {
    /// Hashes the keys, so that the writer need not.
    pub(super) fn new(account: AccountId, tasks: Vec<NewTask>, queued_max: u64) -> Self {
        let hash = |task: &NewTask| task.idempotency_key.as_deref().map(|key| task_keys::hash(account, key));
        let key_hashes = tasks.iter().map(hash).collect();
        Self { account, tasks, key_hashes, queued_max, seqs: Vec::new() }
    }

    /// They are on disk: queues them, and tells each its place.
    pub(super) fn apply(&self, memory: &Memory, submitted: &mut Submitted) {
        let Submitted::Each(outcomes) = submitted else { return };
        let mut queue = memory.queue();
        let mut last = None;
        for ((task, seq), outcome) in self.tasks.iter().zip(&self.seqs).zip(outcomes) {
            if let (Some(seq), Ok(accepted)) = (seq, outcome) {
                accepted.ahead_max = queue.push(*seq, entry(self.account, task), None);
                last = Some(*seq);
            }
        }
        if let Some(seq) = last {
            queue.entered_block(self.account, task_blocks::block(seq));
        }
    }
}

fn entry(account: AccountId, task: &NewTask) -> Entry {
    let NewTask { endpoint, priority, kind, price, .. } = task;
    Entry { account, hold: price.hold(), endpoint: *endpoint, priority: *priority, kind: *kind }
}

/// Accepts the tasks of each.
pub(super) fn run(
    step: &mut Step<'_>,
    jobs: &mut [&mut Box<Asked<Submission, Submitted>>],
) -> Result<(), StoreError> {
    let mut waiting = Waiting { moves: step.changes.waiting_moves(), blocks: HashMap::new() };
    for job in jobs {
        let submitted = submit(step, &mut waiting, &mut job.ask)?;
        let count = job.ask.seqs.iter().flatten().count();
        step.changes
            .note(Change::Accepted { account: job.ask.account, count: count.try_into().unwrap_or(0) });
        job.outcome = Some(Ok(submitted));
    }
    Ok(())
}

/// How the group moves what memory says of waiting tasks.
struct Waiting {
    moves: HashMap<AccountId, i64>,
    /// The block that each account has come to.
    blocks: HashMap<AccountId, i64>,
}

fn submit(step: &Step<'_>, waiting: &mut Waiting, ask: &mut Submission) -> Result<Submitted, StoreError> {
    let account = ask.account;
    let moved = waiting.moves.entry(account).or_default();
    let queued = step.memory.queue().depth(account).queued_total().saturating_add_signed(*moved);
    ask.seqs.clear();
    if queued + ask.tasks.len() as u64 > ask.queued_max {
        return Ok(Submitted::Full { queued });
    }
    let mut outcomes = Vec::with_capacity(ask.tasks.len());
    for (task, key_hash) in ask.tasks.iter().zip(&ask.key_hashes) {
        if let (Some(key), Some(hash)) = (task.idempotency_key.as_deref(), *key_hash)
            && let Some(taken) = key_taken(step.connection, account, key, hash)?
        {
            ask.seqs.push(None);
            outcomes.push(Err(taken));
            continue;
        }
        let seq = step.memory.numbers().seqs.next();
        insert(step.connection, account, seq, task, *key_hash)?;
        let block = task_blocks::block(seq);
        let known = waiting.blocks.get(&account) == Some(&block);
        if !known && step.memory.queue().enters_block(account, block) {
            task_blocks::enter(step.connection, account, block)?;
        }
        waiting.blocks.insert(account, block);
        *moved += 1;
        ask.seqs.push(Some(seq));
        // The place is known once it stands in the queue.
        outcomes.push(Ok(Accepted { ahead_max: 0 }));
    }
    Ok(Submitted::Each(outcomes))
}

fn key_taken(
    connection: &Connection,
    account: AccountId,
    key: &str,
    hash: i64,
) -> Result<Option<KeyTaken>, StoreError> {
    let Some(seq) = task_keys::lookup(connection, account, key, hash)? else { return Ok(None) };
    let mut statement = connection.prepare_cached("SELECT id, state FROM tasks WHERE seq = ?1")?;
    first(&mut statement, [seq], |row| {
        Ok(KeyTaken { id: task_rows::id(row, 0)?, state: task_rows::state(row, 1)? })
    })
}

fn insert(
    connection: &Connection,
    account: AccountId,
    seq: TaskSeq,
    task: &NewTask,
    key_hash: Option<i64>,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO tasks (seq, id, account, endpoint, kind, priority, price, clusters_max, created_at,
                 state, attempts, cuts, fence, charged)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0, 0, 0, 0, 0)",
        )?
        .execute(params![
            seq,
            task.id.as_bytes(),
            account.to_i64(),
            task_rows::endpoint_number(task.endpoint),
            task_rows::kind_number(task.kind),
            task.priority.get(),
            task.price.fixed.get(),
            task.price.clusters_max,
            task.created_at.millis(),
        ])?;
    connection
        .prepare_cached(
            "INSERT INTO questions (seq, key, payload, webhook, idempotency_key, key_hash)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            seq,
            task.key.to_i64(),
            task.payload,
            task.webhook,
            task.idempotency_key,
            key_hash
        ])?;
    Ok(())
}
