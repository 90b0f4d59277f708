//! Several nodes: what one does is true for all, and what one leaves behind comes free.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bromo_rules::credit::Credits;
use bromo_rules::id::AccountId;
use bromo_testbed::Redis as Server;

use super::{Installation, block_on, until};
use crate::redis::TICK_MS;
use crate::{Admission, Bus, Decision, Denial, Facts, Message, Started};

#[test]
fn a_slot_of_one_node_is_taken_for_the_other() {
    block_on(async {
        let installation = Installation::on(Server::shared());
        let (one, other) = (installation.node(1).await, installation.node(2).await);
        let ask = installation.ask();
        one.open(ask.facts).await;
        let permit = one.enter(&ask).await;
        assert!(matches!(other.refused(&ask).await, Denial::Slots { .. }));
        permit.release(None).await;
        let _permit = other.enter(&ask).await;
    });
}

#[test]
fn a_change_that_one_node_announced_is_in_force_on_the_other() {
    block_on(async {
        let installation = Installation::on(Server::shared());
        let (one, other) = (installation.node(1).await, installation.node(2).await);
        let ask = installation.ask();
        one.open(ask.facts).await;
        one.redis.announce(Facts { version: 2, slots: 2, ..ask.facts }).await.unwrap();
        assert!(matches!(other.redis.admit(&ask).await.unwrap(), Decision::Stale));
    });
}

#[test]
fn a_task_denied_on_one_node_is_called_out_there_when_another_frees_the_slot() {
    block_on(async {
        let installation = Installation::on(Server::shared());
        let (one, other) = (installation.node(1).await, installation.node(2).await);
        let called = [Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0))];
        for (node, count) in [&one, &other].into_iter().zip(called.clone()) {
            node.redis.wake_with(Arc::new(move |_| _ = count.fetch_add(1, Ordering::SeqCst)));
        }
        let ask = installation.ask();
        one.open(ask.facts).await;
        let permit = one.enter(&ask).await;
        // The subscription comes up beside the connection.
        hears(&one, &other).await;
        let started = other.redis.start(&installation.start()).await.unwrap();
        assert!(matches!(started, Started::Judged { denial: Some(Denial::Slots { .. }), .. }));
        permit.release(None).await;
        until("the other is called out", async || called[1].load(Ordering::SeqCst) == 1).await;
        assert_eq!(called[0].load(Ordering::SeqCst), 1);
    });
}

/// Waits until what one node tells reaches the other.
async fn hears(one: &super::TestNode, other: &super::TestNode) {
    let heard = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&heard);
    other.redis.hear(Arc::new(move |_| _ = count.fetch_add(1, Ordering::SeqCst)));
    until("the other hears", async || {
        one.redis.tell(Message::Deliveries);
        heard.load(Ordering::SeqCst) > 0
    })
    .await;
}

#[test]
fn what_a_node_tells_reaches_the_others_and_not_itself() {
    block_on(async {
        let installation = Installation::on(Server::shared());
        let nodes = [installation.node(1).await, installation.node(2).await];
        let heard: [Arc<std::sync::Mutex<Vec<Message>>>; 2] = Default::default();
        for (node, heard) in nodes.iter().zip(heard.clone()) {
            node.redis.hear(Arc::new(move |message| heard.lock().unwrap().push(message)));
        }
        let account = AccountId::from_random(9);
        let messages =
            [Message::Tasks(account), Message::Lines(account), Message::Cancel(-3), Message::Deliveries];
        until("all came", async || {
            messages.iter().for_each(|message| nodes[0].redis.tell(*message));
            messages.iter().all(|message| heard[1].lock().unwrap().contains(message))
        })
        .await;
        assert_eq!(heard[0].lock().unwrap().len(), 0);
    });
}

#[test]
fn the_slots_of_a_killed_node_are_free_after_its_leases_and_its_waiting_task_is_called_out() {
    block_on(async {
        let installation = Installation::on(Server::shared());
        let (one, killed) = (installation.node(1).await, installation.node(2).await);
        let called = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&called);
        one.redis.wake_with(Arc::new(move |_| _ = count.fetch_add(1, Ordering::SeqCst)));
        let ask = installation.ask();
        one.open(ask.facts).await;
        let permit = killed.enter(&ask).await;
        std::mem::forget(permit);
        drop(killed.redis); // Its thread ends: nothing renews, nothing is given back.
        let start = installation.start();
        let denied = one.redis.start(&start).await.unwrap();
        assert!(matches!(denied, Started::Judged { denial: Some(Denial::Slots { .. }), .. }));
        installation.clock.advance(Duration::from_millis(9_999));
        let ask = installation.ask();
        assert!(matches!(one.refused(&ask).await, Denial::Slots { .. }));
        assert_eq!(called.load(Ordering::SeqCst), 0);
        installation.clock.advance(Duration::from_millis(1));
        one.boot.fetch_add(10_000, Ordering::SeqCst);
        until("the task is called out", async || called.load(Ordering::SeqCst) == 1).await;
        assert_eq!(one.redis.held(ask.facts.account).await.unwrap(), Credits::ZERO);
        let _permit = one.enter(&installation.ask()).await;
    });
}

#[test]
fn a_node_that_renews_keeps_its_slot_for_as_long_as_the_call_runs() {
    block_on(async {
        let installation = Installation::on(Server::shared());
        let node = installation.node(1).await;
        node.open(installation.ask().facts).await;
        let permit = node.enter(&installation.ask()).await;
        for _ in 0..20 {
            installation.pass(&[&node], 3_000).await;
            assert!(permit.is_live());
            assert!(matches!(node.refused(&installation.ask()).await, Denial::Slots { .. }));
        }
    });
}

#[test]
fn a_node_that_was_frozen_for_longer_than_its_lease_has_lost_it_and_renews_nothing() {
    block_on(async {
        let installation = Installation::on(Server::shared());
        let (frozen, other) = (installation.node(1).await, installation.node(2).await);
        frozen.open(installation.ask().facts).await;
        let permit = frozen.enter(&installation.ask()).await;
        let lost = permit.lost();
        assert!(permit.is_live());
        installation.pass(&[&other], 11_000).await;
        let running = other.enter(&installation.ask()).await;
        frozen.boot.fetch_add(11_000, Ordering::SeqCst); // It wakes.
        assert!(!permit.is_live());
        tokio::time::timeout(Duration::from_secs(5), lost).await.expect("it is told");
        // It has renewed since, and nothing came back.
        tokio::time::sleep(Duration::from_millis(3 * TICK_MS)).await;
        assert_eq!(other.redis.in_use(installation.ask().facts.account).await, Ok(1));
        permit.release(None).await;
        assert_eq!(other.redis.in_use(installation.ask().facts.account).await, Ok(1));
        running.release(None).await;
        let _permit = frozen.enter(&installation.ask()).await;
    });
}
