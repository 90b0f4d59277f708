//! A database that is away.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU16};
use std::time::Duration;

use bromo_rules::account::Change;
use bromo_rules::credit::Credits;
use bromo_testbed::{Cut, Postgres, Proxy};
use futures_util::future::join_all;
use tokio::time::timeout;

use super::{PATIENCE, account, settings, until};
use crate::contract::{NOW, charge, newcomer};
use crate::postgres::open_postgres;
use crate::{Accounts, Ledger, StoreError};

#[tokio::test]
async fn a_store_opens_without_its_database_and_works_when_it_is_there() {
    let server = Postgres::start().unwrap();
    let database = server.database().unwrap();
    server.stop().unwrap();
    let store = open_postgres(settings(database.url(), 1)).unwrap();
    let (newcomer, opening, key) = newcomer(1);
    let away = store.create_account(&newcomer, &opening, Some(&key), None, None).await;
    assert!(matches!(away, Err(StoreError::Unavailable { .. })), "{away:?}");
    let away = store.lookup_account(newcomer.id).await;
    assert!(matches!(away, Err(StoreError::Unavailable { .. })), "{away:?}");
    assert!(!store.is_ready());
    server.start_again().unwrap();
    store.wait_ready().await.unwrap();
    store.create_account(&newcomer, &opening, Some(&key), None, None).await.unwrap();
    assert!(store.is_ready());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_under_load_all_goes_on_and_what_was_asked_again_is_paid_once() {
    let server = Postgres::start().unwrap();
    let database = server.database().unwrap();
    let store = open_postgres(settings(database.url(), 1)).unwrap();
    store.wait_ready().await.unwrap();
    let id = account(&store).await;
    let more = Change::Grant(Credits::new(1_000_000));
    let before = store.change_account(id, &more, &Arc::default(), NOW).await.unwrap();
    let (paid, failed, over) = (AtomicU16::new(0), AtomicU16::new(0), AtomicBool::new(false));
    let numbers = AtomicU16::new(0);
    let payers = join_all((0..20).map(|_| async {
        while !over.load(SeqCst) {
            let number = numbers.fetch_add(1, SeqCst);
            // Asked again until it is paid: what a caller does that was told nothing.
            while let Err(error) = store.charge(charge(id, number, 1)).await {
                assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
                failed.fetch_add(1, SeqCst);
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            paid.fetch_add(1, SeqCst);
        }
    }));
    let restarts = async {
        for crash in [false, true] {
            let (paid_before, failed_before) = (paid.load(SeqCst), failed.load(SeqCst));
            until(async || paid.load(SeqCst) > paid_before + 20).await;
            tokio::task::block_in_place(|| if crash { server.kill() } else { server.stop() }).unwrap();
            until(async || failed.load(SeqCst) > failed_before + 20).await;
            tokio::task::block_in_place(|| server.start_again()).unwrap();
        }
        let paid_before = paid.load(SeqCst);
        until(async || paid.load(SeqCst) > paid_before + 20).await;
        over.store(true, SeqCst);
    };
    timeout(PATIENCE, async { tokio::join!(payers, restarts) }).await.unwrap();
    until(async || store.is_ready()).await;
    let after = store.lookup_account(id).await.unwrap().unwrap();
    let paid = paid.load(SeqCst);
    assert_eq!(before.balance.total().get() - after.balance.total().get(), i64::from(paid));
    assert_eq!(after.ledger_seq - before.ledger_seq, u64::from(paid));
}

#[tokio::test]
async fn a_network_that_swallows_everything_is_given_up_and_left_behind() {
    let database = Postgres::shared().database().unwrap();
    let server = Postgres::shared().port();
    let proxy = Proxy::start(([127, 0, 0, 1], server).into()).unwrap();
    let url = database.url().replace(&server.to_string(), &proxy.address().port().to_string());
    let store = open_postgres(settings(url, 1)).unwrap();
    store.wait_ready().await.unwrap();
    let id = account(&store).await;
    proxy.cut(Cut::Silent);
    let (charged, read) = tokio::join!(store.charge(charge(id, 1, 1)), store.lookup_account(id));
    assert!(matches!(charged, Err(StoreError::Unavailable { .. })), "{charged:?}");
    assert!(matches!(read, Err(StoreError::Unavailable { .. })), "{read:?}");
    proxy.heal();
    until(async || store.is_ready()).await;
    store.charge(charge(id, 1, 1)).await.unwrap();
    assert_eq!(store.lookup_account(id).await.unwrap().unwrap().balance.total().get(), 499);
}
