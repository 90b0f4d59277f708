//! A server that is away, comes back, comes back empty, or cannot be used.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bromo_rules::credit::Credits;
use bromo_testbed::Redis as Server;

use super::{Installation, block_on, until};
use crate::redis::OpenError;
use crate::redis::links::Via;
use crate::{Admission, Decision, Denial, Facts, Settled};

#[test]
fn without_redis_nothing_is_admitted_and_with_it_the_node_recovers_by_itself() {
    block_on(async {
        let server = Server::start().unwrap();
        let installation = Installation::on(&server);
        server.stop().unwrap();
        let node = installation.node_unconnected(1);
        let ask = installation.ask();
        for _ in 0..3 {
            assert!(node.redis.admit(&ask).await.is_err());
            assert!(node.redis.start(&installation.start()).await.is_err());
            assert!(node.redis.held(ask.facts.account).await.is_err());
            assert!(node.redis.announce(ask.facts).await.is_err());
        }
        server.start_again().unwrap();
        node.redis.ready().await.unwrap();
        node.open(ask.facts).await;
        drop(node.enter(&ask).await);
        server.stop().unwrap();
        until("it is refused", async || node.redis.admit(&ask).await.is_err()).await;
        assert!(node.redis.admit(&ask).await.is_err());
        server.start_again().unwrap();
        until("it is admitted", async || matches!(node.redis.admit(&ask).await, Ok(Decision::Admitted(..))))
            .await;
    });
}

#[test]
fn a_frozen_server_admits_nobody_and_what_it_admits_late_is_given_back() {
    block_on(async {
        let server = Server::start().unwrap();
        let installation = Installation::on(&server);
        let node = installation.node(1).await;
        let ask = installation.ask();
        node.open(ask.facts).await;
        let pid = server.pid().unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
        let began = Instant::now();
        assert!(node.redis.admit(&ask).await.is_err());
        assert!(began.elapsed() < Duration::from_secs(5), "it waited {:?}", began.elapsed());
        rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
        until("the slot is free", async || node.redis.in_use(ask.facts.account).await == Ok(0)).await;
        let _permit = node.enter(&ask).await;
    });
}

#[test]
fn a_caller_that_leaves_while_it_asks_takes_no_slot_with_it() {
    block_on(async {
        let installation = Installation::on(Server::shared());
        let node = installation.node(1).await;
        let ask = installation.ask();
        node.open(ask.facts).await;
        for _ in 0..200 {
            let mut asking = node.redis.admit(&ask);
            let _ = futures_util::FutureExt::now_or_never(&mut asking);
            tokio::task::yield_now().await;
            drop(asking);
        }
        until("the slot is free", async || node.redis.in_use(ask.facts.account).await == Ok(0)).await;
        tokio::time::timeout(Duration::from_secs(5), node.redis.settled()).await.expect("nothing is owed");
        assert_eq!(node.redis.repairs(), 0);
    });
}

#[test]
fn a_release_is_retried_until_a_restarted_server_has_it() {
    block_on(async {
        let server = Server::start_durable().unwrap();
        let installation = Installation::on(&server);
        let node = installation.node(1).await;
        let ask = installation.ask();
        node.open(ask.facts).await;
        let permit = node.enter(&ask).await;
        server.kill().unwrap();
        let settled = Settled { balance: Credits::new(995), ledger_seq: 2 };
        permit.release(Some(settled)).await; // Nobody waits for Redis to come back.
        *installation.facts.lock().unwrap() =
            Facts { balance: Credits::new(995), ledger_seq: 2, ..ask.facts };
        server.start_again().unwrap();
        until("the slot is free", async || node.redis.in_use(ask.facts.account).await == Ok(0)).await;
        tokio::time::timeout(Duration::from_secs(5), node.redis.settled()).await.expect("nothing is owed");
        let Decision::Admitted(standing, _permit) = node.redis.admit(&ask).await.unwrap() else { panic!() };
        assert_eq!(standing.balance, Credits::new(995));
    });
}

