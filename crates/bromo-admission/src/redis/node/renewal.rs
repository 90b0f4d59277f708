//! Rounds of renewals: all leases of the node at one server, an account a script. What a server does not answer ends what
//! is there, and nothing else.

use std::collections::BTreeMap;

use bromo_rules::id::AccountId;

use super::{Node, Sent, State, Times};
use crate::redis::clock::Boot;
use crate::redis::command::{Answer, LeaseId, Script};
use crate::redis::slots::{ShardId, SlotMap};

/// Leases that one script renews.
const LEASES_MAX: usize = 500;
/// A round that is not through by then has failed, in ms.
const ROUND_MS: u64 = 2_000;
/// After a failed round the next is tried this soon, in ms.
const AGAIN_MS: u64 = 500;

/// The rounds to one server.
#[derive(Default)]
pub(super) struct Rounds {
    /// When the last complete one was sent.
    renewed: Option<Boot>,
    due: Boot,
    current: Option<Round>,
}

struct Round {
    number: u64,
    sent: Boot,
    waiting: usize,
    failed: bool,
}

impl Rounds {
    pub(super) fn is_fresh(&self, now: Boot, times: Times) -> bool {
        self.renewed.is_some_and(|sent| now.since(sent) < times.admits)
    }

    fn is_due(&self, now: Boot) -> bool {
        let overdue = |round: &Round| now.since(round.sent) >= ROUND_MS;
        now >= self.due && self.current.as_ref().is_none_or(overdue)
    }
}

impl Node {
    /// The next round is due at once: the connection is another.
    pub(crate) fn renew_soon(&mut self, shard: ShardId) {
        if let Some(rounds) = self.rounds.get_mut(&shard) {
            (rounds.current, rounds.due) = (None, Boot(0));
        }
    }

    /// Accounts are at other servers from now on, which hear of what runs at once: their last renewal was elsewhere.
    pub(crate) fn set_map(&mut self, map: SlotMap) {
        let mut before = std::mem::take(&mut self.rounds);
        let shards = map.shards();
        let mut kept = |shard| (shard, before.remove(&shard).unwrap_or_default());
        self.rounds = shards.iter().map(|shard| kept(*shard)).collect();
        self.map = map;
        for shard in shards {
            self.renew_soon(shard);
        }
    }

    pub(super) fn renew(&mut self, now: Boot) {
        let due = self.rounds.iter().filter(|(_, rounds)| rounds.is_due(now)).map(|(shard, _)| *shard);
        let mut due: BTreeMap<ShardId, Vec<(AccountId, Vec<LeaseId>)>> =
            due.map(|shard| (shard, Vec::new())).collect();
        if due.is_empty() {
            return;
        }
        let mut shard = None;
        for ((account, _), entry) in &self.entries {
            if !matches!(entry.state, State::Held) || !entry.life.is_live(now) {
                continue;
            }
            if shard.is_none_or(|(last, _)| last != *account) {
                shard = Some((*account, self.map.shard(*account)));
            }
            let Some(scripts) = shard.and_then(|(_, shard)| due.get_mut(&shard?)) else { continue };
            match scripts.last_mut() {
                Some((last, leases)) if last == account && leases.len() < LEASES_MAX => leases.push(entry.id),
                _ => scripts.push((*account, vec![entry.id])),
            }
        }
        for (shard, scripts) in due {
            self.begin_round(now, shard, scripts);
        }
    }

    fn begin_round(&mut self, now: Boot, shard: ShardId, scripts: Vec<(AccountId, Vec<LeaseId>)>) {
        let Some(rounds) = self.rounds.get_mut(&shard) else { return };
        self.rounds_begun += 1;
        let (number, waiting) = (self.rounds_begun, scripts.len());
        rounds.due = now.plus(self.times.renews);
        if waiting == 0 {
            // Nothing to lose: whoever asks will see whether Redis answers.
            (rounds.renewed, rounds.current) = (Some(now), None);
            return;
        }
        rounds.current = Some(Round { number, sent: now, waiting, failed: false });
        for (account, leases) in scripts {
            self.send(now, account, Script::Renew { leases }, None, number);
        }
    }

