//! Random commands to the scripts on a real server and to the model give equal answers.

use bromo_rules::credit::Credits;
use bromo_rules::id::{AccountId, KeyId, NodeId};
use bromo_rules::time::Timestamp;
use bromo_rules::window::Limit;
use bromo_testbed::Redis as Server;

use super::model::{Broken, Model};
use super::{NOW, block_on, prefix};
use crate::RouteIndex;
use crate::ask::Facts;
use crate::permit::Settled;
use crate::redis::command::{Answer, Command, Lease, LeaseId, Process, Script, Seen};
use crate::redis::link::Link;
use crate::redis::wire;

const SEQUENCES: u64 = 200;
const COMMANDS: usize = 150;

struct Maker {
    random: fastrand::Rng,
    /// Leases that were named before.
    named: Vec<LeaseId>,
    version: u64,
    seq: u64,
}

impl Maker {
    fn lease(&mut self, node: NodeId) -> LeaseId {
        if !self.named.is_empty() && self.random.u8(..4) == 0 {
            return self.named[self.random.usize(..self.named.len())];
        }
        let (number, hold) =
            (self.named.len() as u64, Credits::new(self.random.i64(0..4) * self.random.i64(0..3)));
        let lease = LeaseId { node, number, hold };
        self.named.push(lease);
        lease
    }

    fn known(&mut self, node: NodeId) -> Vec<LeaseId> {
        let one = |maker: &mut Self| match maker.named.len() {
            0 => maker.lease(node),
            count => maker.named[maker.random.usize(..count)],
        };
        let mut known: Vec<_> = (0..self.random.usize(1..5)).map(|_| one(self)).collect();
        known.sort_unstable();
        known.dedup();
        known
    }

    fn leases(&mut self, node: NodeId, most: usize) -> Vec<Lease> {
        let mut leases: Vec<Lease> = Vec::new();
        for _ in 0..self.random.usize(1..=most) {
            let lease = Lease { id: self.lease(node), usual_ms: self.random.i64(-3_000..40_000) };
            if leases.iter().all(|known| known.id != lease.id) {
                leases.push(lease);
            }
        }
        leases
    }

    fn facts(&mut self, account: AccountId) -> Facts {
        self.version += u64::from(self.random.u8(..12) == 0);
        self.seq += u64::from(self.random.u8(..6) == 0);
        let version = self.version.saturating_sub(u64::from(self.random.u8(..8) == 0));
        let slots = u32::try_from(version % 4 + 1).unwrap();
        let balance = Credits::new(i64::try_from(self.seq * 7 % 30).unwrap());
        Facts { account, version, slots, balance, ledger_seq: self.seq }
    }

    fn script(&mut self, account: AccountId, node: NodeId) -> Script {
        match self.random.u8(..100) {
            0..=3 => Script::Open(self.facts(account)),
            4..=9 => Script::Announce { facts: self.facts(account), doubts: self.random.u64(..4) },
            10..=39 => Script::Admit {
                facts: self.facts(account),
                key: KeyId::from_random(self.random.u64(..2)),
                route: RouteIndex::new(self.random.u8(..2)),
                rate: Limit { requests: self.random.u32(1..6) },
                lease: (self.random.u8(..4) > 0).then(|| self.leases(node, 1)[0]),
            },
            40..=54 => Script::Start { facts: self.facts(account), leases: self.leases(node, 4) },
            55..=74 => Script::Release {
                leases: self.known(node),
                settled: self.random.bool().then(|| {
                    let facts = self.facts(account);
                    Settled { balance: facts.balance, ledger_seq: facts.ledger_seq }
                }),
            },
            75..=84 => Script::Renew { leases: self.known(node) },
            85..=92 => Script::Register {
                seen: Seen::default(),
                facts: (self.random.u8(..3) > 0).then(|| self.facts(account)),
                living: (0..3).filter(|_| self.random.bool()).map(NodeId::from_random).collect(),
                leases: self.leases(node, 3),
            },
            _ => Script::Look { compare: self.random.bool() },
        }
    }
}

#[test]
fn the_model_answers_as_the_scripts_do() {
    block_on(async {
        let server = crate::redis::server::Server::new(&Server::shared().url()).unwrap();
        let link = Link::connect(&server, std::time::Duration::from_secs(5)).await.unwrap();
        let mut seen = [0_u32; 10];
        for seed in 0..SEQUENCES {
            let prefix = prefix();
            let mut model = Model::new(Broken::Nothing);
            let random = fastrand::Rng::with_seed(seed);
            let mut maker = Maker { random, named: Vec::new(), version: 1, seq: 1 };
            let (mut now, mut process) = (NOW.millis(), Process("one".into()));
            for step in 0..COMMANDS {
                match maker.random.u8(..40) {
                    0 => now += 12_000,
                    1 => now -= maker.random.i64(0..3_000),
                    2 => process = Process(if maker.random.bool() { "one" } else { "two" }.into()),
                    _ => now += maker.random.i64(0..400),
                }
                let account = AccountId::from_random(maker.random.u64(..2));
                let node = NodeId::from_random(maker.random.u64(..3));
                let mut script = maker.script(account, node);
                if let Script::Register { seen, .. } = &mut script
                    && let Some(record) = model.records.get(&account)
                    && maker.random.u8(..8) > 0
                {
                    *seen = record.seen();
                }
                let now = Timestamp::from_millis(now);
                let command = Command { account, node, process: process.clone(), now: Some(now), script };
                let real = link.run(&command, &prefix, 0).await.unwrap();
                let real = wire::decode(&command.script, &real).expect("an answer of ours");
                let expected = model.run(&command, now);
                assert_eq!(real, expected, "seed {seed}, step {step}: {command:?}");
                seen[place(&real)] += 1;
            }
        }
        // Every kind of answer was compared, and not by a hair.
        assert!(seen.iter().all(|count| *count > 50), "{seen:?}");
    });
}

const fn place(answer: &Answer) -> usize {
    match answer {
        Answer::Elsewhere => panic!("no script answers this"),
        Answer::Stale => 0,
        Answer::Lost { .. } => 1,
        Answer::Opening { .. } => 2,
        Answer::Doubtful { .. } => 3,
        Answer::Done { .. } => 4,
        Answer::Judged { .. } => 5,
        Answer::Started { .. } => 6,
        Answer::Renewed { .. } => 7,
        Answer::Registered { .. } => 8,
        Answer::Looked(_) => 9,
    }
}
