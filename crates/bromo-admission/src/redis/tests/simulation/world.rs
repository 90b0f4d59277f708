//! Everything there is, and how it moves.

use std::collections::BTreeMap;
use std::sync::Arc;

use bromo_rules::credit::Credits;
use bromo_rules::id::{AccountId, NodeId};
use bromo_rules::time::Timestamp;

use super::message::{Event, Message, NodeEvent, Purpose};
use super::{NodeBroken, Variant};
use crate::ask::Facts;
use crate::redis::clock::Boot;
use crate::redis::command::{Answer, Command, LeaseId, Outcome, Process, Script};
use crate::redis::life::Life;
use crate::redis::node::{Effect, Node, Times};
use crate::redis::slots::{SLOTS, ShardId, SlotMap, slot};
use crate::redis::tests::model::Model;

/// Faults happen for so long, in ms; then all is well until the end.
const TROUBLE_MS: u64 = 45_000;
const CALM_MS: u64 = 40_000;
/// Events of a history.
const HISTORY_MAX: usize = 150;
pub(super) const ACCOUNTS: u64 = 2;
const NODES: usize = 3;
const TICK_MS: u64 = 200;
pub(super) const SHARDS: [ShardId; 2] = [ShardId(0), ShardId(1)];
const EPOCH_MS: i64 = 1_760_000_000_000;

pub(super) struct World {
    pub(super) random: fastrand::Rng,
    pub(super) variant: Variant,
    pub(super) now: u64,
    queue: BTreeMap<(u64, u64), Event>,
    events: u64,
    pub(super) model: Model,
    pub(super) redis_up: bool,
    /// Records as they were a while ago.
    pub(super) saved: Model,
    /// How often the servers were started.
    pub(super) generation: u32,
    /// Which of two servers has the account; none while it moves.
    pub(super) homes: BTreeMap<AccountId, Option<ShardId>>,
    redis_rate: f64,
    pub(super) nodes: Vec<SimNode>,
    pub(super) accounts: BTreeMap<AccountId, Truth>,
    pub(super) pending: BTreeMap<u64, Message>,
    pub(super) messages: u64,
    pub(super) timeout_ms: u64,
    pub(super) seen: Seen,
    pub(super) violation: Option<String>,
    /// The limit that was in force when a lease was admitted.
    pub(super) decided: BTreeMap<LeaseId, u32>,
    /// What happened last, where somebody wants to know.
    history: Option<std::collections::VecDeque<String>>,
}

pub(super) struct SimNode {
    pub(super) id: NodeId,
    pub(super) node: Node,
    rate: f64,
    pub(super) alive: bool,
    /// When it was frozen or killed.
    pub(super) gone_at: Option<u64>,
    pub(super) woke_at: u64,
    pub(super) epoch: u64,
    /// Of the servers that it is connected to.
    pub(super) generation: Option<u32>,
    /// Where it believes the accounts to be.
    pub(super) map: BTreeMap<AccountId, ShardId>,
    /// Nothing goes through from … to.
    pub(super) cut: (u64, u64),
    /// Everything takes its time until …
    pub(super) slow_until: u64,
    /// … or the answers alone.
    pub(super) slow_answers_until: u64,
    /// By server.
    pub(super) out_at: [u64; 2],
    pub(super) in_at: [u64; 2],
    inbox: Vec<NodeEvent>,
    pub(super) cached: BTreeMap<AccountId, Facts>,
    pub(super) calls: BTreeMap<u64, Call>,
    /// When Redis last ran a script of it.
    pub(super) heard_at: u64,
}

pub(super) struct Call {
    pub(super) account: AccountId,
    pub(super) id: LeaseId,
    pub(super) life: Arc<Life>,
    /// The limit that was in force when it was admitted.
    pub(super) limit: u32,
    pub(super) cut: bool,
}

/// What the store says of an account.
pub(super) struct Truth {
    pub(super) facts: Facts,
    /// What was in force before, until the change's announcement has returned.
    pub(super) before: Option<u32>,
}

