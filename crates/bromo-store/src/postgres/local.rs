//! What this node alone knows of tasks and deliveries: which it is about to claim, and how many there are, roughly.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bromo_rules::task::Priority;

use crate::tasks::{Claim, TaskSeq};

/// Shared by the store, its lanes and whoever looks after them.
#[derive(Debug, Default)]
pub(super) struct Local {
    hidden: Mutex<HashSet<TaskSeq>>,
    /// Counters, exact when they were read, moved by what this node wrote since.
    waiting: AtomicI64,
    running: AtomicI64,
    pending: AtomicI64,
    moves: AtomicU64,
    /// Tasks claimed, by account and priority, since its floor was last raised.
    claimed: Mutex<HashMap<(i64, Priority), u32>>,
    recovered: AtomicU64,
    /// Deliveries whose rows have moved since their table was last cleaned.
    sent: AtomicU64,
    /// Deliveries that are to be put back, and for which the lane had no room.
    unreturned: Mutex<Vec<TaskSeq>>,
    /// Something was handed to the lane without waiting for it.
    told: AtomicBool,
    held: Mutex<Held>,
    /// Something may have been left behind.
    doubted: AtomicBool,
}

/// What callers of this store have.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) tasks: HashSet<Claim>,
    pub(super) deliveries: HashSet<TaskSeq>,
}

/// How a group moves what there is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moves {
    /// Tasks that wait.
    pub(super) waiting: i64,
    /// Tasks that run.
    pub(super) running: i64,
    /// Deliveries that are pending.
    pub(super) pending: i64,
}

impl Local {
    /// What a group moved is on disk.
    pub(super) fn moved(&self, by: Moves) {
        self.moves.fetch_add(1, Ordering::Relaxed);
        self.waiting.fetch_add(by.waiting, Ordering::Relaxed);
        self.running.fetch_add(by.running, Ordering::Relaxed);
        self.pending.fetch_add(by.pending, Ordering::Relaxed);
    }

    /// How often something was moved: what was read while this stood still is exact.
    pub(super) fn moves(&self) -> u64 {
        self.moves.load(Ordering::Relaxed)
    }

    /// There is so much.
    pub(super) fn set(&self, there_is: Moves) {
        self.waiting.store(there_is.waiting, Ordering::Relaxed);
        self.running.store(there_is.running, Ordering::Relaxed);
        self.pending.store(there_is.pending, Ordering::Relaxed);
    }

    /// Waiting and running tasks.
    pub(super) fn totals(&self) -> (u64, u64) {
        (read(&self.waiting), read(&self.running))
    }

    /// Pending deliveries.
    pub(super) fn pending(&self) -> u64 {
        read(&self.pending)
    }

    /// Tasks of dead nodes that this one put back.
    pub(super) fn recovered(&self) -> u64 {
        self.recovered.load(Ordering::Relaxed)
    }

    /// So many more.
    pub(super) fn recover(&self, tasks: u64) {
        self.recovered.fetch_add(tasks, Ordering::Relaxed);
    }

    /// So many tasks were claimed.
    pub(super) fn claimed(&self, lines: HashMap<(i64, Priority), u32>) {
        let mut claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        for (line, count) in lines {
            *claimed.entry(line).or_default() += count;
        }
    }

    /// Accounts and priorities with so many claims or more, in order; each is told once.
    pub(super) fn drained(&self, least: u32) -> Vec<(i64, Priority)> {
        let mut claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        let mut drained: Vec<_> =
            claimed.extract_if(|_, count| *count >= least).map(|(line, _)| line).collect();
        drop(claimed);
        drained.sort_unstable();
        drained
    }

    /// Rows of so many deliveries have moved.
    pub(super) fn sent(&self, deliveries: u64) {
        self.sent.fetch_add(deliveries, Ordering::Relaxed);
    }

    /// Whether that were so many or more; then it counts anew.
    pub(super) fn have_sent(&self, least: u64) -> bool {
        self.sent.load(Ordering::Relaxed) >= least && self.sent.swap(0, Ordering::Relaxed) >= least
    }

    /// Deliveries are being put back, and nobody waits for it.
    pub(super) fn tell(&self) {
        self.told.store(true, Ordering::Release);
    }

    /// Whether there may be some; who is told so waits for the lane.
    pub(super) fn was_told(&self) -> bool {
        self.told.swap(false, Ordering::AcqRel)
    }

    /// These deliveries are put back with the next that are.
    pub(super) fn keep_for_later(&self, taken: &[TaskSeq]) {
        self.unreturned.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(taken);
    }

    /// Those.
    pub(super) fn unreturned(&self) -> Vec<TaskSeq> {
        std::mem::take(&mut *self.unreturned.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What callers have.
    pub(super) fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An answer was lost, or nobody could be told that something was not written.
    pub(super) fn doubt(&self) {
        self.doubted.store(true, Ordering::Release);
    }

    /// Whether that was so; it is told once.
    pub(super) fn doubts(&self) -> bool {
        self.doubted.swap(false, Ordering::AcqRel)
    }

    /// Tasks that are not to be shown as heads.
    pub(super) fn hidden(&self) -> MutexGuard<'_, HashSet<TaskSeq>> {
        self.hidden.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(counter: &AtomicI64) -> u64 {
    u64::try_from(counter.load(Ordering::Relaxed)).unwrap_or(0)
}

/// Tasks that this node is about to claim; shown again when this is dropped.
pub(super) struct Hidden {
    local: Arc<Local>,
    seqs: Vec<TaskSeq>,
}

impl Hidden {
    /// Hides those of `tasks` that nobody else here is about to claim.
    pub(super) fn new(local: &Arc<Local>, tasks: Vec<TaskSeq>) -> Self {
        let mut hidden = local.hidden();
        let seqs = tasks.into_iter().filter(|seq| hidden.insert(*seq)).collect();
        drop(hidden);
        Self { local: Arc::clone(local), seqs }
    }

    /// Which.
    pub(super) fn seqs(&self) -> &[TaskSeq] {
        &self.seqs
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        let mut hidden = self.local.hidden();
        for seq in &self.seqs {
            hidden.remove(seq);
        }
    }
}
