//! Bringing back what Redis lost: the node names its leases of the account, beside facts that were read from the store
//! after the loss was seen. What it has cached may be older than a change that was in force before.

use std::collections::hash_map::Entry;

use bromo_rules::id::{AccountId, NodeId};

use super::{Effect, Node, Sent, State, backoff, signed};
use crate::ask::Facts;
use crate::redis::clock::Boot;
use crate::redis::command::{Answer, Lease, Process, Script, Seen};

/// After so many tries in vain the next ask begins anew.
const TRIES_MAX: u32 = 20;

pub(super) struct Registration {
    /// None while something is on its way.
    due: Option<Boot>,
    tries: u32,
    /// The record that was found.
    seen: Seen,
    /// Another node makes the record.
    heard: bool,
}

impl Node {
    /// A script found no record of the account that counts.
    pub(crate) fn lost(&mut self, account: AccountId, seen: Seen) {
        if self.registrations.get(&account).is_none_or(|registration| registration.heard) {
            self.registrations.insert(account, Registration { due: None, tries: 0, seen, heard: false });
            self.effects.push(Effect::Truth(account));
        }
    }

    /// Another node found no record of the account, and made one.
    pub(crate) fn heard_of_loss(&mut self, now: Boot, account: AccountId, made: Seen) {
        if let Entry::Vacant(place) = self.registrations.entry(account) {
            place.insert(Registration { due: None, tries: 0, seen: made, heard: true });
            self.send_registration(now, account, None, Vec::new(), None);
        }
    }

    /// What the store says, to a question that was asked while `process` was connected. None if it did not answer.
    pub(crate) fn truth(
        &mut self,
        now: Boot,
        account: AccountId,
        process: Option<Process>,
        truth: Option<(Vec<NodeId>, Option<Facts>)>,
    ) {
        match (process, truth) {
            (Some(process), Some((living, Some(facts)))) => {
                self.send_registration(now, account, Some(facts), living, Some(process));
            }
            (_, Some((_, None))) => drop(self.registrations.remove(&account)), // The store knows no such account.
            _ => self.register_later(now, account),
        }
    }

    pub(super) fn register(&mut self, now: Boot) {
        let due = |registration: &Registration| registration.due.is_some_and(|due| due <= now);
        let mut accounts: Vec<_> = self
            .registrations
            .iter()
            .filter(|(_, registration)| due(registration))
            .map(|(a, _)| *a)
            .collect();
        accounts.sort_unstable();
        for account in accounts {
            let Some(registration) = self.registrations.get_mut(&account) else { continue };
            registration.due = None;
            if registration.heard {
                self.send_registration(now, account, None, Vec::new(), None);
            } else {
                self.effects.push(Effect::Truth(account));
            }
        }
    }

    pub(super) fn register_answered(
        &mut self,
        now: Boot,
        sent: &Sent,
        (said, full): (Seen, bool),
        leases: &[Lease],
        answer: Option<&Answer>,
    ) {
        match answer {
            Some(Answer::Registered { gone, .. }) => {
                let until = sent.at.plus(self.times.lives);
                for (place, lease) in leases.iter().enumerate() {
                    let Some(entry) = self.held_mut(sent.account, lease.id) else { continue };
                    if gone.binary_search(&place).is_ok() {
                        entry.life.end();
                    } else {
                        entry.life.extend(until);
                    }
                }
                self.registrations.remove(&sent.account);
            }
            // Gone once more: an ask will tell.
            Some(Answer::Lost { seen }) if !full && said == *seen => {
                self.registrations.remove(&sent.account);
            }
            Some(Answer::Lost { seen }) => {
                if let Some(registration) = self.registrations.get_mut(&sent.account) {
                    registration.seen = *seen;
                }
                self.register_later(now, sent.account);
            }
            _ => self.register_later(now, sent.account),
        }
    }

    fn send_registration(
        &mut self,
        now: Boot,
        account: AccountId,
        facts: Option<Facts>,
        living: Vec<NodeId>,
        process: Option<Process>,
    ) {
        let Some(seen) = self.registrations.get(&account).map(|registration| registration.seen) else {
            return;
        };
        let mut leases = Vec::new();
        for (_, entry) in self.entries.range_mut((account, 0)..=(account, u64::MAX)) {
            // What was asked for may have been granted by the server that lost it.
            if matches!(entry.state, State::Leaving { .. }) || !entry.life.is_live(now) {
                continue;
            }
            entry.registered |= matches!(entry.state, State::Asked);
            leases.push(Lease { id: entry.id, usual_ms: entry.usual_at.saturating_sub(signed(now)) });
        }
        self.send(now, account, Script::Register { seen, facts, living, leases }, process, 0);
    }

    fn register_later(&mut self, now: Boot, account: AccountId) {
        let Some(registration) = self.registrations.get_mut(&account) else { return };
        registration.tries += 1;
        if registration.tries > TRIES_MAX {
            self.registrations.remove(&account);
        } else {
            registration.due = Some(now.plus(backoff(registration.tries)));
        }
    }
}
