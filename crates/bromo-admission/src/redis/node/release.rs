//! Giving back, again and again until Redis has it. Bounded by what the node ever held at once: without Redis nothing
//! new is admitted.

use bromo_rules::id::AccountId;

use super::{Node, State, backoff};
use crate::permit::Settled;
use crate::redis::clock::Boot;
use crate::redis::command::{Answer, LeaseId, Script};

impl Node {
    /// The call has ended; the caller sends the release, and says [`Node::release_answered`].
    pub(crate) fn leave(&mut self, account: AccountId, id: LeaseId, settled: Option<Settled>) {
        if let Some(entry) = self.entries.get_mut(&(account, id.number)) {
            entry.state = State::Leaving { settled, tries: 0 };
        }
    }

    /// What Redis said to a release; none if that is not known. Then the node itself sends it again.
    pub(crate) fn release_answered(
        &mut self,
        now: Boot,
        account: AccountId,
        id: LeaseId,
        charged: bool,
        answer: Option<&Answer>,
    ) {
        match answer {
            // The slot is free, but whoever registers the account may have read the store before the charge.
            Some(Answer::Lost) if charged => {
                self.lost(account);
                self.leave_later(now, account, id);
            }
            Some(_) => drop(self.entries.remove(&(account, id.number))),
            None => self.leave_later(now, account, id),
        }
    }

    pub(super) fn leave_later(&mut self, now: Boot, account: AccountId, id: LeaseId) {
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