/// An empty server, and one that has its data but is another process: both are vouched for by nobody.
#[test]
fn after_a_restart_an_account_opens_once_every_living_node_has_registered() {
    for durable in [false, true] {
        block_on(async {
            let server = if durable { Server::start_durable() } else { Server::start() }.unwrap();
            let installation = Installation::on(&server);
            installation.slots(3);
            let nodes = [installation.node(1).await, installation.node(2).await];
            let ask = installation.ask();
            nodes[0].open(ask.facts).await;
            let permits = [nodes[0].enter(&ask).await, nodes[1].enter(&ask).await];
            server.kill().unwrap();
            server.start_again().unwrap();
            until("it is open", async || nodes[0].redis.in_use(ask.facts.account).await == Ok(2)).await;
            assert_eq!(nodes[0].redis.held(ask.facts.account).await, Ok(Credits::new(10)));
            let other = &nodes[1].redis.shared;
            until("the other has renewed", async || other.node().may_admit_any(other.boot.now())).await;
            let third = nodes[1].enter(&ask).await;
            assert!(matches!(nodes[0].refused(&ask).await, Denial::Slots { .. }));
            assert!(permits.iter().all(crate::Permit::is_live));
            for permit in permits.into_iter().chain([third]) {
                permit.release(None).await;
            }
            assert_eq!(nodes[0].redis.in_use(ask.facts.account).await, Ok(0));
            assert_eq!(nodes[0].redis.repairs() + nodes[1].redis.repairs(), 0);
        });
    }
}

#[test]
fn a_node_that_does_not_register_holds_an_account_up_for_ten_seconds_and_no_longer() {
    block_on(async {
        let server = Server::start().unwrap();
        let installation = Installation::on(&server);
        let (node, mute) = (installation.node(1).await, installation.node(2).await);
        let ask = installation.ask();
        node.open(ask.facts).await;
        std::mem::forget(mute.enter(&ask).await);
        drop(mute.redis); // Dead, though the store does not know yet.
        server.restart_empty().unwrap();
        until("it is registered", async || {
            node.redis.admit(&ask).await.is_err_and(|error| error.reason.contains("opens within"))
        })
        .await;
        installation.pass(&[&node], 9_000).await;
        assert!(node.redis.admit(&installation.ask()).await.is_err());
        installation.pass(&[&node], 1_000).await;
        let _permit = node.enter(&installation.ask()).await;
    });
}

#[test]
fn an_account_opens_without_a_node_that_the_store_has_buried() {
    block_on(async {
        let server = Server::start().unwrap();
        let installation = Installation::on(&server);
        let (node, buried) = (installation.node(1).await, installation.node(2).await);
        let ask = installation.ask();
        node.open(ask.facts).await;
        installation.bury(buried.id);
        drop(buried.redis);
        server.restart_empty().unwrap();
        until("it is admitted", async || matches!(node.redis.admit(&ask).await, Ok(Decision::Admitted(..))))
            .await;
    });
}

#[test]
fn after_a_loss_the_facts_come_from_the_store_not_from_an_ask() {
    block_on(async {
        let server = Server::start().unwrap();
        let installation = Installation::on(&server);
        installation.slots(5);
        let node = installation.node(1).await;
        let old = installation.ask();
        node.open(old.facts).await;
        *installation.facts.lock().unwrap() = Facts { version: 2, slots: 1, ..old.facts };
        node.redis.announce(installation.ask().facts).await.unwrap();
        server.restart_empty().unwrap();
        until("the old ask is stale", async || matches!(node.redis.admit(&old).await, Ok(Decision::Stale)))
            .await;
    });
}

#[test]
fn a_change_is_announced_to_an_account_that_was_lost() {
    block_on(async {
        let server = Server::start().unwrap();
        let installation = Installation::on(&server);
        let node = installation.node(1).await;
        let old = installation.ask();
        node.open(old.facts).await;
        server.restart_empty().unwrap();
        let upgraded = Facts { version: 2, slots: 4, ..old.facts };
        until("it is announced", async || node.redis.announce(upgraded).await.is_ok()).await;
        assert!(matches!(node.redis.admit(&old).await, Ok(Decision::Stale)));
    });
}

/// Of the one account that the server has.
fn forget_the_first_lease(server: &Server) {
    let keys = server.command(&["KEYS", "test:*"]).unwrap();
    let forget = "local names = redis.call('HKEYS', KEYS[1]) table.sort(names) \
                  for _, name in ipairs(names) do \
                  if string.sub(name, 1, 1) == 'l' then return redis.call('HDEL', KEYS[1], name) end end";
    assert_eq!(server.command(&["EVAL", forget, "1", keys.lines().last().unwrap()]).unwrap(), ":1");
}

#[test]
fn a_lease_that_redis_no_longer_has_is_lost_alone() {
    block_on(async {
        let server = Server::start().unwrap();
        let installation = Installation::on(&server);
        installation.slots(2);
        let node = installation.node(1).await;
        let ask = installation.ask();
        node.open(ask.facts).await;
        let (gone, kept) = (node.enter(&ask).await, node.enter(&ask).await);
        forget_the_first_lease(&server);
        let lost = gone.lost();
        installation.pass(&[&node], 3_000).await;
        tokio::time::timeout(Duration::from_secs(5), lost).await.expect("it is told");
        assert!((!gone.is_live(), kept.is_live()) == (true, true));
    });
}

