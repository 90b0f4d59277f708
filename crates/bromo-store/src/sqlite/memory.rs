//! What is known of tasks and deliveries without asking the disk, and how it follows the disk.
//!
//! The folder belongs to this process, so memory can be exact. The writer notes what each job changes, and applies it
//! after the commit and before anybody is answered; if the commit fails nothing has changed. Two things happen here
//! first: tasks and deliveries are taken out of sight while somebody is about to claim or send them. Whoever takes
//! them holds a value that shows them again when it is dropped.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bromo_rules::id::AccountId;
use bromo_rules::task::TaskId;
use bromo_rules::time::Timestamp;

use super::keys_recent::{Keys, Sweep};
use super::outbox::{Outbox, Pending};
use super::queue::Queue;
use crate::tasks::TaskSeq;

/// Tasks and deliveries, in memory.
#[derive(Debug, Default)]
pub(super) struct Memory {
    queue: Mutex<Queue>,
    outbox: Mutex<Outbox>,
    keys: Mutex<Keys>,
    numbers: Numbers,
    recovered: u64,
}

/// The next numbers; each is used once, whether its commit works or not.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// Of tasks.
    pub(super) seqs: Counter,
    /// Of ends.
    pub(super) end_seqs: Counter,
    /// Of claims.
    pub(super) fences: Counter,
}

impl Memory {
    /// As the disk has it; `recovered` tasks were found running.
    pub(super) fn new(queue: Queue, outbox: Outbox, keys: Keys, numbers: Numbers, recovered: u64) -> Self {
        Self {
            queue: Mutex::new(queue),
            outbox: Mutex::new(outbox),
            keys: Mutex::new(keys),
            numbers,
            recovered,
        }
    }

    /// The next numbers.
    pub(super) const fn numbers(&self) -> &Numbers {
        &self.numbers
    }

    /// Tasks that were found running when the store was opened.
    pub(super) const fn recovered(&self) -> u64 {
        self.recovered
    }

    /// The queue. Held for a moment, never across an await or a disk access.
    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The outbox, likewise.
    pub(super) fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The keys, likewise.
    pub(super) fn keys(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the group has written is on disk.
    pub(super) fn apply(&self, changes: Changes) {
        if changes.list.is_empty() {
            return;
        }
        let (mut queue, mut outbox) = (self.queue(), self.outbox());
        for change in changes.list {
            match change {
                Change::Accepted { keys: new, .. } => {
                    let mut keys = self.keys();
                    new.into_iter().for_each(|(hash, seq)| keys.add(hash, seq));
                }
                Change::KeyGone { key_hash, seq } => self.keys().remove(key_hash, seq),
                Change::KeysSwept(sweep) => self.keys().swept(&sweep),
                Change::Claimed { seq, id, host, .. } => queue.start(seq, id, host),
                Change::PutBack { seq, not_before, .. } => queue.put_back(seq, not_before),
                Change::Removed { seq, .. } => drop(queue.remove(seq)),
                Change::Ended { seq } => drop(queue.end(seq)),
                Change::Booked(delivery) => outbox.book(delivery),
                Change::RetryAt { seq, due_at } => outbox.retry_at(seq, due_at),
                Change::Closed { seq } => outbox.close(seq),
                Change::GivenUp { seq, taken } => {
                    taken.keep();
                    outbox.close(seq);
                }
            }
        }
    }
}

/// Hands out numbers.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicI64);

impl Counter {
    /// Begins after `last`.
    pub(super) const fn after(last: i64) -> Self {
        Self(AtomicI64::new(last + 1))
    }

    /// Another number.
    pub(super) fn next(&self) -> i64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }

