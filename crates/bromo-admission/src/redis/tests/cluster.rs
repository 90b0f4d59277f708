//! A Redis Cluster: each server has some of the accounts, and they move between servers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bromo_rules::id::AccountId;
use bromo_testbed::{Redis as Server, RedisCluster};

use super::{Installation, TestNode, block_on, until};
use crate::redis::slots::slot;
use crate::redis::wire;
use crate::{Admission, Ask, Bus, Decision, Denial, Facts, Message, contract};

macro_rules! suite {
    ($($name:ident)*) => { $(
        #[test]
        fn $name() {
            block_on(async {
                let installation = Installation::at(shared().url());
                let node = installation.node(1).await;
                contract::$name(&*node.redis).await;
            });
        }
    )* };
}

contract::each!(suite);

/// For tests that break nothing.
fn shared() -> &'static RedisCluster {
    static SHARED: std::sync::OnceLock<RedisCluster> = std::sync::OnceLock::new();
    SHARED.get_or_init(|| RedisCluster::start(3, false).unwrap())
}

/// The ask of another account.
fn of(ask: &Ask, number: u64) -> Ask {
    Ask { facts: Facts { account: AccountId::from_random(number), ..ask.facts }, ..*ask }
}

/// Which of so many primaries has the account at the start.
fn place(account: AccountId, primaries: usize) -> usize {
    (0..primaries).rfind(|place| usize::from(slot(account)) >= place * 16_384 / primaries).unwrap()
}

/// An account at this primary.
fn at(ask: &Ask, primary: usize, primaries: usize) -> Ask {
    (0..).map(|number| of(ask, number)).find(|ask| place(ask.facts.account, primaries) == primary).unwrap()
}

async fn is_admitted(node: &TestNode, ask: &Ask) -> bool {
    matches!(node.redis.admit(ask).await, Ok(Decision::Admitted(..)))
}

#[test]
fn each_server_has_the_accounts_of_its_slots_and_all_nodes_agree_on_them() {
    block_on(async {
        let cluster = RedisCluster::start(3, false).unwrap();
        let installation = Installation::at(cluster.url());
        let (one, other) = (installation.node(1).await, installation.node(2).await);
        let asks: Vec<Ask> = (0..60).map(|number| of(&installation.ask(), number)).collect();
        for ask in &asks {
            one.open(ask.facts).await;
            let permit = one.enter(ask).await;
            assert!(matches!(other.refused(ask).await, Denial::Slots { .. }));
            permit.release(None).await;
            other.enter(ask).await.release(None).await;
        }
        for (number, server) in cluster.servers().iter().enumerate() {
            let keys = asks.iter().filter(|ask| place(ask.facts.account, 3) == number).count();
            assert_eq!(server.command(&["DBSIZE"]).unwrap(), format!(":{keys}"));
            assert!(keys > 0);
        }
    });
}

#[test]
fn where_one_server_is_away_its_accounts_are_refused_and_all_others_served() {
    block_on(async {
        let cluster = RedisCluster::start(3, false).unwrap();
        let installation = Installation::at(cluster.url());
        installation.slots(2);
        let node = installation.node(1).await;
        let ask = installation.ask();
        let (here, away) = (at(&ask, 0, 3), at(&ask, 1, 3));
        for ask in [&here, &away] {
            node.open(ask.facts).await;
        }
        let kept = node.enter(&here).await;
        let cut = node.enter(&away).await;
        let lost = cut.lost();
        cluster.servers()[1].kill().unwrap();
        until("it is refused", async || node.redis.admit(&away).await.is_err()).await;
        node.redis.in_reach().unwrap();
        // Its leases are not renewed, those elsewhere are; and what is elsewhere goes on.
        for _ in 0..3 {
            installation.pass(&[&node], 2_000).await;
            node.enter(&here).await.release(None).await;
        }
        installation.pass(&[&node], 2_000).await;
        tokio::time::timeout(std::time::Duration::from_secs(5), lost).await.expect("it is told");
        assert!(!cut.is_live() && kept.is_live());
        kept.release(None).await;
        node.enter(&here).await.release(None).await;
        assert!(node.redis.admit(&away).await.is_err());
        cluster.servers()[1].start_again().unwrap();
        until("it is admitted again", async || is_admitted(&node, &away).await).await;
    });
}