    pub(super) fn renew_answered(
        &mut self,
        now: Boot,
        sent: &Sent,
        leases: &[LeaseId],
        answer: Option<&Answer>,
    ) {
        match answer {
            Some(Answer::Renewed { gone, .. }) => {
                let until = sent.at.plus(self.times.lives);
                for (place, lease) in leases.iter().enumerate() {
                    let Some(entry) = self.held_mut(sent.account, *lease) else { continue };
                    if gone.binary_search(&place).is_ok() {
                        entry.life.end();
                    } else {
                        entry.life.extend(until);
                    }
                }
            }
            Some(Answer::Lost { seen } | Answer::Opening { seen, .. }) => self.lost(sent.account, *seen),
            _ => {}
        }
        let of_round =
            |rounds: &&mut Rounds| rounds.current.as_ref().is_some_and(|round| round.number == sent.round);
        let Some(rounds) = self.rounds.values_mut().find(of_round) else { return };
        let Some(round) = &mut rounds.current else { return };
        round.failed |= answer.is_none();
        round.waiting -= 1;
        if round.waiting == 0 {
            if round.failed {
                rounds.due = now.plus(AGAIN_MS);
            } else {
                rounds.renewed = Some(round.sent);
            }
            rounds.current = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use bromo_rules::credit::Credits;
    use bromo_rules::id::NodeId;

    use super::*;
    use crate::redis::links::Via;
    use crate::redis::node::Effect;
    use crate::redis::slots::{SLOTS, slot};

    /// Two accounts, each at a server of its own.
    fn node() -> (Node, [AccountId; 2]) {
        let accounts = [1, 2].map(AccountId::from_random);
        let mut slots = vec![None; SLOTS];
        for (number, account) in (0..).zip(accounts) {
            slots[usize::from(slot(account))] = Some(ShardId(number));
        }
        (Node::new(NodeId::from_random(3), Times::DEFAULT, SlotMap::Slots(slots.into())), accounts)
    }

    fn hold(node: &mut Node, now: Boot, account: AccountId) {
        let asked = node.ask(now, account, Credits::ZERO, 0, Via::default()).unwrap();
        assert!(node.granted(now, account, asked.lease.id));
    }

    fn sent(node: &mut Node, now: Boot) -> Vec<Sent> {
        node.tick(now);
        let sent = |effect| if let Effect::Send(sent) = effect { Some(sent) } else { None };
        node.effects().into_iter().filter_map(sent).collect()
    }

    #[test]
    fn a_server_that_does_not_answer_fences_its_own_accounts_alone() {
        let (mut node, [here, away]) = node();
        drop(sent(&mut node, Boot(0)));
        hold(&mut node, Boot(0), here);
        hold(&mut node, Boot(0), away);
        let renewed = Answer::Renewed { woke: false, gone: Vec::new() };
        for now in (3_000..=6_000).step_by(500).map(Boot) {
            for sent in sent(&mut node, now) {
                let answer = (sent.account == here).then_some(&renewed);
                node.answered(now, &sent, answer);
            }
        }
        assert!(node.may_admit(Boot(6_000), here) && !node.may_admit(Boot(6_000), away));
    }

    #[test]
    fn an_account_that_is_elsewhere_now_is_renewed_there_at_once() {
        let (mut node, [one, other]) = node();
        drop(sent(&mut node, Boot(0)));
        hold(&mut node, Boot(0), one);
        let mut slots = vec![None; SLOTS];
        slots[usize::from(slot(one))] = Some(ShardId(1));
        slots[usize::from(slot(other))] = Some(ShardId(1));
        node.set_map(SlotMap::Slots(slots.into()));
        let sent = sent(&mut node, Boot(100));
        assert!(matches!(&*sent, [Sent { script: Script::Renew { .. }, account, .. }] if *account == one));
    }
}
