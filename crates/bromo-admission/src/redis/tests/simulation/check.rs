//! What must hold.

use std::collections::BTreeSet;

use bromo_rules::id::AccountId;

use super::message::Message;
use super::world::{SHARDS, World, process};
use crate::redis::command::{Answer, Command, LeaseId, Look, Outcome, Script};

/// After a wake, what a node ran beyond its leases is cut this soon, in ms.
const WAKE_MS: u64 = 250;

impl World {
    /// Calls in progress: sockets that are open. Those of a frozen node whose lease is over are orphans, counted apart,
    /// until it has woken and cut them.
    fn running(&mut self, account: AccountId) -> (u32, u32) {
        let (mut running, mut limit, mut orphans) = (0, 0, 0);
        for node in 0..self.nodes.len() {
            let now = self.boot(node);
            let excused = self.nodes[node].gone_at.is_some() || self.now < self.nodes[node].woke_at + WAKE_MS;
            for call in self.nodes[node].calls.values().filter(|call| call.account == account) {
                if excused && !call.life.is_live(now) {
                    orphans += 1;
                } else {
                    running += 1;
                    limit = limit.max(call.limit);
                }
            }
        }
        for _ in 0..orphans {
            self.seen.count("orphan");
        }
        (running, limit)
    }

    /// A call has begun.
    pub(super) fn check_running(&mut self, account: AccountId) {
        let (running, limit) = self.running(account);
        if running > limit {
            self.violation = Some(format!("S1: {running} calls of {account} run, {limit} were allowed"));
        }
    }

    /// Leases of an account that have not expired.
    pub(super) fn leases(&self, account: AccountId) -> BTreeSet<LeaseId> {
        let now = self.redis_now().millis();
        let record = self.model.records.get(&account);
        let leases = record.into_iter().flat_map(|record| &record.by_expiry);
        leases.filter(|(_, expiry)| **expiry > now).map(|(id, _)| *id).collect()
    }

    pub(super) fn check_answer(&mut self, message: &Message, before: &BTreeSet<LeaseId>, answer: &Answer) {
        if matches!(message.script, Script::Renew { .. }) && !self.leases(message.account).is_subset(before) {
            self.violation = Some("S2: a lease that had expired takes a slot again".to_owned());
        }
        if let Answer::Judged { outcome, slots, .. } = answer {
            let limits = self.limits(message.account);
            if !limits.contains(&slots.limit) {
                self.violation =
                    Some(format!("S4: decided on {} slots, in force are {limits:?}", slots.limit));
            }
            let (running, _) = self.running(message.account);
            let most = limits.into_iter().max().unwrap_or(0);
            if let (Outcome::Admitted, Script::Admit { lease: Some(lease), .. }) = (outcome, &message.script)
            {
                self.decided.insert(lease.id, most);
            }
            if *outcome == Outcome::Admitted && running + 1 > most {
                self.violation =
                    Some(format!("S1: {running} calls run, and one more is admitted to {most} slots"));
            }
        }
        self.check_dead_nodes(message.account);
    }

    /// What a killed node held is free 10 s after Redis last heard of it.
    fn check_dead_nodes(&mut self, account: AccountId) {
        let Some(record) = self.model.records.get(&account) else { return };
        let now = self.redis_now().millis();
        for node in self.nodes.iter().filter(|node| !node.alive) {
            let holds = record.by_expiry.iter().any(|(id, expiry)| id.node == node.id && *expiry > now);
            if holds && self.now > node.heard_at.max(node.gone_at.unwrap_or(0)) + 10_020 {
                self.violation = Some(format!("S2: {} is dead and holds a slot", node.id));
                return;
            }
        }
    }

    /// All is well for a while: nothing runs, so nothing is held.
    pub(super) fn check_calm(&mut self) {
        if self.violation.is_some() {
            return;
        }
        let now = self.redis_now();
        for account in self.accounts.keys().copied().collect::<Vec<_>>() {
            let script = Script::Look { compare: true };
            let process = process(self.generation, self.homes[&account].unwrap_or(SHARDS[0]));
            let command = Command { account, node: self.nodes[0].id, process, now: None, script };
            let left = match self.model.run(&command, now) {
                Answer::Looked(Look { slots, held, repaired, .. }) => (slots.current, held.get(), repaired),
                _ => continue, // Lost, and nobody has asked since.
            };
            if left != (0, 0, false) {
                self.violation = Some(format!("S2: nothing runs, and {left:?} is held of {account}"));
            }
        }
        let runs: usize = self.nodes.iter().filter(|node| node.alive).map(|node| node.calls.len()).sum();
        let owes = self.nodes.iter().any(|node| node.alive && !node.node.is_idle());
        if runs > 0 || owes {
            self.violation = Some(format!("S2: {runs} calls run at the end; something is owed: {owes}"));
        }
    }
}
