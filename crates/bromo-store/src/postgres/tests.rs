//! What this backend alone promises: a database that is away and comes back, lanes, nodes.

use bromo_rules::id::NodeId;
use bromo_testbed::{Database, Postgres};

use super::{PostgresSettings, PostgresStore, open_postgres};
use crate::contract::Outcome;
use crate::{Books, Store};

mod tasks;

async fn with_books(test: impl AsyncFnOnce(&dyn Books) -> Outcome) {
    let database = Postgres::shared().database().unwrap();
    let store = open(&database).await;
    test(&store).await.unwrap();
}

async fn with_store(test: impl AsyncFnOnce(&dyn Store) -> Outcome) {
    let database = Postgres::shared().database().unwrap();
    let store = open(&database).await;
    test(&store).await.unwrap();
}

mod contract {
    crate::store_contract!(accounts: super::super::with_books);
    crate::store_contract!(keys: super::super::with_books);
    crate::store_contract!(members: super::super::with_books);
    crate::store_contract!(ledger: super::super::with_books);
    crate::store_contract!(pages: super::super::with_books);
    crate::store_contract!(tasks: super::super::with_store);
    crate::store_contract!(queue: super::super::with_store);
    crate::store_contract!(deliveries: super::super::with_store);
}

/// Settings for a node of this number.
fn settings(database: &Database<'_>, node: u64) -> PostgresSettings {
    PostgresSettings::new(database.url(), NodeId::from_random(node))
}

async fn open(database: &Database<'_>) -> PostgresStore {
    let store = open_postgres(settings(database, 1)).unwrap();
    store.wait_ready().await.unwrap();
    store
}

#[tokio::test]
async fn a_store_is_ready_when_its_database_is() {
    let database = Postgres::shared().database().unwrap();
    let store = open(&database).await;
    assert!(store.is_ready());
    let rows = store.parts.shared.query("SELECT id FROM nodes", &[]).await.unwrap();
    assert_eq!(rows.len(), 1);
    store.leave().await.unwrap();
    let rows = store.parts.shared.query("SELECT id FROM nodes", &[]).await.unwrap();
    assert_eq!(rows.len(), 0);
}

#[tokio::test]
async fn nodes_know_who_lives_and_agree_on_what_the_first_of_them_said() {
    let database = Postgres::shared().database().unwrap();
    let stores = [1, 2].map(|node| open_postgres(settings(&database, node)).unwrap());
    for store in &stores {
        store.wait_ready().await.unwrap();
    }
    let living = [1, 2].map(NodeId::from_random);
    assert_eq!(stores[1].living().await.unwrap(), living);
    let (one, other) = tokio::join!(stores[0].agree("key", b"one"), stores[1].agree("key", b"other"));
    assert_ne!(one.unwrap(), other.unwrap());
    assert!(stores[1].agree("another key", b"x").await.unwrap());
    stores[0].leave().await.unwrap();
    assert_eq!(stores[1].living().await.unwrap(), living[1..]);
}
