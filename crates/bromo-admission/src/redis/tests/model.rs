//! Redis with the scripts, as a value: what the simulation runs against. The conformance test holds it to the scripts.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bromo_rules::credit::Credits;
use bromo_rules::id::{AccountId, KeyId, NodeId};
use bromo_rules::standing::SlotStanding;
use bromo_rules::time::Timestamp;
use bromo_rules::window::{Limit, Window};

use crate::Denial;
use crate::ask::Facts;
use crate::redis::command::{Answer, Command, Lease, LeaseId, Look, Outcome, Process, Script, Seen};

const LEASE_MS: i64 = 10_000;

/// What is broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    Nothing,
    /// A release takes any lease of the account.
    ReleaseWithoutId,
    /// Renewing brings back what has expired.
    RenewalRecreates,
    /// The asker's limit decides, however old.
    LimitOutside,
    /// An account without a record begins anew.
    NoRegistration,
    /// What expired leaves its hold behind.
    HoldsStay,
    /// A record that another server process left is as good as its own.
    AnyProcess,
    /// A registration counts whatever it was sent for.
    AnyRegistration,
    /// After a hold expired nobody asks the store.
    NoDoubts,
}

#[derive(Debug, Clone)]
pub(super) struct Model {
    pub(super) records: HashMap<AccountId, Record>,
    windows: HashMap<(AccountId, KeyId, usize), Window>,
    pub(super) published: Vec<(NodeId, char, AccountId)>,
    broken: Broken,
}

#[derive(Debug, Clone)]
pub(super) struct Record {
    made_at: i64,
    version: i64,
    pub(super) slots: i64,
    pub(super) balance: i64,
    seq: i64,
    pub(super) held: i64,
    pub(super) leases: i64,
    first_expiry: i64,
    waited_for: bool,
    pub(super) opens_at: i64,
    doubts: u64,
    process: Process,
    pub(super) by_expiry: BTreeMap<LeaseId, i64>,
    by_usual: BTreeMap<LeaseId, i64>,
    /// When the first is usually done, and when that was looked up.
    usual: Option<(i64, i64)>,
    registering: BTreeSet<NodeId>,
}

/// One script under way.
struct Run<'a> {
    now: i64,
    woke: bool,
    node: NodeId,
    account: AccountId,
    published: &'a mut Vec<(NodeId, char, AccountId)>,
    broken: Broken,
}

impl Model {
    pub(super) fn new(broken: Broken) -> Self {
        let (records, windows, published) = (HashMap::new(), HashMap::new(), Vec::new());
        Self { records, windows, published, broken }
    }