    /// The number that comes next.
    pub(super) fn peek(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One thing that a job wrote.
#[derive(Debug)]
pub(super) enum Change {
    /// Tasks wait. The job queues them itself.
    Accepted { account: AccountId, count: i64, keys: Vec<(i64, TaskSeq)> },
    /// A task that had a key is gone.
    KeyGone { key_hash: i64, seq: TaskSeq },
    /// Keys up to this one are in their table.
    KeysSwept(Sweep),
    /// A waiting task runs.
    Claimed { account: AccountId, seq: TaskSeq, id: TaskId, host: Option<Arc<str>> },
    /// A running task waits again.
    PutBack { account: AccountId, seq: TaskSeq, not_before: Option<Timestamp> },
    /// A waiting task is gone or has ended.
    Removed { account: AccountId, seq: TaskSeq },
    /// A running task has ended.
    Ended { seq: TaskSeq },
    /// A delivery is pending, or is due at another time.
    Booked(Pending),
    /// An attempt at a delivery failed.
    RetryAt { seq: TaskSeq, due_at: Timestamp },
    /// A delivery is pending no longer.
    Closed { seq: TaskSeq },
    /// The same of one that was taken for this; it is put back if this is undone.
    GivenUp { seq: TaskSeq, taken: TakenDeliveries },
}

/// What the jobs of a group have written so far.
#[derive(Debug, Default)]
pub(super) struct Changes {
    list: Vec<Change>,
}

impl Changes {
    /// One more.
    pub(super) fn note(&mut self, change: Change) {
        self.list.push(change);
    }

    /// Where the next one will stand.
    pub(super) const fn mark(&self) -> usize {
        self.list.len()
    }

    /// Those since the mark were undone.
    pub(super) fn undo(&mut self, mark: usize) {
        self.list.truncate(mark);
    }

    /// Keys of tasks that were accepted.
    pub(super) fn keys(&self) -> impl Iterator<Item = (i64, TaskSeq)> {
        let keys = self.list.iter().filter_map(|change| match change {
            Change::Accepted { keys, .. } => Some(keys),
            _ => None,
        });
        keys.flatten().copied()
    }

    /// By how much each account's number of waiting tasks moves.
    pub(super) fn waiting_moves(&self) -> HashMap<AccountId, i64> {
        let mut moves = HashMap::new();
        for change in &self.list {
            match change {
                Change::Accepted { account, count, .. } => *moves.entry(*account).or_default() += count,
                Change::Claimed { account, .. } | Change::Removed { account, .. } => {
                    *moves.entry(*account).or_default() -= 1;
                }
                Change::PutBack { account, .. } => *moves.entry(*account).or_default() += 1,
                Change::KeyGone { .. }
                | Change::KeysSwept(_)
                | Change::Ended { .. }
                | Change::Booked(_)
                | Change::RetryAt { .. }
                | Change::Closed { .. }
                | Change::GivenUp { .. } => {}
            }
        }
        moves
    }
}

/// Tasks that were taken out of sight to be claimed. Shown again when this is dropped, those that still wait.
pub(super) struct TakenTasks {
    memory: Arc<Memory>,
    seqs: Vec<TaskSeq>,
}

impl TakenTasks {
    /// Takes those of `tasks` that may run.
    pub(super) fn take(memory: &Arc<Memory>, tasks: &[TaskSeq]) -> Self {
        let seqs = memory.queue().take(tasks);
        Self { memory: Arc::clone(memory), seqs }
    }

    /// Which.
    pub(super) fn seqs(&self) -> &[TaskSeq] {
        &self.seqs
    }
}

impl Drop for TakenTasks {
    fn drop(&mut self) {
        if !self.seqs.is_empty() {
            self.memory.queue().untake(&self.seqs);
        }
    }
}

/// Deliveries that were taken, until it is certain that their taker has them. Put back when this is dropped.
pub(super) struct TakenDeliveries {
    memory: Arc<Memory>,
    seqs: Vec<TaskSeq>,
}

impl TakenDeliveries {
    /// Deliveries that are taken already.
    pub(super) fn new(memory: &Arc<Memory>, seqs: Vec<TaskSeq>) -> Self {
        Self { memory: Arc::clone(memory), seqs }
    }

    /// They stay taken.
    pub(super) fn keep(mut self) {
        self.seqs.clear();
    }
}

impl Drop for TakenDeliveries {
    fn drop(&mut self) {
        if !self.seqs.is_empty() {
            self.memory.outbox().put_back(&self.seqs);
        }
    }
}

impl fmt::Debug for TakenDeliveries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TakenDeliveries").field(&self.seqs).finish()
    }
}
