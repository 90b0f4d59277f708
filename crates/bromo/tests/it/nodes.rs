//! docs/scale-out.md: several nodes over PostgreSQL and Redis behave as one.

use http::{HeaderMap, Method};
use serde_json::json;

use crate::support::{Cluster, Upstream, call, found, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_is_one_slot_over_all_nodes() {
    let upstream = Upstream::holding().await;
    let cluster = Cluster::before(&upstream, 2, "").await;
    let one = cluster.customer("free").await;
    let other = cluster.at(1, &one);
    let limit = one.get("credits").await.slots().0;
    let mut held = Vec::new();
    for number in 0..limit {
        held.push(if number % 2 == 0 { one.begin("x").await } else { other.begin("x").await });
        until("it runs", || i64::from(upstream.running()) == number + 1).await;
    }
    for customer in [&one, &other] {
        let refused = customer.ask("x").await;
        assert_eq!((refused.status, refused.slots()), (429, (limit, limit, 0)));
    }
    drop(held.pop());
    found("a free slot at either node", async || (other.get("credits").await.slots().2 == 1).then_some(()))
        .await;
    upstream.release();
    assert_eq!(other.ask("x").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_one_after_the_other_over_alternating_nodes_are_never_refused_on_one_slot() {
    let upstream = Upstream::start().await;
    let one_slot = "[[plans]]\nname = \"one\"\nslots = 1\ncredits = 1000000\n";
    let cluster = Cluster::before(&upstream, 2, one_slot).await;
    let one = cluster.customer("one").await;
    let other = cluster.at(1, &one);
    for _ in 0..200 {
        for customer in [&one, &other] {
            let reply = customer.ask("x").await;
            assert_eq!((reply.status, reply.slots()), (200, (1, 1, 0)), "{reply:?}");
        }
    }
    assert_eq!(upstream.most(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_callers_at_all_nodes_never_exceed_the_limit_and_pay_once() {
    let upstream = Upstream::start().await;
    let cluster = Cluster::before(&upstream, 3, "").await;
    let customer = cluster.customer("free").await;
    let limit = customer.get("credits").await.slots().0;
    let callers = (0..24).map(|number| {
        let customer = cluster.at(number % 3, &customer);
        tokio::spawn(async move {
            let mut answered = 0_i64;
            for _ in 0..10 {
                answered += i64::from(customer.ask("x").await.status == 200);
            }
            answered
        })
    });
    let mut answered = 0;
    for caller in callers.collect::<Vec<_>>() {
        answered += caller.await.unwrap();
    }
    assert!(i64::from(upstream.most()) <= limit, "{} at once", upstream.most());
    let credits = cluster.at(1, &customer).get("credits").await;
    assert_eq!(credits.body["remaining"], json!(500 - 7 * answered));
    assert_eq!(cluster.node(0).engine.admission().repairs(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_at_one_node_is_in_force_at_another_for_the_next_request() {
    let upstream = Upstream::start().await;
    let cluster = Cluster::before(&upstream, 2, "").await;
    let one = cluster.customer("free").await;
    let other = cluster.at(1, &one);
    let before = other.get("credits").await.slots().0;
    let engine = &cluster.node(0).engine;
    engine.set_plan(one.account, "hobby").await.unwrap();
    let upgraded = other.ask("x").await;
    assert!(upgraded.slots().0 > before, "{upgraded:?}");
    engine.grant(one.account, bromo_rules::credit::Credits::new(1000)).await.unwrap();
    assert_eq!(other.get("credits").await.body["remaining"], json!(250_000 + 1000 - 7));
    let keys = engine.store().list_keys(one.account).await.unwrap();
    engine.revoke_key(keys[0].id).await.unwrap();
    assert_eq!((other.ask("x").await.status, one.ask("x").await.status), (401, 401));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_runs_at_whichever_node_has_room_and_is_read_and_cancelled_at_any() {
    let upstream = Upstream::holding().await;
    let cluster = Cluster::before(&upstream, 2, "[tasks]\nrunning_max = 1\n").await;
    let one = cluster.customer("hobby").await;
    let other = cluster.at(1, &one);
    let tasks = [one.task("x", json!({})).await, one.task("x", json!({})).await];
    until("both run, one at each node", || upstream.running() == 2).await;
    let third = one.task("x", json!({})).await;
    // Of the two, one runs at the node that is asked to cancel, the other does not.
    let cut = other.delete(&format!("async/task/{}", tasks[0])).await;
    assert_eq!((cut.status, &cut.body["task"]["status"]), (200, &json!("FAILED")), "{cut:?}");
    let cut = other.delete(&format!("async/task/{}", tasks[1])).await;
    assert_eq!((cut.status, &cut.body["task"]["status"]), (200, &json!("FAILED")), "{cut:?}");
    upstream.release();
    other.completes(&[third]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_on_one_node_is_told_of_lines_of_another() {
    let upstream = Upstream::start().await;
    let cluster = Cluster::before(&upstream, 2, "").await;
    let one = cluster.customer("free").await;
    let mut watcher = cluster.node(1).engine.log().feed().watch(one.account).unwrap();
    one.ask("x").await;
    tokio::time::timeout(crate::support::DEADLINE, watcher.changed()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_counts_every_call_is_a_503_without_limits_until_they_are_back() {
    let upstream = Upstream::start().await;
    let cluster = Cluster::before(&upstream, 1, "").await;
    let customer = cluster.customer("free").await;
    assert_eq!(customer.ask("x").await.status, 200);
    cluster.redis.stop().unwrap();
    let refused = customer.ask("x").await;
    assert_eq!((refused.status, refused.code()), (503, "SERVICE_UNAVAILABLE"));
    assert!(refused.headers.contains_key("retry-after"));
    assert!(!refused.headers.contains_key("x-concurrent-limit"), "{refused:?}");
    assert_eq!(
        call(cluster.admin(0), Method::GET, "/readyz", HeaderMap::new(), String::new()).await.status,
        503
    );
    // It comes back empty: the only node tells what it runs, which is nothing, and the account is open again.
    cluster.redis.start_again().unwrap();
    found("an answer", async || (customer.ask("x").await.status == 200).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_another_seal_key_is_refused() {
    let upstream = Upstream::start().await;
    let cluster = Cluster::before(&upstream, 1, "").await;
    let other = "[webhooks]\nseal_key_file = \"/nowhere/seal-key\"\n";
    assert!(cluster.try_start(other).is_err());
    let folder = tempfile::tempdir().unwrap();
    let other = format!("[webhooks]\nseal_key_file = \"{}/seal-key\"\n", folder.path().display());
    let refused = format!("{:#}", cluster.try_start(&other).err().unwrap());
    assert!(refused.contains("webhooks.seal_key_file"), "{refused}");
}
