//! The contract, run on SQLite, and what only this backend promises: folder, groups, full disk.

use std::sync::mpsc;

use bromo_rules::credit::Credits;
use bromo_rules::time::Timestamp;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use tempfile::TempDir;

use super::{SqliteStore, open_sqlite};
use crate::contract::{NOW, Outcome, charge, newcomer};
use crate::{Accounts, Charged, Keys, Ledger, Pages, Store, StoreError};

mod counts;
mod tasks;

async fn with_store(test: impl AsyncFnOnce(&dyn Store) -> Outcome) {
    let folder = TempDir::new().unwrap();
    let store = open_sqlite(folder.path()).unwrap();
    test(&store).await.unwrap();
}

mod contract {
    crate::store_contract!(super::super::with_store);
}

/// Holds the writer inside a job until the sender is dropped: what is handed over meanwhile is the next
/// group, all of it. The future ends with the job.
fn hold(store: &SqliteStore) -> (mpsc::Sender<()>, BoxFuture<'_, Result<(), StoreError>>) {
    let (begun, beginning) = mpsc::channel();
    let (release, held) = mpsc::channel();
    let job = store.parts.writer.run(move |_| {
        begun.send(()).unwrap();
        assert!(held.recv().is_err());
        Ok(())
    });
    // A task that has done much without a pause is made to pause here, and then nothing is handed over.
    let mut job = tokio::task::unconstrained(job).boxed();
    assert!(job.as_mut().now_or_never().is_none());
    beginning.recv().unwrap();
    (release, job)
}

#[tokio::test]
async fn everything_is_there_after_opening_again() {
    let folder = TempDir::new().unwrap();
    let (account, opening, key) = newcomer(1);
    {
        let store = open_sqlite(folder.path()).unwrap();
        store.create_account(&account, &opening, Some(&key), None, None).await.unwrap();
        store.charge(charge(account.id, 1, 7)).await.unwrap();
        store.put_page(crate::contract::request(1), "page".to_owned(), NOW).await.unwrap();
    }
    let store = open_sqlite(folder.path()).unwrap();
    let found = store.lookup_account(account.id).await.unwrap().unwrap();
    assert_eq!((found.balance.total(), found.ledger_seq), (Credits::new(493), 2));
    assert_eq!(store.list_keys(account.id).await.unwrap(), [key]);
    assert_eq!(store.list_entries(account.id, 0, 10).await.unwrap().len(), 2);
    assert_eq!(store.expire_pages(NOW, 10).await.unwrap(), 1);
}

#[tokio::test]
async fn a_folder_belongs_to_one_opener() {
    let folder = TempDir::new().unwrap();
    let store = open_sqlite(folder.path()).unwrap();
    let refused = open_sqlite(folder.path()).unwrap_err().to_string();
    assert!(refused.contains(folder.path().to_str().unwrap()) && refused.contains("in use"), "{refused}");
    drop(store);
    open_sqlite(folder.path()).unwrap();
}

#[cfg(unix)]
#[test]
fn a_new_folder_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let parent = TempDir::new().unwrap();
    let folder = parent.path().join("data");
    drop(open_sqlite(&folder).unwrap());
    assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_file_that_is_no_database_is_corrupt() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("bromo.db"), "no database ".repeat(1000)).unwrap();
    let error = open_sqlite(folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
}

#[tokio::test]
async fn a_request_is_charged_once_within_one_group() {
    let folder = TempDir::new().unwrap();
    let store = open_sqlite(folder.path()).unwrap();
    let (account, opening, key) = newcomer(1);
    store.create_account(&account, &opening, Some(&key), None, None).await.unwrap();
    let (release, held) = hold(&store);
    let charges = join_all((0..50).map(|number| store.charge(charge(account.id, number / 10, 7))));
    let (held, charged, ()) = tokio::join!(biased; held, charges, async { drop(release) });
    held.unwrap();
    for (answered, number) in charged.into_iter().zip(0_u16..) {
        let nth = i64::from(number / 10) + 1;
        let paid = Charged::Paid {
            balance: Credits::new(500 - 7 * nth),
            ledger_seq: u64::try_from(nth).unwrap() + 1,
        };
        assert_eq!(answered.unwrap(), paid);
    }
}

#[tokio::test]
async fn a_failing_or_panicking_job_does_not_harm_its_group() {
    let folder = TempDir::new().unwrap();
    let store = open_sqlite(folder.path()).unwrap();
    let (account, opening, key) = newcomer(1);
    let (release, held) = hold(&store);
    let failing = store.parts.writer.run::<(), _>(|connection| {
        connection.execute("DELETE FROM migrations", [])?;
        Err(StoreError::Missing { what: "thing" })
    });
    let panicking = store.parts.writer.run::<(), _>(|connection| {
        connection.execute("DELETE FROM migrations", [])?;
        panic!("on purpose")
    });
    let good = store.create_account(&account, &opening, Some(&key), None, None);
    let (held, failed, panicked, good, ()) =
        tokio::join!(biased; held, failing, panicking, good, async { drop(release) });
    held.unwrap();
    assert!(matches!(failed, Err(StoreError::Missing { what: "thing" })));
    assert!(matches!(panicked, Err(StoreError::Unavailable { .. })));
    good.unwrap();
    assert_eq!(store.lookup_account(account.id).await.unwrap(), Some(account));
    let migrations = store
        .parts
        .readers
        .run::<i64, _>(|c| Ok(c.query_row("SELECT count(*) FROM migrations", [], |r| r.get(0))?));
    assert_eq!(usize::try_from(migrations.await.unwrap()).unwrap(), super::migrations::STORE.len());
}

