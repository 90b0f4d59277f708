//! Nodes that die, and those that only seem to.

use std::time::Duration;

use bromo_rules::id::NodeId;
use bromo_testbed::Postgres;

use super::{account, beside, number, open, settings, until};
use crate::contract::charge;
use crate::postgres::{PostgresStore, open_postgres};
use crate::{Accounts, Ledger, StoreError};

const NODES: &str = "SELECT count(*) FROM nodes";

/// A node that takes others for dead soon.
async fn node(url: String, number: u64, dead_after: Duration) -> PostgresStore {
    let settings = super::PostgresSettings { dead_after, ..settings(url, number) };
    let store = open_postgres(settings).unwrap();
    store.wait_ready().await.unwrap();
    store
}

#[tokio::test]
async fn a_node_whose_row_is_gone_charges_nothing_and_learns_of_it() {
    let database = Postgres::shared().database().unwrap();
    let store = open(&database).await;
    let id = account(&store).await;
    store.charge(charge(id, 1, 1)).await.unwrap();
    database.execute("DELETE FROM nodes").unwrap();
    for _ in 0..2 {
        let refused = store.charge(charge(id, 2, 1)).await;
        assert!(
            matches!(&refused, Err(StoreError::Unavailable { reason }) if reason.contains("taken for dead")),
            "{refused:?}"
        );
    }
    assert_eq!(store.lookup_account(id).await.unwrap().unwrap().balance.total().get(), 499);
    tokio::time::timeout(super::PATIENCE, store.dead()).await.unwrap();
    assert!(!store.is_ready());
}

#[tokio::test]
async fn a_node_that_leaves_has_no_row() {
    let database = Postgres::shared().database().unwrap();
    let (store, looker) = (open(&database).await, beside(&database).await);
    assert_eq!(number(&looker, NODES).await, 1);
    store.leave().await.unwrap();
    assert_eq!(number(&looker, NODES).await, 0);
}

#[tokio::test]
async fn a_node_that_stands_still_is_taken_for_dead_and_one_that_renews_is_not() {
    let database = Postgres::shared().database().unwrap();
    let looker = beside(&database).await;
    let short = Duration::from_secs(2);
    let (_one, _other) = (node(database.url(), 1, short).await, node(database.url(), 2, short).await);
    // It left no good-bye.
    drop(node(database.url(), 3, short).await);
    assert_eq!(number(&looker, NODES).await, 3);
    until(async || number(&looker, NODES).await < 3).await;
    let living = looker.query("SELECT id FROM nodes ORDER BY id", &[]).await.unwrap();
    let living: Vec<_> = living.iter().map(|row| NodeId::from_i64(row.get(0))).collect();
    assert_eq!(living, [1, 2].map(NodeId::from_random));
}

#[tokio::test]
async fn rows_that_look_old_kill_nobody_who_goes_on_renewing() {
    let database = Postgres::shared().database().unwrap();
    let looker = beside(&database).await;
    let usual = Duration::from_secs(10);
    let stores = [node(database.url(), 1, usual).await, node(database.url(), 2, usual).await];
    let id = account(&stores[0]).await;
    // What each sees of the other first when the database comes back after an hour.
    looker.execute("UPDATE nodes SET renewed_at = renewed_at - interval '1 hour'", &[]).await.unwrap();
    let young = "SELECT count(*) FROM nodes WHERE renewed_at > now() - interval '1 minute'";
    until(async || number(&looker, young).await == number(&looker, NODES).await).await;
    assert_eq!(number(&looker, NODES).await, 2);
    for (store, request) in stores.iter().zip(1..) {
        store.charge(charge(id, request, 1)).await.unwrap();
    }
}
