//! Against a real server.

mod cluster;
mod conformance;
mod contract;
mod cost;
mod model;
mod nodes;
mod outage;
mod simulation;
mod tls;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bromo_rules::credit::Credits;
use bromo_rules::id::{AccountId, KeyId, NodeId};
use bromo_rules::time::{ManualClock, Timestamp};
use bromo_rules::window::Limit;

use super::clock::BootClock;
use super::{Redis, Settings, Time};
use crate::{Admission, Ask, Decision, Denial, Facts, Permit, RouteIndex, Start, Want};

pub(super) const NOW: Timestamp = Timestamp::from_millis(1_760_000_000_000);

pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A prefix that no other test has.
pub(super) fn prefix() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("test:{}:", COUNT.fetch_add(1, Ordering::SeqCst))
}

/// Nodes of one installation: a store that is a list, and clocks in hand.
pub(super) struct Installation {
    url: String,
    prefix: String,
    pub(super) clock: Arc<ManualClock>,
    living: Arc<Mutex<Vec<NodeId>>>,
    pub(super) facts: Arc<Mutex<Facts>>,
    pub(super) wait_replicas: u32,
}

pub(super) struct TestNode {
    pub(super) redis: Arc<Redis>,
    pub(super) boot: Arc<AtomicU64>,
    pub(super) id: NodeId,
}

impl Installation {
    pub(super) fn on(server: &bromo_testbed::Redis) -> Self {
        Self::at(server.url())
    }

    pub(super) fn at(url: String) -> Self {
        let account = AccountId::from_random(7);
        let facts = Facts { account, version: 1, slots: 1, balance: Credits::new(1_000), ledger_seq: 1 };
        Self {
            url,
            prefix: prefix(),
            clock: Arc::new(ManualClock::at(NOW)),
            living: Arc::default(),
            facts: Arc::new(Mutex::new(facts)),
            wait_replicas: 0,
        }
    }

    /// A node that the store knows, connected.
    pub(super) async fn node(&self, id: u64) -> TestNode {
        let node = self.node_unconnected(id);
        node.redis.ready().await.unwrap();
        node
    }

    pub(super) fn node_unconnected(&self, id: u64) -> TestNode {
        let id = NodeId::from_random(id);
        self.living.lock().unwrap().push(id);
        let (living, facts) = (Arc::clone(&self.living), Arc::clone(&self.facts));
        let mut settings = Settings::new(
            &*self.url,
            id,
            Arc::new(move || {
                let living = living.lock().unwrap().clone();
                Box::pin(async move { Ok(living) })
            }),
            Arc::new(move |account| {
                let facts = *facts.lock().unwrap();
                Box::pin(async move { Ok(Some(Facts { account, ..facts })) })
            }),
        );
        settings.prefix.clone_from(&self.prefix);
        settings.time = Time::Given(Arc::clone(&self.clock));
        settings.timeout = Duration::from_secs(2);
        settings.wait_replicas = self.wait_replicas;
        let boot = Arc::new(AtomicU64::new(0));
        let redis = Redis::open_on(settings, BootClock::Ahead(Arc::clone(&boot))).unwrap();
        TestNode { redis, boot, id }
    }

    /// The store knows the node no more.
    pub(super) fn bury(&self, id: NodeId) {
        self.living.lock().unwrap().retain(|living| *living != id);
    }

    pub(super) fn ask(&self) -> Ask {
        let now = bromo_rules::time::Clock::now(&*self.clock);
        Ask {
            facts: *self.facts.lock().unwrap(),
            key: KeyId::from_random(8),
            route: RouteIndex::new(0),
            rate: Limit { requests: 1_000_000 },
            now,
            want: Some(Want { hold: Credits::new(5), usually_ends: now }),
        }
    }

    pub(super) fn start(&self) -> Start {
        let ask = self.ask();
        Start { facts: ask.facts, now: ask.now, wants: ask.want.into_iter().collect() }
    }

    /// The account's slots.
    pub(super) fn slots(&self, slots: u32) -> &Self {
        self.facts.lock().unwrap().slots = slots;
        self
    }

    /// Time passes for Redis and these nodes, which then do what is due.
    pub(super) async fn pass(&self, nodes: &[&TestNode], ms: u64) {
        self.clock.advance(Duration::from_millis(ms));
        for node in nodes {
            node.boot.fetch_add(ms, Ordering::SeqCst);
        }
        tokio::time::sleep(Duration::from_millis(2 * super::TICK_MS)).await;
        for node in nodes {
            let shared = &node.redis.shared;
            until("the node has renewed", async || shared.node().may_admit_any(shared.boot.now())).await;
        }
    }
}

impl TestNode {
    pub(super) async fn open(&self, facts: Facts) {
        self.redis.open(facts).await.unwrap();
    }

    pub(super) async fn enter(&self, ask: &Ask) -> Permit {
        match self.redis.admit(ask).await.unwrap() {
            Decision::Admitted(_, permit) => permit,
            other => panic!("not admitted: {other:?}"),
        }
    }

    pub(super) async fn refused(&self, ask: &Ask) -> Denial {
        match self.redis.admit(ask).await.unwrap() {
            Decision::Denied(_, denial) => denial,
            other => panic!("not denied: {other:?}"),
        }
    }
}

/// Waits for something that another thread does.
pub(super) async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds().await {
        assert!(Instant::now() < deadline, "not within 10 s: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
