//! What a decision costs Redis, in what does not depend on the machine: round trips, and commands of its script.

use std::time::Duration;

use bromo_rules::credit::Credits;
use bromo_rules::id::{AccountId, KeyId, NodeId};
use bromo_rules::time::Timestamp;
use bromo_rules::window::Limit;
use bromo_testbed::Redis as Server;

use super::{NOW, block_on};
use crate::RouteIndex;
use crate::ask::Facts;
use crate::redis::command::{Answer, Command, Lease, LeaseId, Outcome, Script};
use crate::redis::link::Link;
use crate::redis::{server, wire};
use crate::{Denial, Settled};

/// A server that counts its commands, and a link to it that nothing else uses.
struct Meter {
    server: Server,
    link: Link,
    /// The time; that of Redis costs a command.
    now: Option<Timestamp>,
}

const NODE: u64 = 1;

fn facts() -> Facts {
    let account = AccountId::from_random(7);
    Facts { account, version: 1, slots: 1, balance: Credits::new(1_000), ledger_seq: 1 }
}

fn lease(number: u64) -> Lease {
    let id = LeaseId { node: NodeId::from_random(NODE), number, hold: Credits::new(5) };
    Lease { id, usual_ms: 3_000 }
}

fn admit(lease: Option<Lease>) -> Script {
    Script::Admit {
        facts: facts(),
        key: KeyId::from_random(1),
        route: RouteIndex::new(0),
        rate: Limit { requests: 1_000_000 },
        lease,
    }
}

impl Meter {
    async fn start() -> Self {
        let server = Server::start().unwrap();
        let address = server::Server::new(&server.url()).unwrap();
        let link = Link::connect(&address, Duration::from_secs(5)).await.unwrap();
        Self { server, link, now: Some(NOW) }
    }

    async fn run(&self, script: &Script) -> Answer {
        let command = Command {
            account: facts().account,
            node: NodeId::from_random(NODE),
            process: self.link.process.clone(),
            now: self.now,
            script: script.clone(),
        };
        let value = self.link.run(&command, "test:", 0).await.unwrap();
        wire::decode(&command.script, &value).unwrap()
    }

    /// The commands that one script came to, with how often each was called.
    async fn cost(&self, script: Script, expected: impl Fn(&Answer) -> bool) -> Vec<String> {
        assert_eq!(self.server.command(&["CONFIG", "RESETSTAT"]).unwrap(), "+OK");
        let answer = self.run(&script).await;
        assert!(expected(&answer), "{answer:?}");
        let stats = self.server.command(&["INFO", "commandstats"]).unwrap();
        let named = |line: &str| {
            let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            let calls = rest.split(',').next()?;
            (!matches!(name, "config|resetstat" | "quit" | "info")).then(|| format!("{name} {calls}"))
        };
        let mut commands: Vec<_> = stats.lines().filter_map(named).collect();
        commands.sort_unstable();
        commands
    }
}

#[test]
fn a_decision_is_one_round_trip_that_reads_once_and_writes_once() {
    block_on(async {
        let meter = Meter::start().await;
        meter.run(&Script::Open(facts())).await;
        let is = |expected: Outcome| move |answer: &Answer| matches!(answer, Answer::Judged { outcome, .. } if *outcome == expected);
        let decision = ["fcall 1", "hmget 1", "hset 1"];
        assert_eq!(meter.cost(admit(None), is(Outcome::Counted)).await, decision);
        assert_eq!(meter.cost(admit(Some(lease(1))), is(Outcome::Admitted)).await, decision);

        // When a slot comes free is looked up once in a second, then remembered.
        let full = Outcome::Denied(Denial::Slots { retry_after_s: 3 });
        meter.cost(admit(Some(lease(2))), is(full)).await;
        let denial = ["fcall 1", "hget 1", "hmget 1", "hset 1"];
        assert_eq!(meter.cost(admit(Some(lease(3))), is(full)).await, denial);

        let settled = Some(Settled { balance: Credits::new(995), ledger_seq: 2 });
        let release = Script::Release { leases: vec![lease(1).id], settled };
        let done = |answer: &Answer| matches!(answer, Answer::Done { .. });
        assert_eq!(meter.cost(release.clone(), done).await, ["fcall 1", "hdel 1", "hmget 1", "hset 1"]);
        assert_eq!(meter.cost(release, done).await, ["fcall 1", "hmget 1"]);
    });
}

#[test]
fn the_time_of_redis_costs_one_command_more() {
    block_on(async {
        let meter = Meter { now: None, ..Meter::start().await };
        meter.run(&Script::Open(facts())).await;
        let counted = |answer: &Answer| matches!(answer, Answer::Judged { outcome: Outcome::Counted, .. });
        assert_eq!(meter.cost(admit(None), counted).await, ["fcall 1", "hmget 1", "hset 1", "time 1"]);
    });
}

#[test]
fn tasks_that_start_or_end_together_cost_as_much_as_one() {
    block_on(async {
        let meter = Meter::start().await;
        meter.run(&Script::Open(Facts { slots: 100, ..facts() })).await;
        let script = Script::Start { facts: facts(), leases: (0..50).map(lease).collect() };
        let taken = |answer: &Answer| matches!(answer, Answer::Started { taken: 50, .. });
        assert_eq!(meter.cost(script, taken).await, ["fcall 1", "hmget 1", "hset 1"]);
        let leases = (0..50).map(|number| lease(number).id).collect();
        let release = Script::Release { leases, settled: None };
        let done = |answer: &Answer| matches!(answer, Answer::Done { .. });
        assert_eq!(meter.cost(release, done).await, ["fcall 1", "hdel 1", "hmget 1", "hset 1"]);
    });
}
