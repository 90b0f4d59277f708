//! A node's side of the protocol: what it holds, until when, and what it owes to Redis.
//!
//! A state machine without input or output: told what happened and when, it says what to do ([`Effect`]). The program
//! and the simulation run the same one. It reads no clock.

mod registration;
mod release;
mod renewal;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bromo_rules::credit::Credits;
use bromo_rules::id::{AccountId, NodeId};

use crate::permit::Settled;
use crate::redis::clock::Boot;
use crate::redis::command::{Answer, Lease, LeaseId, Process, Script};
use crate::redis::life::Life;
use crate::redis::links::Via;
use crate::redis::slots::{ShardId, SlotMap};
use registration::Registration;
use renewal::Rounds;

/// The times of the protocol, in milliseconds. All are counted from the moment a message was *sent*.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// From one round of renewals to the next.
    pub(crate) renews: u64,
    /// Without a complete round for this long the node admits nothing.
    pub(crate) admits: u64,
    /// A lease that was not renewed for this long has ended: its call is cut. What is left until it expires in Redis is
    /// for cutting, and for clocks that run unevenly.
    pub(crate) lives: u64,
}

impl Times {
    pub(crate) const DEFAULT: Self = Self { renews: 3_000, admits: 5_000, lives: 7_000 };
}

/// What the node wants done.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Run a script and bring back what it answered.
    Send(Sent),
    /// Ask the store which nodes live and what the account is, with the connection that is there before asking.
    Truth(AccountId),
}

/// A script on its way.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) account: AccountId,
    pub(crate) script: Script,
    pub(crate) at: Boot,
    /// Only this server process may be asked.
    pub(crate) process: Option<Process>,
    /// By the link of the ask that it gives back, if it gives one back.
    pub(crate) via: Via,
    round: u64,
}

type Key = (AccountId, u64);

pub(crate) struct Node {
    id: NodeId,
    times: Times,
    next_number: u64,
    entries: BTreeMap<Key, Entry>,
    /// Which server has which account.
    map: SlotMap,
    /// Of each server that has any.
    rounds: BTreeMap<ShardId, Rounds>,
    rounds_begun: u64,
    releases: BTreeSet<(Boot, Key)>,
    registrations: HashMap<AccountId, Registration>,
    effects: Vec<Effect>,
}

struct Entry {
    id: LeaseId,
    /// How it was asked for.
    via: Via,
    /// When such work is usually done, on the boot clock.
    usual_at: i64,
    life: Arc<Life>,
    state: State,
    /// A registration named it before its ask was answered: it may be in Redis though the ask was refused.
    registered: bool,
}

enum State {
    /// Sent, not answered.
    Asked,
    Held,
    /// Its call has ended, and Redis is to know.
    Leaving {
        settled: Option<Settled>,
        tries: u32,
    },
}

/// A lease that may be asked for.
pub(crate) struct Asked {
    pub(crate) lease: Lease,
    pub(crate) life: Arc<Life>,
}

impl Node {
    pub(crate) fn new(id: NodeId, times: Times, map: SlotMap) -> Self {
        let mut node = Self {
            id,
            times,
            next_number: 0,
            entries: BTreeMap::new(),
            map: map.clone(),
            rounds: BTreeMap::new(),
            rounds_begun: 0,
            releases: BTreeSet::new(),
            registrations: HashMap::new(),
            effects: Vec::new(),
        };
        node.set_map(map);
        node
    }

    /// What is to be done now.
    pub(crate) fn effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Whether anything may be admitted for this account.
    pub(crate) fn may_admit(&self, now: Boot, account: AccountId) -> bool {
        let rounds = self.map.shard(account).and_then(|shard| self.rounds.get(&shard));
        rounds.is_some_and(|rounds| rounds.is_fresh(now, self.times))
    }

    /// Whether anything may be admitted for any.
    pub(crate) fn may_admit_any(&self, now: Boot) -> bool {
        self.rounds.values().any(|rounds| rounds.is_fresh(now, self.times))
    }