    pub(super) fn run(&mut self, command: &Command, now: Timestamp) -> Answer {
        let broken = self.broken;
        let mut run = Run {
            now: now.millis(),
            woke: false,
            node: command.node,
            account: command.account,
            published: &mut self.published,
            broken,
        };
        let made = |facts| Record::new(facts, &command.process, now.millis());
        if let Script::Open(facts) = &command.script {
            self.records.entry(command.account).or_insert_with(|| made(facts));
            return Answer::Done { woke: false };
        }
        let seen = self.records.get(&command.account).map(Record::seen).unwrap_or_default();
        if let Script::Register { seen: said, facts, living, leases } = &command.script {
            let known =
                self.records.get(&command.account).is_some_and(|record| record.process == command.process);
            let meant = *said == seen || broken == Broken::AnyRegistration;
            if !meant || (!known && facts.is_none()) {
                return Answer::Lost { seen };
            }
            if !known {
                // The whole account is made anew.
                self.windows.retain(|(account, _, _), _| *account != command.account);
            }
            return run.register(&mut self.records, &command.process, facts.as_ref(), living, leases);
        }
        if broken == Broken::NoRegistration
            && let Script::Admit { facts, .. } | Script::Start { facts, .. } = &command.script
        {
            self.records.entry(command.account).or_insert_with(|| made(facts));
        }
        let known = |record: &&mut Record| record.process == command.process || broken == Broken::AnyProcess;
        let Some(record) = self.records.get_mut(&command.account).filter(known) else {
            return Answer::Lost { seen };
        };
        match &command.script {
            Script::Admit { facts, key, route, rate, lease } => {
                if let Some(answer) = run.begin(record, facts) {
                    return answer;
                }
                let window = self.windows.entry((command.account, *key, route.get())).or_default();
                let (outcome, left) = run.admit(record, window, facts, *rate, now, lease.as_ref());
                let (slots, balance) = (record.standing(), Credits::new(record.balance));
                Answer::Judged { outcome, left, slots, balance, woke: run.woke }
            }
            Script::Start { facts, leases } => {
                if let Some(answer) = run.begin(record, facts) {
                    return answer;
                }
                let mut denial = None;
                let mut taken = 0;
                for lease in leases {
                    match run.take(record, facts, lease) {
                        Ok(()) => taken += 1,
                        Err(denied) => {
                            record.waited_for |= denied != Denial::Credits { held: false };
                            denial = Some(denied);
                            break;
                        }
                    }
                }
                let expires_in_ms = record.expires_in(run.now);
                Answer::Started { taken, slots: record.standing(), denial, woke: run.woke, expires_in_ms }
            }
            Script::Release { leases, settled } => {
                let mut changed = false;
                for lease in leases {
                    let any = record.by_expiry.keys().next().copied();
                    let taken = if broken == Broken::ReleaseWithoutId { any } else { Some(*lease) };
                    changed |= taken.is_some_and(|lease| record.remove(&lease));
                }
                if record.leases == 0 && changed {
                    record.first_expiry = 0;
                }
                if let Some(settled) = settled {
                    changed |= record.settle(settled.balance.get(), int(settled.ledger_seq));
                }
                if changed {
                    run.call_out(record);
                }
                Answer::Done { woke: run.woke }
            }
            Script::Renew { leases } => run.renew(record, leases),
            Script::Announce { facts, doubts } => {
                run.learn(record, facts);
                if record.doubts == *doubts {
                    record.doubts = 0;
                }
                Answer::Done { woke: run.woke }
            }
            Script::Look { compare } => {
                run.sweep(record);
                let opens_in_ms = run.opening(record);
                let repaired = *compare && record.repair(run.now);
                if repaired {
                    run.call_out(record);
                }
                Answer::Looked(Look {
                    woke: run.woke,
                    slots: record.standing(),
                    held: Credits::new(record.held),
                    balance: Credits::new(record.balance),
                    expires_in_ms: record.expires_in(run.now),
                    repaired,
                    opens_in_ms,
                })
            }
            Script::Open(_) | Script::Register { .. } => unreachable!("answered above"),
        }
    }
}

