//! The contract, run on PostgreSQL, and what this backend alone promises: a database that goes and comes back, groups,
//! nodes, migrations.

use std::time::Duration;

use bromo_rules::id::{AccountId, NodeId};
use bromo_testbed::{Database, Postgres};
use tokio::time::Instant;
use tokio_postgres::{Client, NoTls};

use self::walks::Watched;
use super::{PostgresSettings, PostgresStore, open_postgres};
use crate::contract::{Outcome, newcomer};
use crate::{Accounts, Books, Store};

mod away;
mod lanes;
mod migrations;
mod nodes;
mod plans;
mod strays;
mod tasks;
mod tls;
pub(super) mod walks;

/// Whatever is waited for is there by then, or never comes.
const PATIENCE: Duration = Duration::from_secs(30);

async fn with_books(test: impl AsyncFnOnce(&dyn Books) -> Outcome) {
    let database = Postgres::shared().database().unwrap();
    walks::write_down(&database);
    let store = open(&database).await;
    let watched = Watched::begin(&database).await;
    test(&store).await.unwrap();
    watched.end().await;
}

async fn with_store(test: impl AsyncFnOnce(&dyn Store) -> Outcome) {
    let database = Postgres::shared().database().unwrap();
    walks::write_down(&database);
    let store = open(&database).await;
    let watched = Watched::begin(&database).await;
    test(&store).await.unwrap();
    watched.end().await;
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
fn settings(url: String, node: u64) -> PostgresSettings {
    PostgresSettings::new(url, NodeId::from_random(node))
}

async fn open(database: &Database<'_>) -> PostgresStore {
    let store = open_postgres(settings(database.url(), 1)).unwrap();
    store.wait_ready().await.unwrap();
    store
}

/// An account of 500 credits.
async fn account(store: &PostgresStore) -> AccountId {
    let (account, opening, key) = newcomer(1);
    store.create_account(&account, &opening, Some(&key), None, None).await.unwrap();
    account.id
}

/// A connection beside the store's.
async fn beside(database: &Database<'_>) -> Client {
    let (client, connection) = tokio_postgres::connect(&database.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// The first column of the first row.
async fn number(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

/// Returns when it is so.
async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn nodes_know_who_lives_and_agree_on_what_the_first_of_them_said() {
    let database = Postgres::shared().database().unwrap();
    let stores = [1, 2].map(|node| open_postgres(settings(database.url(), node)).unwrap());
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
