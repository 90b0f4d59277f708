//! How scripts reach the servers, and answers the nodes.

use bromo_rules::id::AccountId;

use super::message::{Event, Message, NodeEvent, Purpose};
use super::world::{SHARDS, World, slot_map};
use crate::redis::command::{Answer, Command, Process, Script};

impl World {
    pub(super) fn connect(&mut self, node: usize) {
        if self.redis_up && !self.is_cut(node) {
            self.nodes[node].generation = Some(self.generation);
            for shard in SHARDS {
                self.nodes[node].node.renew_soon(shard);
            }
            self.learn(node);
        } else {
            let wait = self.random.u64(50..500);
            self.node_after(wait, node, NodeEvent::Connect);
        }
    }

    /// The node hears where the accounts are.
    pub(super) fn learn(&mut self, node: usize) {
        if self.nodes[node].generation.is_none() {
            return; // It will when it is connected.
        }
        let known = &mut self.nodes[node];
        let before = known.map.clone();
        known.map.extend(self.homes.iter().filter_map(|(account, home)| Some((*account, (*home)?))));
        if known.map != before {
            let map = slot_map(&known.map);
            known.node.set_map(map);
        }
    }

    /// The connection is given up; what was sent may still arrive, its answers do not.
    pub(super) fn disconnect(&mut self, node: usize) {
        self.nodes[node].epoch += 1;
        self.nodes[node].generation = None;
        let lost: Vec<u64> = self
            .pending
            .iter()
            .filter(|(_, message)| message.node == node)
            .map(|(number, _)| *number)
            .collect();
        for number in lost {
            self.node_after(0, node, NodeEvent::Broken(number));
        }
        let wait = self.random.u64(50..300);
        self.node_after(wait, node, NodeEvent::Connect);
    }

    fn delay(&mut self, slow_until: u64) -> u64 {
        let most = if self.now < slow_until { 9_000 } else { 8 };
        self.random.u64(1..most)
    }

    fn is_cut(&self, node: usize) -> bool {
        let (from, to) = self.nodes[node].cut;
        (from..to).contains(&self.now)
    }

    pub(super) fn send(
        &mut self,
        node: usize,
        account: AccountId,
        script: Script,
        purpose: Purpose,
        process: Option<&Process>,
    ) {
        self.messages += 1;
        let number = self.messages;
        let sender = &self.nodes[node];
        let (generation, shard) = (sender.generation.unwrap_or(0), sender.map[&account]);
        let message = Message { node, epoch: sender.epoch, generation, shard, account, script, purpose };
        self.pending.insert(number, message.clone());
        if generation == 0 || process.is_some_and(|process| *process != message.process()) {
            return self.node_after(0, node, NodeEvent::Broken(number));
        }
        self.node_after(self.timeout_ms, node, NodeEvent::TimedOut(number));
        if !self.is_cut(node) {
            // In order on one connection; a later connection may overtake it.
            let delay = self.delay(self.nodes[node].slow_until);
            let out_at = &mut self.nodes[node].out_at[shard.0 as usize];
            *out_at = (self.now + delay).max(*out_at);
            let arrives = *out_at;
            self.after(arrives - self.now, Event::Arrive(number, Box::new(message)));
        }
    }

    pub(super) fn arrive(&mut self, number: u64, message: Message) {
        let node = message.node;
        let old = self.nodes[node].epoch != message.epoch;
        // A process that has ended takes nothing; a connection that was given up may have carried it, or not.
        if !self.redis_up || message.generation != self.generation || (old && self.random.bool()) {
            return;
        }
        let command = Command {
            account: message.account,
            node: self.nodes[node].id,
            process: message.process(),
            now: None,
            script: message.script.clone(),
        };
        let now = self.redis_now();
        let before = self.leases(message.account);
        let answer = if self.homes[&message.account] == Some(message.shard) {
            self.model.run(&command, now)
        } else {
            let wait = self.random.u64(1..300);
            self.node_after(wait, node, NodeEvent::Learn);
            Answer::Elsewhere
        };
        self.note(|| format!("{:?} of node {node}: {:?} -> {answer:?}", command.process, message.script));
        self.nodes[node].heard_at = self.now;
        self.check_answer(&message, &before, &answer);
        self.count(&answer);
        for (_, word, account) in std::mem::take(&mut self.model.published) {
            for other in 0..self.nodes.len() {
                if word == 'R' && other != node && self.random.u8(..10) > 0 {
                    let wait = self.random.u64(1..20);
                    let made = self.model.records[&account].seen();
                    self.node_after(wait, other, NodeEvent::HeardOfLoss(account, made));
                }
            }
        }
        if !old && !self.is_cut(node) {
            let slow_until = self.nodes[node].slow_until.max(self.nodes[node].slow_answers_until);
            let delay = self.delay(slow_until);
            let in_at = &mut self.nodes[node].in_at[message.shard.0 as usize];
            *in_at = (self.now + delay).max(*in_at);
            let comes = *in_at;
            self.node_after(comes - self.now, node, NodeEvent::Answer(number, answer));
        }
    }
}
