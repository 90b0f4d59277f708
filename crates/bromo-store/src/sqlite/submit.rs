//! Accepting tasks: room first, for all or none, then each key alone.

use std::collections::{HashMap, HashSet};

use bromo_rules::id::AccountId;
use bromo_rules::task::NewTask;
use rusqlite::{Connection, ErrorCode, params};

use super::group::Step;
use super::job::Asked;
use super::memory::{Change, Changes, Memory};
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

    /// What the group is to know of those that were taken.
    fn accepted(&self) -> Change {
        let taken = self.seqs.iter().zip(&self.key_hashes);
        let keys = taken.filter_map(|(seq, hash)| Some(((*hash)?, (*seq)?))).collect();
        let count = i64::try_from(self.seqs.iter().flatten().count()).unwrap_or(0);
        Change::Accepted { account: self.account, count, keys }
    }

    /// They are on disk: queues them, and tells each its place.
    pub(super) fn apply(&self, memory: &Memory, submitted: &mut Submitted) {
        let Submitted::Each(outcomes) = submitted else { return };
        let mut queue = memory.queue();
        let mut last = None;
        for ((task, seq), outcome) in self.tasks.iter().zip(&self.seqs).zip(outcomes) {
            if let (Some(seq), Ok(accepted)) = (seq, outcome) {
                accepted.ahead_max = queue.accept(*seq, entry(self.account, task), None);
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
    let mut waiting = Waiting::after(step.changes);
    for job in jobs {
        let submitted = submit(step, &mut waiting, &mut job.ask)?;
        step.changes.note(job.ask.accepted());
        job.outcome = Some(Ok(submitted));
    }
    Ok(())
}

/// How the group moves what memory says of waiting tasks.
#[derive(Default)]
struct Waiting {
    moves: HashMap<AccountId, i64>,
    keys: HashMap<i64, Vec<TaskSeq>>,
    /// The block that each account has come to.
    blocks: HashMap<AccountId, i64>,
    opened: HashSet<i64>,
}

impl Waiting {
    fn after(changes: &Changes) -> Self {
        let mut waiting = Self { moves: changes.waiting_moves(), ..Self::default() };
        for (hash, seq) in changes.keys() {
            waiting.keys.entry(hash).or_default().push(seq);
        }
        waiting
    }
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
            && let Some(taken) = key_taken(step, waiting, account, key, hash)?
        {
            ask.seqs.push(None);
            outcomes.push(Err(taken));
            continue;
        }
        let seq = step.memory.numbers().seqs.next();
        insert(step.connection, account, seq, task, *key_hash)?;
        enter_block(step, waiting, account, seq)?;
        if let Some(hash) = *key_hash {
            waiting.keys.entry(hash).or_default().push(seq);
        }
        ask.seqs.push(Some(seq));
        // The place is known once it stands in the queue.
        outcomes.push(Ok(Accepted { ahead_max: 0 }));
    }
    let accepted = ask.seqs.iter().flatten().count();
    *waiting.moves.entry(account).or_default() += i64::try_from(accepted).unwrap_or(0);
    Ok(Submitted::Each(outcomes))
}

fn enter_block(
    step: &Step<'_>,
    waiting: &mut Waiting,
    account: AccountId,
    seq: TaskSeq,
) -> Result<(), StoreError> {
    let block = task_blocks::block(seq);
    if waiting.blocks.insert(account, block) == Some(block) {
        return Ok(());
    }
    let queue = step.memory.queue();
    let (first, first_of_account) = (!queue.is_open(block), queue.enters_block(account, block));
    drop(queue);
    if first && waiting.opened.insert(block) {
        task_blocks::open(step.connection, block)?;
    }
    if first_of_account {
        task_blocks::enter(step.connection, account, block)?;
    }
    Ok(())
}

fn key_taken(
    step: &Step<'_>,
    waiting: &Waiting,
    account: AccountId,
    key: &str,
    hash: i64,
) -> Result<Option<KeyTaken>, StoreError> {
    let recent = step.memory.keys().lookup(hash);
    let own = waiting.keys.get(&hash).into_iter().flatten().copied();
    let recent: Vec<_> = recent.into_iter().chain(own).collect();
    let Some(seq) = task_keys::lookup(step.connection, account, key, hash, &recent)? else {
        return Ok(None);
    };
    let mut statement = step.connection.prepare_cached(
        "SELECT t.id, CASE WHEN c.seq IS NULL THEN t.state ELSE 3 END
         FROM tasks t LEFT JOIN claims c ON c.seq = t.seq WHERE t.seq = ?1",
    )?;
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
    let inserted = connection
        .prepare_cached(
            "INSERT INTO tasks (seq, id, account, endpoint, kind, priority, price, clusters_max, created_at,
                 key_hash, attempts, cuts)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 0, 0)",
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
            key_hash,
        ]);
    match inserted {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
            return Err(StoreError::Conflict { what: "task" });
        }
        inserted => inserted?,
    };
    connection
        .prepare_cached(
            "INSERT INTO questions (seq, key, payload, webhook, idempotency_key) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![seq, task.key.to_i64(), task.payload, task.webhook, task.idempotency_key])?;
    Ok(())
}