impl Run<'_> {
    fn publish(&mut self, word: char) {
        self.published.push((self.node, word, self.account));
    }

    fn call_out(&mut self, record: &mut Record) {
        if std::mem::take(&mut record.waited_for) {
            self.woke = true;
            self.publish('W');
        }
    }

    fn learn(&mut self, record: &mut Record, facts: &Facts) {
        record.settle(facts.balance.get(), int(facts.ledger_seq));
        if int(facts.version) > record.version {
            (record.version, record.slots) = (int(facts.version), i64::from(facts.slots));
            self.call_out(record);
        }
    }

    fn sweep(&mut self, record: &mut Record) {
        if record.first_expiry == 0 || self.now < record.first_expiry {
            return;
        }
        let expired: Vec<LeaseId> =
            record.by_expiry.iter().filter(|(_, expiry)| **expiry <= self.now).map(|(id, _)| *id).collect();
        for id in &expired {
            let held = record.held;
            record.remove(id);
            if self.broken == Broken::HoldsStay {
                record.held = held;
            }
            if id.hold > Credits::ZERO && self.broken != Broken::NoDoubts {
                record.doubts += 1;
            }
        }
        record.first_expiry = record.by_expiry.values().min().copied().unwrap_or(0);
        if !expired.is_empty() {
            self.call_out(record);
        }
    }

    fn opening(&mut self, record: &mut Record) -> u64 {
        if record.opens_at == 0 {
            return 0;
        }
        if self.now < record.opens_at {
            return ms(record.opens_at - self.now);
        }
        record.opens_at = 0;
        self.call_out(record);
        0
    }

    /// What every ask begins with. An answer if that is all.
    fn begin(&mut self, record: &mut Record, facts: &Facts) -> Option<Answer> {
        self.sweep(record);
        match self.opening(record) {
            0 if int(facts.version) < record.version && self.broken != Broken::LimitOutside => {
                Some(Answer::Stale)
            }
            0 if record.doubts > 0 => Some(Answer::Doubtful { doubts: record.doubts }),
            0 => {
                self.learn(record, facts);
                None
            }
            in_ms => Some(Answer::Opening { in_ms, seen: record.seen() }),
        }
    }

    fn admit(
        &self,
        record: &mut Record,
        window: &mut Window,
        facts: &Facts,
        rate: Limit,
        now: Timestamp,
        lease: Option<&Lease>,
    ) -> (Outcome, u32) {
        match (window.take(rate, now), lease) {
            (Err(_), _) => (Outcome::Denied(Denial::Rate), 0),
            (Ok(standing), None) => (Outcome::Counted, standing.remaining),
            (Ok(standing), Some(lease)) => {
                let outcome =
                    self.take(record, facts, lease).map_or_else(Outcome::Denied, |()| Outcome::Admitted);
                if outcome == Outcome::Admitted {
                    // Of one that was here already, too.
                    record.by_expiry.insert(lease.id, self.now + LEASE_MS);
                    record.by_usual.insert(lease.id, self.now + lease.usual_ms);
                }
                (outcome, standing.remaining)
            }
        }
    }

    fn take(&self, record: &mut Record, facts: &Facts, lease: &Lease) -> Result<(), Denial> {
        let hold = lease.id.hold.get();
        if record.balance - record.held < hold {
            return Err(Denial::Credits { held: record.balance >= hold });
        }
        let slots = if self.broken == Broken::LimitOutside { i64::from(facts.slots) } else { record.slots };
        if record.leases >= slots {
            return Err(Denial::Slots { retry_after_s: record.retry_after_s(self.now) });
        }
        if !record.by_expiry.contains_key(&lease.id) {
            record.insert(lease, self.now);
        }
        Ok(())
    }

    fn renew(&mut self, record: &mut Record, leases: &[LeaseId]) -> Answer {
        self.sweep(record);
        let opens_in_ms = self.opening(record);
        let mut gone = Vec::new();
        for (place, id) in leases.iter().enumerate() {
            if let Some(expiry) = record.by_expiry.get_mut(id) {
                *expiry = self.now + LEASE_MS;
            } else if self.broken == Broken::RenewalRecreates {
                record.insert(&Lease { id: *id, usual_ms: 0 }, self.now);
            } else {
                gone.push(place);
            }
        }
        if opens_in_ms > 0 && !gone.is_empty() {
            return Answer::Opening { in_ms: opens_in_ms, seen: record.seen() };
        }
        Answer::Renewed { woke: self.woke, gone }
    }

    fn register(
        &mut self,
        records: &mut HashMap<AccountId, Record>,
        process: &Process,
        facts: Option<&Facts>,
        living: &[NodeId],
        leases: &[Lease],
    ) -> Answer {
        let known = records.get(&self.account).is_some_and(|record| record.process == *process);
        if let (false, Some(facts)) = (known, facts) {
            let old = records.remove(&self.account);
            let mut record = Record::new(facts, process, self.now);
            if let Some(old) = old {
                record.made_at = record.made_at.max(old.made_at + 1);
                (record.version, record.slots) = (old.version, old.slots);
                (record.balance, record.seq) = (old.balance, old.seq);
                record.settle(facts.balance.get(), int(facts.ledger_seq));
                if int(facts.version) > record.version {
                    (record.version, record.slots) = (int(facts.version), i64::from(facts.slots));
                }
            }
            record.opens_at = self.now + LEASE_MS;
            record.registering = living.iter().copied().collect();
            record.waited_for = true;
            records.insert(self.account, record);
            self.publish('R');
        }
        let record = records.get_mut(&self.account).expect("it is there");
        if known {
            self.sweep(record);
            if let Some(facts) = facts {
                self.learn(record, facts);
                record.registering.retain(|node| living.contains(node));
            }
        }
        record.registering.remove(&self.node);
        let mut opens_in_ms = self.opening(record);
        let mut gone = Vec::new();
        for (place, lease) in leases.iter().enumerate() {
            if let Some(expiry) = record.by_expiry.get_mut(&lease.id) {
                *expiry = self.now + LEASE_MS;
            } else if opens_in_ms > 0 {
                record.insert(lease, self.now);
            } else {
                gone.push(place);
            }
        }
        if opens_in_ms > 0 && record.registering.is_empty() {
            (record.opens_at, opens_in_ms) = (0, 0);
            self.publish('O');
            self.call_out(record);
        }
        Answer::Registered { woke: self.woke, opens_in_ms, gone }
    }
}

