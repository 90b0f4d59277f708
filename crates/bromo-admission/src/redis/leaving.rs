//! Leases on their way out. Those of an account that are given back at the same moment, as after the ends of many tasks
//! that were written together, are one script.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::{self, ThreadId};

use bromo_rules::id::AccountId;
use tokio::sync::oneshot;

use crate::permit::Settled;
use crate::redis::command::{Answer, LeaseId, Script};
use crate::redis::shared::Shared;
use crate::sync::{Mutex, lock};

/// Leases that one script gives back.
pub(crate) const RELEASED_MAX: usize = 256;

/// A lease that waits to be given back.
struct Leaver {
    id: LeaseId,
    settled: Option<Settled>,
    heard: oneshot::Sender<()>,
}

/// Those that wait, by account and thread, so that none waits for a thread that has other things to do; the first of each
/// will take the others along.
#[derive(Default)]
pub(crate) struct Leavers(Mutex<HashMap<(AccountId, ThreadId), Vec<Leaver>>>);

/// A lease that is being given back. Dropped before that is through, it leaves the rest to the node.
pub(crate) struct Leaving {
    shared: Arc<Shared>,
    account: AccountId,
    thread: ThreadId,
    leads: bool,
    heard: oneshot::Receiver<()>,
}

impl Leaving {
    /// From now on it is given back, whatever becomes of this.
    pub(crate) fn begin(
        shared: Arc<Shared>,
        account: AccountId,
        id: LeaseId,
        settled: Option<Settled>,
    ) -> Self {
        shared.node().leave(account, id, settled);
        let ((heard, hears), thread) = (oneshot::channel(), thread::current().id());
        let mut all = lock(&shared.leavers.0);
        let waiting = all.entry((account, thread)).or_default();
        let leads = waiting.is_empty();
        waiting.push(Leaver { id, settled, heard });
        drop(all);
        Self { shared, account, thread, leads, heard: hears }
    }

    /// Returns when Redis has it, or could not be told so far.
    pub(crate) async fn through(mut self) {
        if !self.leads {
            // An error says that who led has left: then the node goes on.
            drop((&mut self.heard).await);
            return;
        }
        // Whoever is to give back at the same moment does so before this goes on.
        tokio::task::yield_now().await;
        self.take().tell().await;
    }

    fn take(&mut self) -> Group {
        self.leads = false;
        let leavers = lock(&self.shared.leavers.0).remove(&(self.account, self.thread)).unwrap_or_default();
        Group { shared: Arc::clone(&self.shared), account: self.account, leavers }
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        if self.leads {
            drop(self.take());
        }
    }
}

/// Those that leave together. What is dropped untold is left to the node.
struct Group {
    shared: Arc<Shared>,
    account: AccountId,
    leavers: Vec<Leaver>,
}

impl Group {
    async fn tell(mut self) {
        while !self.leavers.is_empty() {
            let from = self.leavers.len().saturating_sub(RELEASED_MAX);
            let some = &self.leavers[from..];
            let leases = some.iter().map(|leaver| leaver.id).collect();
            let settled = some.iter().filter_map(|leaver| leaver.settled).max_by_key(|last| last.ledger_seq);
            let answer = self.shared.run(self.account, Script::Release { leases, settled }).await.ok();
            self.answered(from, answer.as_ref());
        }
    }

    fn answered(&mut self, from: usize, answer: Option<&Answer>) {
        let now = self.shared.boot.now();
        let mut node = self.shared.node();
        for leaver in self.leavers.drain(from..) {
            node.release_answered(now, self.account, leaver.id, leaver.settled.is_some(), answer);
            _ = leaver.heard.send(()); // Nobody may be there to hear it.
        }
        drop(node);
        if !matches!(answer, Some(Answer::Done { .. })) {
            self.shared.kick();
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.leavers.is_empty() {
            self.answered(0, None);
        }
    }
}
