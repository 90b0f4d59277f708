//! Calls: they begin, end, are cut and are paid for.

use std::sync::Arc;

use bromo_rules::credit::Credits;
use bromo_rules::id::{AccountId, KeyId};
use bromo_rules::window::Limit;

use super::NodeBroken;
use super::message::{Message, NodeEvent, Purpose};
use super::world::{ACCOUNTS, Call, World};
use crate::RouteIndex;
use crate::permit::Settled;
use crate::redis::command::{Answer, LeaseId, Outcome, Script};
use crate::redis::life::Life;
use crate::redis::links::Via;

impl World {
    pub(super) fn new_call(&mut self, node: usize) {
        if self.is_trouble() {
            let wait = self.random.u64(1..600);
            self.node_after(wait, node, NodeEvent::NewCall);
        } else {
            return;
        }
        let account = AccountId::from_random(self.random.u64(..ACCOUNTS));
        let (hold, now) = (Credits::new(self.random.i64(0..6)), self.boot(node));
        let Some(asked) = self.nodes[node].node.ask(now, account, hold, 3_000, Via::default()) else {
            return;
        };
        let facts = self.nodes[node].cached[&account];
        let script = Script::Admit {
            facts,
            key: KeyId::from_random(1),
            route: RouteIndex::new(0),
            rate: Limit { requests: 1_000_000 },
            lease: Some(asked.lease),
        };
        self.send(node, account, script, Purpose::Ask { id: asked.lease.id, life: asked.life }, None);
    }

    pub(super) fn answered(&mut self, node: usize, message: Message, answer: Option<Answer>) {
        let (now, account) = (self.boot(node), message.account);
        match message.purpose {
            Purpose::Ask { id, life } => self.ask_answered(node, account, id, life, answer),
            Purpose::Node(mut sent) => {
                if self.variant.node == NodeBroken::CountsFromReceipt {
                    sent.at = now;
                }
                self.nodes[node].node.answered(now, &sent, answer.as_ref());
            }
            Purpose::Release { id, charged } => {
                self.nodes[node].node.release_answered(now, account, id, charged, answer.as_ref());
            }
            Purpose::Change { version } => match answer {
                Some(Answer::Done { .. }) => {
                    let truth = self.accounts.get_mut(&account).expect("it is there");
                    if truth.facts.version == version {
                        truth.before = None;
                    }
                }
                answer => {
                    if let Some(Answer::Lost { seen }) = answer {
                        self.nodes[node].node.lost(account, seen);
                    }
                    self.announce(account, 200);
                }
            },
            Purpose::Doubt => {}
        }
    }

    fn ask_answered(
        &mut self,
        node: usize,
        account: AccountId,
        id: LeaseId,
        life: Arc<Life>,
        answer: Option<Answer>,
    ) {
        let now = self.boot(node);
        let machine = &mut self.nodes[node].node;
        match answer {
            Some(Answer::Judged { outcome: Outcome::Admitted, .. }) => {
                if machine.granted(now, account, id) {
                    let limit = self.decided.remove(&id).unwrap_or(0);
                    let call = Call { account, id, life, limit, cut: false };
                    self.nodes[node].calls.insert(id.number, call);
                    self.check_running(account);
                    let most = if self.random.u8(..4) == 0 { 25_000 } else { 1_500 };
                    let wait = self.random.u64(1..most);
                    self.node_after(wait, node, NodeEvent::EndCall(id.number));
                }
            }
            Some(answer) => {
                machine.refused(now, account, id);
                match answer {
                    Answer::Lost { seen } => machine.lost(account, seen),
                    Answer::Stale => {
                        let facts = self.accounts[&account].facts;
                        self.nodes[node].cached.insert(account, facts);
                    }
                    Answer::Doubtful { doubts } => {
                        let facts = self.accounts[&account].facts;
                        self.node_after(5, node, NodeEvent::Doubt(account, doubts, facts));
                    }
                    _ => {}
                }
            }
            None => machine.unknown(now, account, id),
        }
    }

    /// Calls whose lease has ended lose their sockets, which takes a moment.
    pub(super) fn cut(&mut self, node: usize) {
        let now = self.boot(node);
        let ended: Vec<u64> = self.nodes[node]
            .calls
            .iter()
            .filter(|(_, call)| !call.cut && !call.life.is_live(now))
            .map(|(number, _)| *number)
            .collect();
        for number in ended {
            self.nodes[node].calls.get_mut(&number).expect("it is there").cut = true;
            self.seen.count("cut");
            let wait = self.random.u64(1..200);
            self.node_after(wait, node, NodeEvent::Closed(number));
        }
    }

    pub(super) fn closed(&mut self, node: usize, number: u64) {
        if let Some(call) = self.nodes[node].calls.remove(&number) {
            self.give_back(node, &call, None);
        }
    }

    pub(super) fn end_call(&mut self, node: usize, number: u64) {
        let now = self.boot(node);
        let Some(call) = self.nodes[node].calls.remove(&number) else { return };
        let price = Credits::new(self.random.i64(0..=call.id.hold.get()));
        let mut settled = None;
        if !call.cut && call.life.is_live(now) && price > Credits::ZERO {
            let facts = &mut self.accounts.get_mut(&call.account).expect("it is there").facts;
            facts.balance = facts.balance - price;
            facts.ledger_seq += 1;
            settled = Some(Settled { balance: facts.balance, ledger_seq: facts.ledger_seq });
            self.seen.count("charged");
            if facts.balance < Credits::ZERO {
                self.violation = Some("M1: a charge is not covered".to_owned());
            }
        }
        self.give_back(node, &call, settled);
    }

    fn give_back(&mut self, node: usize, call: &Call, settled: Option<Settled>) {
        self.nodes[node].node.leave(call.account, call.id, settled);
        let script = Script::Release { leases: vec![call.id], settled };
        let purpose = Purpose::Release { id: call.id, charged: settled.is_some() };
        self.send(node, call.account, script, purpose, None);
    }
}