#[tokio::test]
async fn a_failed_commit_is_told_to_the_whole_group_and_the_next_group_works() {
    let folder = TempDir::new().unwrap();
    let store = open_sqlite(folder.path()).unwrap();
    let (account, opening, key) = newcomer(1);
    store.create_account(&account, &opening, Some(&key), None, None).await.unwrap();
    let (release, held) = hold(&store);
    // A reference checked only at the commit makes the COMMIT itself fail and leaves its transaction open.
    let poison = store.parts.writer.run(|connection| {
        connection.execute_batch(
            "PRAGMA defer_foreign_keys = ON;
             INSERT INTO ledger (account, seq, kind, amount, balance, at) VALUES (404, 1, 'grant', 1, 1, 1);",
        )?;
        Ok(())
    });
    let charged = store.charge(charge(account.id, 1, 7));
    let (held, poison, charged, ()) = tokio::join!(biased; held, poison, charged, async { drop(release) });
    held.unwrap();
    assert!(matches!(poison, Err(StoreError::Unavailable { .. })));
    assert!(matches!(charged, Err(StoreError::Unavailable { .. })));
    assert_eq!(store.lookup_account(account.id).await.unwrap(), Some(account.clone()));
    let again = store.charge(charge(account.id, 1, 7)).await.unwrap();
    assert_eq!(again, Charged::Paid { balance: Credits::new(493), ledger_seq: 2 });
}

#[tokio::test]
async fn a_full_disk_is_unavailable_and_the_store_goes_on_when_there_is_room() {
    let folder = TempDir::new().unwrap();
    let store = open_sqlite(folder.path()).unwrap();
    let (account, opening, key) = newcomer(1);
    store.create_account(&account, &opening, Some(&key), None, None).await.unwrap();
    let limit = async |pages: u32| {
        store
            .parts
            .writer
            .run(move |c| Ok(c.execute_batch(&format!("PRAGMA max_page_count = {pages}"))?))
            .await
    };
    limit(1).await.unwrap(); // SQLite takes the present size instead.
    let full = store.put_page(crate::contract::request(1), "x".repeat(100_000), NOW).await;
    assert!(matches!(full, Err(StoreError::Unavailable { .. })), "{full:?}");
    let mut paid = 0;
    let refused = loop {
        match store.charge(charge(account.id, paid, 1)).await {
            Ok(_) => paid += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, StoreError::Unavailable { .. }), "{refused:?}");
    limit(1_000_000).await.unwrap();
    let charged = store.charge(charge(account.id, paid, 1)).await.unwrap();
    let balance = Credits::new(500 - i64::from(paid) - 1);
    assert_eq!(charged, Charged::Paid { balance, ledger_seq: u64::from(paid) + 2 });
    let entries = store.list_entries(account.id, 0, 1000).await.unwrap();
    assert_eq!(entries.len(), usize::from(paid) + 2);
}

#[tokio::test]
async fn what_was_handed_over_is_written_before_the_store_ends() {
    let folder = TempDir::new().unwrap();
    let store = open_sqlite(folder.path()).unwrap();
    let (account, opening, key) = newcomer(1);
    store.create_account(&account, &opening, Some(&key), None, None).await.unwrap();
    {
        let (_release, _held) = hold(&store);
        // Polled once, so handed over; then the caller leaves.
        assert!(store.charge(charge(account.id, 1, 7)).now_or_never().is_none());
    }
    drop(store);
    let store = open_sqlite(folder.path()).unwrap();
    assert_eq!(store.list_entries(account.id, 0, 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn callers_on_several_runtimes_are_served_and_see_their_writes() {
    let folder = TempDir::new().unwrap();
    let store = open_sqlite(folder.path()).unwrap();
    let (account, opening, key) = newcomer(1);
    store.create_account(&account, &opening, Some(&key), None, None).await.unwrap();
    let id = account.id;
    std::thread::scope(|scope| {
        for caller in 0..4 {
            let store = &store;
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                runtime.block_on(async {
                    for number in 0..25 {
                        let paid = store.charge(charge(id, caller * 25 + number, 5)).await.unwrap();
                        let Charged::Paid { balance, ledger_seq } = paid else { panic!("{paid:?}") };
                        let entry = store.list_entries(id, ledger_seq - 1, 1).await.unwrap().remove(0);
                        assert_eq!(entry.balance, balance);
                    }
                });
            });
        }
    });
    let account = store.lookup_account(id).await.unwrap().unwrap();
    assert_eq!((account.balance.total(), account.ledger_seq), (Credits::ZERO, 101));
}

#[tokio::test]
async fn the_wal_stays_bounded_under_steady_writes_and_reads() {
    let folder = TempDir::new().unwrap();
    let store = open_sqlite(folder.path()).unwrap();
    let writing = std::cell::Cell::new(true);
    let write = async {
        // Each page of 1 MB is more than 250 pages of WAL; 200 of them would make 200 MB.
        for number in 0..200 {
            store.put_page(crate::contract::request(number), "x".repeat(1_000_000), NOW).await.unwrap();
        }
        writing.set(false);
    };
    let read = async || {
        while writing.get() {
            store.lookup_page(crate::contract::request(0), Timestamp::from_millis(0)).await.unwrap();
        }
    };
    tokio::join!(write, read(), read(), read(), read());
    let wal = folder.path().join("bromo.db-wal").metadata().unwrap().len();
    assert!(wal < 64 * 1024 * 1024, "{wal}");
}
