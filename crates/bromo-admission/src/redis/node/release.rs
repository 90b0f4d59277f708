//! Giving back, again and again until Redis has it. Bounded by what the node ever held at once: without Redis nothing
//! new is admitted.

use bromo_rules::id::AccountId;

use super::{Effect, Entry, Node, Sent, State, backoff};
use crate::permit::Settled;
use crate::redis::clock::Boot;
use crate::redis::command::{Answer, LeaseId, Script};
use crate::redis::leaving::RELEASED_MAX;

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
            Some(Answer::Lost { seen }) if charged => {
                self.lost(account, *seen);
                self.leave_later(now, account, id);
            }
            Some(Answer::Elsewhere) | None => self.leave_later(now, account, id),
            Some(_) => drop(self.entries.remove(&(account, id.number))),
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
        let mut sent: Vec<Sent> = Vec::new();
        while let Some(due) = self.releases.first().copied().filter(|(due, _)| *due <= now) {
            self.releases.remove(&due);
            let (_, key) = due;
            let Some(Entry { id, via, state: State::Leaving { settled: paid, .. }, .. }) =
                self.entries.get(&key)
            else {
                continue;
            };
            match sent.last_mut() {
                Some(Sent { account, via: by, script: Script::Release { leases, settled }, .. })
                    if (*account, *by) == (key.0, *via) && leases.len() < RELEASED_MAX =>
                {
                    leases.push(*id);
                    *settled = (*settled).into_iter().chain(*paid).max_by_key(|last| last.ledger_seq);
                }
                _ => {
                    let script = Script::Release { leases: vec![*id], settled: *paid };
                    sent.push(Sent { account: key.0, script, at: now, process: None, via: *via, round: 0 });
                }
            }
        }
        self.effects.extend(sent.into_iter().map(Effect::Send));
    }
}

#[cfg(test)]
mod tests {
    use bromo_rules::credit::Credits;
    use bromo_rules::id::NodeId;

    use super::*;
    use crate::redis::links::Via;
    use crate::redis::node::Times;
    use crate::redis::slots::{ShardId, SlotMap};

    #[test]
    fn asks_without_an_answer_are_given_back_together_by_the_link_that_they_took() {
        let (now, account) = (Boot(0), AccountId::from_random(1));
        let mut node = Node::new(NodeId::from_random(2), Times::DEFAULT, SlotMap::One(ShardId(0)));
        node.tick(now);
        drop(node.effects());
        let vias = [Via::this_thread(), Via::this_thread(), Via::default(), Via::this_thread()];
        let ids = vias.map(|via| node.ask(now, account, Credits::ZERO, 0, via).unwrap().lease.id);
        for id in ids {
            node.unknown(now, account, id);
        }
        node.tick(now);
        let sent = node.effects().into_iter().map(|effect| match effect {
            Effect::Send(Sent { script: Script::Release { leases, .. }, via, .. }) => (via, leases),
            other => panic!("{other:?}"),
        });
        let [one, two, three, four] = ids;
        let expected = [(vias[0], vec![one, two]), (vias[2], vec![three]), (vias[3], vec![four])];
        assert_eq!(sent.collect::<Vec<_>>(), expected);
    }
}
