//! Giving back, again and again until Redis has it. Bounded by what the node ever held at once: without Redis nothing
//! new is admitted.

use bromo_rules::id::AccountId;

use super::{Node, State, backoff};
use crate::permit::Settled;
use crate::redis::clock::Boot;
use crate::redis::command::{LeaseId, Script};

impl Node {
    /// The call has ended; the caller sends the release, and says [`Node::left`] or [`Node::leave_later`].
    pub(crate) fn leave(&mut self, account: AccountId, id: LeaseId, settled: Option<Settled>) {
        if let Some(entry) = self.entries.get_mut(&(account, id.number)) {
            entry.state = State::Leaving { settled, tries: 0 };
        }
    }

    /// Redis has it.
    pub(crate) fn left(&mut self, account: AccountId, id: LeaseId) {
        self.entries.remove(&(account, id.number));
    }

    /// It is not known whether Redis has it: the node itself sends it.
    pub(crate) fn leave_later(&mut self, now: Boot, account: AccountId, id: LeaseId) {
        let key = (account, id.number);
        if let Some(State::Leaving { tries, .. }) = self.entries.get_mut(&key).map(|entry| &mut entry.state) {
            let wait = if *tries == 0 { 0 } else { backoff(*tries) };
            *tries = tries.saturating_add(1);
            self.releases.insert((now.plus(wait), key));
        }
    }

    pub(super) fn release(&mut self, now: Boot) {
        while let Some(due) = self.releases.first().copied().filter(|(due, _)| *due <= now) {
            self.releases.remove(&due);
            let (_, key) = due;
            let Some(entry) = self.entries.get(&key) else { continue };
            if let State::Leaving { settled, .. } = entry.state {
                let script = Script::Release { lease: entry.id, settled };
                self.send(now, key.0, script, None, 0);
            }
        }
    }
}
