//! What the parts of the later way share: who is to be looked at, what runs here, what was counted.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bromo_rules::endpoint::Endpoint;
use bromo_rules::id::AccountId;
use bromo_rules::time::Timestamp;
use bromo_store::TaskSeq;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::counters::LaterCounters;

/// No task waits for another attempt.
const NEVER: i64 = i64::MAX;

/// Shared by the scheduler, its workers, the deliveries, and those who submit and cancel.
pub struct Later {
    /// Accounts that may have a task that can start.
    woken: Mutex<HashSet<AccountId>>,
    /// Accounts that wait until refused tasks are on disk.
    held_back: Mutex<HashSet<AccountId>>,
    /// Something happened that the scheduler waits for.
    stirred: Notify,
    /// The scheduler wants to know when a worker ends.
    full: AtomicBool,
    /// When the first waiting task may run again, in milliseconds.
    next_wait: AtomicI64,
    /// Attempts on this node, from the pick to the end.
    running: Mutex<HashMap<TaskSeq, CancellationToken>>,
    /// Picked tasks that have not reached their provider's gate, by endpoint.
    entering: [AtomicUsize; Endpoint::ALL.len()],
    /// A delivery became due, or a place for one free.
    pub(crate) due: Notify,
    /// What happened.
    pub counters: LaterCounters,
}

impl Default for Later {
    fn default() -> Self {
        Self {
            woken: Mutex::default(),
            held_back: Mutex::default(),
            stirred: Notify::new(),
            full: AtomicBool::new(false),
            next_wait: AtomicI64::new(NEVER),
            running: Mutex::default(),
            entering: Default::default(),
            due: Notify::new(),
            counters: LaterCounters::default(),
        }
    }
}

impl Later {
    /// Has the scheduler look at this account.
    pub(crate) fn wake(&self, account: AccountId) {
        if lock(&self.woken).insert(account) {
            self.stirred.notify_one();
        }
    }

    /// Has the scheduler look at this account when a refused task of any account is on disk.
    pub(crate) fn wake_after_refusals(&self, account: AccountId) {
        lock(&self.held_back).insert(account);
    }

    /// A refused task is on disk.
    pub(crate) fn wake_held_back(&self) {
        for account in std::mem::take(&mut *lock(&self.held_back)) {
            self.wake(account);
        }
    }

    /// The accounts to look at.
    pub(crate) fn take_woken(&self) -> HashSet<AccountId> {
        std::mem::take(&mut *lock(&self.woken))
    }

    pub(crate) async fn stirred(&self) {
        self.stirred.notified().await;
    }

    /// A task may run again at this instant.
    pub(crate) fn waits_until(&self, at: Timestamp) {
        self.next_wait.fetch_min(at.millis(), Ordering::SeqCst);
        self.stirred.notify_one(); // It may sleep without a timer.
    }

    /// When the first waiting task may run again; none if no task waits.
    pub(crate) fn next_wait(&self) -> Option<Timestamp> {
        Some(self.next_wait.load(Ordering::SeqCst)).filter(|at| *at != NEVER).map(Timestamp::from_millis)
    }

    /// Forgets the instant: whoever calls this asks the store for the next one.
    pub(crate) fn reset_wait(&self) {
        self.next_wait.store(NEVER, Ordering::SeqCst);
    }

    /// A picked task: counted as running, and may be cancelled from now on.
    pub(crate) fn begin(&self, seq: TaskSeq, gate: Option<Endpoint>) -> CancellationToken {
        if let Some(endpoint) = gate {
            self.entering[endpoint.index()].fetch_add(1, Ordering::Relaxed);
        }
        let token = CancellationToken::new();
        lock(&self.running).insert(seq, token.clone());
        token
    }

    /// The picked task has reached its provider's gate, or never will.
    pub(crate) fn entered(&self, gate: Option<Endpoint>) {
        if let Some(endpoint) = gate {
            self.entering[endpoint.index()].fetch_sub(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn entering(&self, endpoint: Endpoint) -> usize {
        self.entering[endpoint.index()].load(Ordering::Relaxed)
    }

    /// It runs here no longer.
    pub(crate) fn end(&self, seq: TaskSeq) {
        lock(&self.running).remove(&seq);
        if self.full.swap(false, Ordering::SeqCst) {
            self.stirred.notify_one();
        }
    }

    /// Attempts on this node. `tell` has the scheduler stirred when the next one ends.
    pub(crate) fn running(&self, tell: bool) -> usize {
        if tell {
            self.full.store(true, Ordering::SeqCst);
        }
        lock(&self.running).len()
    }

    /// Has an attempt cut; false if it does not run here.
    pub(crate) fn cancel(&self, seq: TaskSeq) -> bool {
        let token = lock(&self.running).get(&seq).cloned();
        if let Some(token) = &token {
            token.cancel();
        }
        token.is_some()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