#[test]
fn counts_that_do_not_agree_with_the_leases_are_repaired_and_counted() {
    block_on(async {
        let server = Server::start().unwrap();
        let installation = Installation::on(&server);
        let node = installation.node(1).await;
        let ask = installation.ask();
        node.open(ask.facts).await;
        std::mem::forget(node.enter(&ask).await);
        forget_the_first_lease(&server);
        until("it is repaired", async || node.redis.repairs() == 1).await;
        let _permit = node.enter(&ask).await;
    });
}

#[test]
fn a_server_that_would_forget_leases_is_refused_by_name() {
    block_on(async {
        let server = Server::start_with(&["--maxmemory-policy", "allkeys-lru"]).unwrap();
        let installation = Installation::on(&server);
        let node = installation.node_unconnected(1);
        let refused = node.redis.ready().await.unwrap_err();
        assert_eq!(refused, OpenError::Policy { policy: "allkeys-lru".to_owned() });
        let error = node.redis.admit(&installation.ask()).await.unwrap_err();
        assert!(error.reason.contains("noeviction"), "{error}");
        server.command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).unwrap();
        until("it is taken", async || node.redis.open(installation.ask().facts).await.is_ok()).await;
    });
}

#[test]
fn a_threads_link_that_is_gone_is_replaced_though_nobody_asks_by_it() {
    block_on(async {
        let server = Server::start().unwrap();
        let installation = Installation::on(&server);
        let node = installation.node(1).await;
        let shard = node.redis.shared.shards.all().remove(0);
        let links = &shard.links;
        let own = async || links.here().filter(|(_, via)| *via == Via::this_thread()).map(|(link, _)| link);
        until("the thread has a link", async || own().await.is_some()).await;
        let first = Arc::downgrade(&own().await.unwrap());
        // It was made last, but for that of this command.
        let clients = server.command(&["CLIENT", "LIST", "TYPE", "normal"]).unwrap();
        let ids = clients.lines().filter(|line| !line.contains("cmd=client|list"));
        let ids = ids.filter_map(|line| line.split_once("id=")?.1.split(' ').next()?.parse::<u64>().ok());
        let last = ids.max().unwrap().to_string();
        server.command(&["CLIENT", "KILL", "ID", &last]).unwrap();
        until("it is gone", async || first.upgrade().is_none()).await;
        until("the thread has another", async || own().await.is_some()).await;
        node.open(installation.ask().facts).await;
        drop(node.enter(&installation.ask()).await);
    });
}

#[test]
fn scripts_that_the_server_forgot_are_given_to_it_again() {
    block_on(async {
        let server = Server::start().unwrap();
        let installation = Installation::on(&server);
        let node = installation.node(1).await;
        node.open(installation.ask().facts).await;
        server.command(&["FUNCTION", "FLUSH"]).unwrap();
        let _permit = node.enter(&installation.ask()).await;
    });
}

#[test]
fn a_node_that_could_not_renew_for_five_seconds_admits_nothing_and_after_seven_it_has_lost_all() {
    block_on(async {
        let server = Server::start().unwrap();
        let installation = Installation::on(&server);
        installation.slots(9);
        let node = installation.node(1).await;
        let ask = installation.ask();
        node.open(ask.facts).await;
        let permit = node.enter(&ask).await;
        let lost = permit.lost();
        server.kill().unwrap();
        node.boot.fetch_add(5_000, Ordering::SeqCst);
        assert!(permit.is_live());
        assert!(node.redis.admit(&ask).await.is_err());
        node.boot.fetch_add(2_000, Ordering::SeqCst);
        assert!(!permit.is_live());
        tokio::time::timeout(Duration::from_secs(5), lost).await.expect("it is told");
    });
}

#[test]
fn with_replicas_to_wait_for_nothing_counts_that_they_do_not_have() {
    block_on(async {
        let primary = Server::start().unwrap();
        let port = primary.port().to_string();
        let replica = Server::start_with(&["--replicaof", "127.0.0.1", &port]).unwrap();
        let mut installation = Installation::on(&primary);
        installation.wait_replicas = 1;
        let node = installation.node(1).await;
        let ask = installation.ask();
        until("the replica has caught up", async || node.redis.open(ask.facts).await.is_ok()).await;
        // A replica that has just come up may yet take longer than is waited for it.
        until("it is admitted", async || matches!(node.redis.admit(&ask).await, Ok(Decision::Admitted(..))))
            .await;
        replica.kill().unwrap();
        assert!(node.redis.admit(&ask).await.is_err());
        assert!(node.redis.announce(ask.facts).await.is_err());
        replica.start_again().unwrap();
        // What was taken without the replica was given back.
        until("it is admitted", async || matches!(node.redis.admit(&ask).await, Ok(Decision::Admitted(..))))
            .await;
    });
}