#[test]
fn an_account_that_moves_to_another_server_takes_its_running_calls_along() {
    block_on(async {
        let cluster = RedisCluster::start(2, false).unwrap();
        let installation = Installation::at(cluster.url());
        let nodes = [installation.node(1).await, installation.node(2).await];
        let ask = at(&installation.ask(), 0, 2);
        let account = ask.facts.account;
        nodes[0].open(ask.facts).await;
        let servers = cluster.servers();
        for (from, to) in [(0, 1), (1, 0)] {
            let permit = nodes[from].enter(&ask).await;
            cluster.move_slot(slot(account), &servers[from], &servers[to]).unwrap();
            for node in &nodes {
                until("it is judged", async || node.redis.admit(&ask).await.is_ok()).await;
                assert!(matches!(node.refused(&ask).await, Denial::Slots { .. }));
            }
            installation.pass(&[&nodes[0], &nodes[1]], 5_000).await;
            installation.pass(&[&nodes[0], &nodes[1]], 5_000).await;
            assert!(permit.is_live());
            permit.release(None).await;
            nodes[to].enter(&ask).await.release(None).await;
            assert_eq!(servers[from].command(&["DBSIZE"]).unwrap(), ":0");
        }
    });
}

#[test]
fn while_an_account_is_between_two_servers_it_is_refused_and_nothing_of_it_is_lost() {
    block_on(async {
        let cluster = RedisCluster::start(2, false).unwrap();
        let installation = Installation::at(cluster.url());
        let node = installation.node(1).await;
        let ask = at(&installation.ask(), 0, 2);
        node.open(ask.facts).await;
        let permit = node.enter(&ask).await;
        let [from, to] = cluster.servers() else { panic!("two servers") };
        let moving = slot(ask.facts.account).to_string();
        let id = |server: &Server| {
            server.command(&["CLUSTER", "MYID"]).unwrap().lines().last().unwrap().to_owned()
        };
        to.command(&["CLUSTER", "SETSLOT", &moving, "IMPORTING", &id(from)]).unwrap();
        from.command(&["CLUSTER", "SETSLOT", &moving, "MIGRATING", &id(to)]).unwrap();
        let key = wire::key(&installation.prefix, ask.facts.account);
        let moved = from.command(&["MIGRATE", "127.0.0.1", &to.port().to_string(), &key, "0", "5000"]);
        assert_eq!(moved.unwrap(), "+OK");
        let refused = node.redis.admit(&ask).await.unwrap_err();
        assert!(refused.reason.contains("moves"), "{refused:?}");
        assert!(permit.is_live());
        for server in [to, from] {
            server.command(&["CLUSTER", "SETSLOT", &moving, "NODE", &id(to)]).unwrap();
        }
        until("it is judged", async || node.redis.admit(&ask).await.is_ok()).await;
        assert!(matches!(node.refused(&ask).await, Denial::Slots { .. }));
        permit.release(None).await;
        node.enter(&ask).await.release(None).await;
    });
}

#[test]
fn a_replica_that_takes_over_is_told_what_runs_before_it_admits_anything() {
    block_on(async {
        let cluster = RedisCluster::start(3, true).unwrap();
        let installation = Installation::at(cluster.url());
        let nodes = [installation.node(1).await, installation.node(2).await];
        let ask = at(&installation.ask(), 0, 3);
        nodes[0].open(ask.facts).await;
        let permit = nodes[1].enter(&ask).await;
        // It is the server of the settings, too.
        cluster.servers()[0].kill().unwrap();
        until("it is judged", async || nodes[0].redis.admit(&ask).await.is_ok()).await;
        assert!(matches!(nodes[0].refused(&ask).await, Denial::Slots { .. }));
        assert!(permit.is_live());
        permit.release(None).await;
        nodes[0].enter(&ask).await.release(None).await;
        // The old primary comes back as a replica, and nobody asks it.
        cluster.servers()[0].start_again().unwrap();
        for node in &nodes {
            until("it is admitted", async || is_admitted(node, &ask).await).await;
        }
    });
}

#[test]
fn any_server_of_a_cluster_may_be_named_in_the_settings_also_a_replica() {
    block_on(async {
        let cluster = RedisCluster::start(3, true).unwrap();
        let installation = Installation::at(cluster.servers()[3].url());
        let node = installation.node(1).await;
        let ask = at(&installation.ask(), 0, 3);
        node.open(ask.facts).await;
        node.enter(&ask).await.release(None).await;
    });
}

#[test]
fn what_a_node_tells_at_one_server_is_heard_at_another() {
    block_on(async {
        let installation = Installation::at(shared().url());
        let nodes = [installation.node(1).await, installation.node(2).await, installation.node(3).await];
        let heard = nodes.each_ref().map(|node| {
            let count = Arc::new(AtomicU32::new(0));
            let counting = Arc::clone(&count);
            node.redis.hear(Arc::new(move |_| _ = counting.fetch_add(1, Ordering::SeqCst)));
            count
        });
        until("all others hear", async || {
            nodes[0].redis.tell(Message::Deliveries);
            heard[1..].iter().all(|count| count.load(Ordering::SeqCst) > 0)
        })
        .await;
    });
}