/// How much happened.
#[derive(Debug, Default, Clone)]
pub(super) struct Seen(pub(super) BTreeMap<&'static str, u64>);

impl Seen {
    pub(super) fn count(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (what, count) in &other.0 {
            *self.0.entry(what).or_default() += count;
        }
    }

    pub(super) fn all_above(&self, least: u64) -> bool {
        let expected = [
            "admitted",
            "denied",
            "stale",
            "lost",
            "opening",
            "doubtful",
            "cut",
            "orphan",
            "froze",
            "killed",
            "restarted empty",
            "restarted with old data",
            "restarted with data",
            "link cut",
            "link slow",
            "answers slow",
            "moved",
            "elsewhere",
            "changed",
            "charged",
            "gone",
            "registered",
        ];
        expected.iter().all(|what| self.0.get(what).is_some_and(|count| *count > least))
    }
}

/// Each server has its processes.
pub(super) fn process(generation: u32, shard: ShardId) -> Process {
    Process(format!("p{generation}s{}", shard.0).into())
}

/// As a cluster of two servers with these accounts.
pub(super) fn slot_map(map: &BTreeMap<AccountId, ShardId>) -> SlotMap {
    let mut slots = vec![None; SLOTS];
    for (account, shard) in map {
        slots[usize::from(slot(*account))] = Some(*shard);
    }
    SlotMap::Slots(slots.into())
}

impl World {
    pub(super) fn new(seed: u64, variant: Variant) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut model = Model::new(variant.redis);
        let mut accounts = BTreeMap::new();
        for number in 0..ACCOUNTS {
            let account = AccountId::from_random(number);
            let (slots, balance) = (random.u32(1..4), Credits::new(random.i64(5..60)));
            let facts = Facts { account, version: 1, slots, balance, ledger_seq: 1 };
            let command = Command {
                account,
                node: NodeId::from_random(0),
                process: process(1, SHARDS[0]),
                now: None,
                script: Script::Open(facts),
            };
            model.run(&command, Timestamp::from_millis(EPOCH_MS));
            accounts.insert(account, Truth { facts, before: None });
        }
        let mut world = Self {
            redis_rate: 0.999 + random.f64() * 0.002,
            timeout_ms: random.choice([500, 2_000, 12_000, 12_000]).unwrap(),
            saved: model.clone(),
            random,
            variant,
            now: 0,
            queue: BTreeMap::new(),
            events: 0,
            model,
            redis_up: true,
            generation: 1,
            homes: accounts.keys().map(|account| (*account, Some(SHARDS[0]))).collect(),
            nodes: Vec::new(),
            accounts,
            pending: BTreeMap::new(),
            messages: 0,
            seen: Seen::default(),
            violation: None,
            decided: BTreeMap::new(),
            history: None,
        };
        for _ in 0..NODES {
            world.join();
        }
        world.after(500, Event::Fault);
        for account in world.accounts.keys().copied().collect::<Vec<_>>() {
            let wait = world.random.u64(1_000..15_000);
            world.after(wait, Event::Change(account));
        }
        world
    }

    pub(super) fn run(mut self) -> Result<Seen, String> {
        while let Some(((at, _), event)) = self.queue.pop_first() {
            if at > TROUBLE_MS + CALM_MS {
                break;
            }
            self.now = at;
            self.happen(event);
            if let Some(violation) = self.violation {
                let history: Vec<String> = self.history.into_iter().flatten().collect();
                return Err(format!("{violation}, at {at} ms\n{}", history.join("\n")));
            }
        }
        self.check_calm();
        self.violation.map_or(Ok(self.seen), Err)
    }

    /// As [`World::run`], with what happened last in the error.
    pub(super) fn run_with_history(mut self) -> Result<Seen, String> {
        self.history = Some(std::collections::VecDeque::new());
        self.run()
    }

    pub(super) fn note(&mut self, what: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(history) = &mut self.history {
            if history.len() == HISTORY_MAX {
                history.pop_front();
            }
            history.push_back(format!("{now:>6} {}", what()));
        }
    }

    pub(super) const fn is_trouble(&self) -> bool {
        self.now < TROUBLE_MS
    }

    pub(super) fn after(&mut self, ms: u64, event: Event) {
        self.events += 1;
        self.queue.insert((self.now + ms, self.events), event);
    }

    pub(super) fn node_after(&mut self, ms: u64, node: usize, event: NodeEvent) {
        self.after(ms, Event::Of(node, event));
    }

    /// A new node comes up.
    pub(super) fn join(&mut self) {
        let place = self.nodes.len();
        let times = match self.variant.node {
            NodeBroken::NoFencing => Times { admits: 1_000_000_000, lives: 1_000_000_000, ..Times::DEFAULT },
            _ => Times::DEFAULT,
        };
        let id = NodeId::from_random(place as u64 + 1);
        let map: BTreeMap<_, _> = self.accounts.keys().map(|account| (*account, SHARDS[0])).collect();
        self.nodes.push(SimNode {
            id,
            node: Node::new(id, times, slot_map(&map)),
            rate: 0.995 + self.random.f64() * 0.01,
            alive: true,
            gone_at: None,
            woke_at: 0,
            epoch: 0,
            generation: None,
            map,
            cut: (0, 0),
            slow_until: 0,
            slow_answers_until: 0,
            out_at: [0; 2],
            in_at: [0; 2],
            inbox: Vec::new(),
            cached: self.accounts.iter().map(|(account, truth)| (*account, truth.facts)).collect(),
            calls: BTreeMap::new(),
            heard_at: 0,
        });
        self.node_after(0, place, NodeEvent::Connect);
        self.node_after(1, place, NodeEvent::Tick);
        self.node_after(10, place, NodeEvent::NewCall);
    }

    pub(super) fn boot(&self, node: usize) -> Boot {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "small"
        )]
        Boot(1_000_000 + (self.now as f64 * self.nodes[node].rate) as u64)
    }

    pub(super) fn redis_now(&self) -> Timestamp {
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "small")]
        Timestamp::from_millis(EPOCH_MS + (self.now as f64 * self.redis_rate) as i64)
    }

    fn happen(&mut self, event: Event) {
        let quiet =
            matches!(event, Event::Of(_, NodeEvent::Tick | NodeEvent::TimedOut(_)) | Event::Arrive(..));
        if !quiet {
            self.note(|| format!("{event:?}"));
        }
        match event {
            Event::Arrive(number, message) => self.arrive(number, *message),
            Event::Fault => self.fault(),
            Event::RedisUp => self.redis_up = true,
            Event::NewNode => self.join(),
            Event::Change(account) => self.change(account),
            Event::Moved(account, shard) => _ = self.homes.insert(account, Some(shard)),
            Event::Wake(node) => self.wake(node),
            Event::Of(node, event) if !self.nodes[node].alive => drop(event),
            Event::Of(node, event) if self.nodes[node].gone_at.is_some() => {
                self.nodes[node].inbox.push(event)
            }
            Event::Of(node, event) => self.node_event(node, event),
        }
    }

    /// It finds everything that came meanwhile at once, in any order.
    fn wake(&mut self, node: usize) {
        if !self.nodes[node].alive {
            return;
        }
        (self.nodes[node].gone_at, self.nodes[node].woke_at) = (None, self.now);
        let mut inbox = std::mem::take(&mut self.nodes[node].inbox);
        self.random.shuffle(&mut inbox);
        for event in inbox {
            self.node_event(node, event);
        }
    }

    fn node_event(&mut self, node: usize, event: NodeEvent) {
        let now = self.boot(node);
        match event {
            NodeEvent::Tick => {
                self.nodes[node].node.tick(now);
                self.cut(node);
                self.node_after(TICK_MS, node, NodeEvent::Tick);
            }
            NodeEvent::Connect => self.connect(node),
            NodeEvent::Learn => self.learn(node),
            NodeEvent::NewCall => self.new_call(node),
            NodeEvent::EndCall(call) => self.end_call(node, call),
            NodeEvent::Closed(call) => self.closed(node, call),
            NodeEvent::Answer(number, answer) => {
                if let Some(message) = self.pending.remove(&number) {
                    self.answered(node, message, Some(answer));
                }
            }
            NodeEvent::TimedOut(number) => {
                if let Some(message) = self.pending.remove(&number) {
                    let epoch = message.epoch;
                    self.answered(node, message, None);
                    if epoch == self.nodes[node].epoch {
                        self.disconnect(node);
                    }
                }
            }
            NodeEvent::Broken(number) => {
                if let Some(message) = self.pending.remove(&number) {
                    self.answered(node, message, None);
                }
            }
            NodeEvent::Truth(account, process, living, facts) => {
                let facts = match self.variant.node {
                    NodeBroken::RegistersCachedFacts => self.nodes[node].cached[&account],
                    _ => facts,
                };
                self.nodes[node].node.truth(now, account, process, Some((living, Some(facts))));
            }
            NodeEvent::Doubt(account, doubts, facts) => {
                self.send(node, account, Script::Announce { facts, doubts }, Purpose::Doubt, None);
            }
            NodeEvent::HeardOfLoss(account, made) => self.nodes[node].node.heard_of_loss(now, account, made),
            NodeEvent::Announce(account) => {
                let facts = self.accounts[&account].facts;
                let script = Script::Announce { facts, doubts: 0 };
                self.send(node, account, script, Purpose::Change { version: facts.version }, None);
            }
        }
        self.effects(node);
    }

    fn effects(&mut self, node: usize) {
        for effect in self.nodes[node].node.effects() {
            match effect {
                Effect::Send(sent) => {
                    let (account, script, process) =
                        (sent.account, sent.script.clone(), sent.process.clone());
                    self.send(node, account, script, Purpose::Node(Box::new(sent)), process.as_ref());
                }
                Effect::Truth(account) => {
                    // The store answers a moment later with what was true a moment ago.
                    let asked = &self.nodes[node];
                    let process = asked.generation.map(|generation| process(generation, asked.map[&account]));
                    let (living, facts) = (self.living(), self.accounts[&account].facts);
                    let wait = self.random.u64(1..50);
                    self.node_after(wait, node, NodeEvent::Truth(account, process, living, facts));
                }
            }
        }
    }

    /// A row is renewed while its node runs, and dead after 10 s.
    fn living(&self) -> Vec<NodeId> {
        let lives = |node: &&SimNode| node.gone_at.is_none_or(|since| self.now < since + 10_000);
        self.nodes.iter().filter(lives).map(|node| node.id).collect()
    }

    pub(super) fn count(&mut self, answer: &Answer) {
        self.seen.count(match answer {
            Answer::Elsewhere => "elsewhere",
            Answer::Stale => "stale",
            Answer::Lost { .. } => "lost",
            Answer::Opening { .. } => "opening",
            Answer::Doubtful { .. } => "doubtful",
            Answer::Judged { outcome: Outcome::Admitted, .. } => "admitted",
            Answer::Judged { .. } => "denied",
            Answer::Registered { .. } => "registered",
            Answer::Renewed { gone, .. } if !gone.is_empty() => "gone",
            _ => return,
        });
    }

    /// Another plan and a grant: committed, then announced until that has returned.
    fn change(&mut self, account: AccountId) {
        if !self.is_trouble() {
            return;
        }
        let (slots, grant) = (self.random.u32(1..5), Credits::new(self.random.i64(0..30)));
        let truth = self.accounts.get_mut(&account).expect("it is there");
        if truth.before.is_none() {
            truth.before = Some(truth.facts.slots);
            let facts = &mut truth.facts;
            (facts.version, facts.slots) = (facts.version + 1, slots);
            (facts.balance, facts.ledger_seq) = (facts.balance + grant, facts.ledger_seq + 1);
            self.seen.count("changed");
            self.announce(account, 1);
        }
        let wait = self.random.u64(1_000..15_000);
        self.after(wait, Event::Change(account));
    }

    /// Some node that runs does it.
    pub(super) fn announce(&mut self, account: AccountId, wait: u64) {
        let running: Vec<usize> = (0..self.nodes.len())
            .filter(|node| self.nodes[*node].alive && self.nodes[*node].gone_at.is_none())
            .collect();
        match running.get(self.random.usize(..running.len().max(1))) {
            Some(node) => self.node_after(wait, *node, NodeEvent::Announce(account)),
            // Nobody runs: the change is retried when somebody does.
            None => self.after(1_000, Event::Change(account)),
        }
    }

    /// The limits that may be in force now.
    pub(super) fn limits(&self, account: AccountId) -> Vec<u32> {
        let truth = &self.accounts[&account];
        truth.before.into_iter().chain([truth.facts.slots]).collect()
    }
}
