//! Groups and their jobs.

use bromo_testbed::Postgres;
use futures_util::future::join_all;

use super::{account, beside, number, open, until};
use crate::contract::{NOW, charge, task};
use crate::postgres::partitions;
use crate::{Accounts, Charged, Ledger, StoreError, Submitted, Tasks};

/// How many connections of the store wait for a lock.
const WAITING: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'";

#[tokio::test]
async fn jobs_that_arrive_together_share_a_transaction() {
    let database = Postgres::shared().database().unwrap();
    let store = open(&database).await;
    let id = account(&store).await;
    let (holder, looker) = (beside(&database).await, beside(&database).await);
    holder.batch_execute("BEGIN; SELECT FROM accounts FOR UPDATE").await.unwrap();
    let charges = join_all((0..100).map(|number| store.charge(charge(id, number, 1))));
    let release = async {
        until(async || number(&looker, WAITING).await == 1).await;
        holder.batch_execute("ROLLBACK").await.unwrap();
    };
    let (charged, ()) = tokio::join!(charges, release);
    assert!(charged.iter().all(|charged| matches!(charged, Ok(Charged::Paid { .. }))), "{charged:?}");
    // The opening entry's, that of whoever came first, and, unless all came at once, that of the others.
    let transactions = number(&looker, "SELECT count(DISTINCT xmin::text) FROM ledger").await;
    assert!((2..=3).contains(&transactions), "{transactions}");
}

#[tokio::test]
async fn a_bad_job_fails_alone() {
    let database = Postgres::shared().database().unwrap();
    let store = open(&database).await;
    let id = account(&store).await;
    database.execute("ALTER TABLE ledger ADD CHECK (amount <> -13)").unwrap();
    let charges = join_all((0..50).map(|n| store.charge(charge(id, n, if n == 30 { 13 } else { 1 }))));
    for (outcome, number) in charges.await.into_iter().zip(0..) {
        match outcome {
            Ok(Charged::Paid { .. }) => assert_ne!(number, 30),
            Err(StoreError::Unavailable { reason }) => {
                assert_eq!(number, 30, "{reason}");
                assert!(reason.contains("check constraint"), "{reason}");
            }
            other => panic!("{number}: {other:?}"),
        }
    }
    let left = store.lookup_account(id).await.unwrap().unwrap();
    assert_eq!((left.balance.total().get(), left.ledger_seq), (500 - 49, 50));
}

#[tokio::test]
async fn a_task_that_comes_while_the_partition_of_its_day_is_made_is_accepted() {
    let database = Postgres::shared().database().unwrap();
    let store = open(&database).await;
    let id = account(&store).await;
    let (holder, looker) = (beside(&database).await, beside(&database).await);
    let day = NOW.millis() / 86_400_000;
    holder.batch_execute(&format!("BEGIN; {}", partitions::make(day))).await.unwrap();
    let submit = store.submit(id, vec![task(id, 1)], 9);
    let release = async {
        until(async || number(&looker, WAITING).await == 1).await;
        holder.batch_execute("COMMIT").await.unwrap();
    };
    let (submitted, ()) = tokio::join!(submit, release);
    assert!(matches!(submitted, Ok(Submitted::Each(_))), "{submitted:?}");
}

#[tokio::test]
async fn a_job_that_panics_fails_and_the_lane_goes_on() {
    let database = Postgres::shared().database().unwrap();
    let store = open(&database).await;
    let id = account(&store).await;
    let panicked = store
        .parts
        .others
        .run::<(), _>(async |tx: &super::super::tx::Tx<'_>| {
            tx.execute("DELETE FROM accounts", &[]).await?;
            panic!("on purpose")
        })
        .await;
    assert!(matches!(panicked, Err(StoreError::Unavailable { .. })), "{panicked:?}");
    // On both of its connections.
    for price in 1..4 {
        let change = bromo_rules::account::Change::Grant(bromo_rules::credit::Credits::new(price));
        store.change_account(id, &change, &std::sync::Arc::default(), crate::contract::NOW).await.unwrap();
    }
}

#[tokio::test]
async fn what_waits_for_a_lock_too_long_is_unavailable_and_others_go_on() {
    let database = Postgres::shared().database().unwrap();
    let store = open(&database).await;
    let id = account(&store).await;
    let (holder, looker) = (beside(&database).await, beside(&database).await);
    holder.batch_execute("BEGIN; SELECT FROM accounts FOR UPDATE").await.unwrap();
    let late = store.charge(charge(id, 1, 1)).await;
    assert!(
        matches!(&late, Err(StoreError::Unavailable { reason }) if reason.contains("lock timeout")),
        "{late:?}"
    );
    assert_eq!(number(&looker, WAITING).await, 0);
    holder.batch_execute("ROLLBACK").await.unwrap();
    store.charge(charge(id, 1, 1)).await.unwrap();
}