impl Record {
    fn new(facts: &Facts, process: &Process, made_at: i64) -> Self {
        Self {
            made_at,
            version: int(facts.version),
            slots: i64::from(facts.slots),
            balance: facts.balance.get(),
            seq: int(facts.ledger_seq),
            held: 0,
            leases: 0,
            first_expiry: 0,
            waited_for: false,
            opens_at: 0,
            doubts: 0,
            process: process.clone(),
            by_expiry: BTreeMap::new(),
            by_usual: BTreeMap::new(),
            usual: None,
            registering: BTreeSet::new(),
        }
    }

    pub(super) fn seen(&self) -> Seen {
        Seen(ms(self.made_at))
    }

    fn standing(&self) -> SlotStanding {
        let number = |number: i64| u32::try_from(number.max(0)).unwrap();
        SlotStanding { limit: number(self.slots), current: number(self.leases) }
    }

    fn settle(&mut self, balance: i64, seq: i64) -> bool {
        let newer = seq > self.seq;
        if newer {
            (self.balance, self.seq) = (balance, seq);
        }
        newer
    }

    fn insert(&mut self, lease: &Lease, now: i64) {
        self.by_expiry.insert(lease.id, now + LEASE_MS);
        self.by_usual.insert(lease.id, now + lease.usual_ms);
        self.held += lease.id.hold.get();
        self.leases += 1;
        if self.first_expiry == 0 {
            self.first_expiry = now + LEASE_MS;
        }
    }

    fn remove(&mut self, id: &LeaseId) -> bool {
        let there = self.by_expiry.remove(id).is_some();
        if there {
            self.by_usual.remove(id);
            self.held -= id.hold.get();
            self.leases -= 1;
        }
        there
    }

    fn retry_after_s(&mut self, now: i64) -> u32 {
        let known = self.usual.filter(|(_, seen)| (*seen..seen + 1_000).contains(&now));
        let (first, _) =
            *self.usual.insert(known.unwrap_or((self.by_usual.values().min().copied().unwrap_or(0), now)));
        let seconds = (first - now).div_euclid(1_000) + i64::from((first - now) % 1_000 != 0);
        u32::try_from(seconds.clamp(1, 30)).unwrap()
    }

    fn expires_in(&self, now: i64) -> u64 {
        if self.first_expiry == 0 { 0 } else { ms((self.first_expiry - now).max(1)) }
    }

    fn repair(&mut self, now: i64) -> bool {
        let held: i64 = self.by_expiry.keys().map(|id| id.hold.get()).sum();
        let leases = i64::try_from(self.by_expiry.len()).unwrap();
        if (held, leases) == (self.held, self.leases) {
            return false;
        }
        (self.held, self.leases) = (held, leases);
        if self.first_expiry == 0 && leases > 0 {
            self.first_expiry = now;
        }
        true
    }
}

fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap()
}

fn ms(number: i64) -> u64 {
    u64::try_from(number).unwrap()
}