    /// Makes a lease to ask for. None if the node is fenced.
    pub(crate) fn ask(
        &mut self,
        now: Boot,
        account: AccountId,
        hold: Credits,
        usual_ms: i64,
        via: Via,
    ) -> Option<Asked> {
        if !self.may_admit(now, account) {
            return None;
        }
        self.next_number += 1;
        let id = LeaseId { node: self.id, number: self.next_number, hold };
        let life = Arc::new(Life::new(now.plus(self.times.lives)));
        let usual_at = signed(now).saturating_add(usual_ms);
        let entry =
            Entry { id, via, usual_at, life: Arc::clone(&life), state: State::Asked, registered: false };
        self.entries.insert((account, id.number), entry);
        Some(Asked { lease: Lease { id, usual_ms }, life })
    }

    /// The ask was granted. False if the answer came too late: then the lease is given back.
    pub(crate) fn granted(&mut self, now: Boot, account: AccountId, id: LeaseId) -> bool {
        let Some(entry) = self.entries.get_mut(&(account, id.number)) else { return false };
        if entry.life.is_live(now) {
            entry.state = State::Held;
            return true;
        }
        self.unknown(now, account, id);
        false
    }

    /// The ask was refused.
    pub(crate) fn refused(&mut self, now: Boot, account: AccountId, id: LeaseId) {
        let key = (account, id.number);
        if self.entries.get(&key).is_some_and(|entry| entry.registered) {
            self.unknown(now, account, id);
        } else {
            self.entries.remove(&key);
        }
    }

    /// What became of the ask will not be known, or nobody wants to know: it is given back.
    pub(crate) fn unknown(&mut self, now: Boot, account: AccountId, id: LeaseId) {
        self.leave(account, id, None);
        self.leave_later(now, account, id);
    }

    /// Time passes. To be called every [`TICK_MS`](crate::redis::TICK_MS) or so, and first of all after a stand-still.
    pub(crate) fn tick(&mut self, now: Boot) {
        for entry in self.entries.values().filter(|entry| matches!(entry.state, State::Held)) {
            if !entry.life.is_live(now) {
                entry.life.end();
            }
        }
        self.renew(now);
        self.release(now);
        self.register(now);
    }

    /// What a script that [`Effect::Send`] asked for came to; none if that is not known.
    pub(crate) fn answered(&mut self, now: Boot, sent: &Sent, answer: Option<&Answer>) {
        let answer = answer.filter(|answer| **answer != Answer::Elsewhere);
        match &sent.script {
            Script::Renew { leases } => self.renew_answered(now, sent, leases, answer),
            Script::Register { seen, facts, leases, .. } => {
                self.register_answered(now, sent, (*seen, facts.is_some()), leases, answer);
            }
            Script::Release { leases, settled } => {
                for lease in leases {
                    self.release_answered(now, sent.account, *lease, settled.is_some(), answer);
                }
            }
            _ => {}
        }
    }

    /// Whether a lease of this node may still be in Redis.
    pub(crate) fn is_idle(&self) -> bool {
        self.entries.is_empty()
    }

    fn send(&mut self, at: Boot, account: AccountId, script: Script, process: Option<Process>, round: u64) {
        let via = Via::default();
        self.effects.push(Effect::Send(Sent { account, script, at, process, via, round }));
    }

    fn held_mut(&mut self, account: AccountId, id: LeaseId) -> Option<&mut Entry> {
        self.entries
            .get_mut(&(account, id.number))
            .filter(|entry| !matches!(entry.state, State::Leaving { .. }))
    }
}

fn signed(now: Boot) -> i64 {
    i64::try_from(now.0).unwrap_or(i64::MAX)
}

/// The wait before the next of `tries` tries.
fn backoff(tries: u32) -> u64 {
    (50 << tries.min(5)).min(1_000)
}
