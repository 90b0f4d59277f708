//! What a task costs, in things that can be counted: commits, statements, pages. Times are measured elsewhere; these
//! counts do not depend on the machine, and a change that doubles one of them is a change of the promise.

use std::sync::{Arc, Mutex};

use bromo_rules::id::AccountId;
use bromo_rules::task::{NewTask, Priority};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use rusqlite::trace::{TraceEvent, TraceEventCodes};
use rusqlite::{Connection, params};
use rustix::time::{ClockId, clock_gettime};
use tempfile::TempDir;

use super::hold;
use crate::contract::{NOW, account, claim_next, end, hooked, keyed};
use crate::sqlite::{SqliteStore, open_watched};
use crate::{Claimed, Deliveries, DeliveryAttempt, Ender, Endpoints, Lane, Next, Submitted, Tasks};

/// Tasks in a group, as 64 callers make them.
const GROUP: u16 = 64;
/// Whose they are, in turn.
const ACCOUNTS: u64 = 50;
/// A submitted task may cost the writer so many times the CPU of a bare row; 6 to 7 when this was written.
const CPU_RATIO_MAX: f64 = 12.0;
/// A page in the WAL.
const FRAME_BYTES: u64 = 4096 + 24;

/// A store that counts what its writer does.
struct Counted {
    store: SqliteStore,
    statements: Arc<Mutex<Vec<String>>>,
    commits: Arc<Mutex<u32>>,
    folder: TempDir,
}

/// What one group cost.
#[derive(Debug)]
struct Cost {
    commits: u32,
    /// Without those that begin and end the group and its savepoints.
    statements: usize,
    pages: u64,
}

impl Counted {
    fn open() -> Self {
        let folder = TempDir::new().unwrap();
        let (statements, commits) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(0)));
        let (all, count) = (Arc::clone(&statements), Arc::clone(&commits));
        let store = open_watched(folder.path(), move |connection| {
            connection.trace_v2(
                TraceEventCodes::SQLITE_TRACE_STMT,
                Some(move |event: TraceEvent<'_>| {
                    if let TraceEvent::Stmt(_, sql) = event {
                        all.lock().unwrap().push(sql.to_owned());
                    }
                }),
            )?;
            connection.commit_hook(Some(move || {
                *count.lock().unwrap() += 1;
                false
            }))?;
            Ok(())
        });
        Self { store: store.unwrap(), statements, commits, folder }
    }

    fn wal_bytes(&self) -> u64 {
        self.folder.path().join("bromo.db-wal").metadata().map_or(0, |file| file.len())
    }

    /// Hands over what `jobs` are while the writer is held, so that they are one group, and counts that.
    async fn one_group<T>(&self, jobs: Vec<BoxFuture<'_, T>>) -> (Vec<T>, Cost) {
        let jobs_count = jobs.len();
        let (release, held) = hold(&self.store);
        // The WAL file only grows as long as it has not been carried home once.
        let wal_before = self.wal_bytes();
        let all_of_them = self.store.parts.writer.handed_over() + jobs_count;
        let all = join_all(jobs);
        let ready = async {
            while self.store.parts.writer.handed_over() < all_of_them {
                tokio::task::yield_now().await;
            }
            self.statements.lock().unwrap().clear();
            *self.commits.lock().unwrap() = 0;
            drop(release);
        };
        let (all, held, ()) = tokio::join!(all, held, ready);
        held.unwrap();
        // The next group's answer comes after this one's housekeeping.
        let frame = ["BEGIN IMMEDIATE", "SAVEPOINT job", "RELEASE job", "COMMIT"];
        let statements = self.statements.lock().unwrap();
        let statements = statements.iter().filter(|sql| !frame.contains(&sql.as_str())).count();
        let pages = (self.wal_bytes() - wal_before) / FRAME_BYTES;
        // The held job's own commit is one of them.
        (all, Cost { commits: *self.commits.lock().unwrap() - 1, statements, pages })
    }

    async fn accounts(&self) -> Vec<AccountId> {
        let all = join_all((1..=ACCOUNTS).map(|number| account(&self.store, number))).await;
        all.into_iter().collect::<Result<_, _>>().unwrap()
    }
}

fn new(accounts: &[AccountId], number: u16) -> NewTask {
    let account = accounts[usize::from(number) % accounts.len()];
    let key = format!("{:032}", u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    NewTask {
        webhook: Some("https://example.com/hook".into()),
        priority: Priority::new(i64::from(number % 10) + 1).unwrap(),
        ..keyed(account, number, &key)
    }
}

/// Accepts so many from this number on, one by one but all at once.
async fn submit(counted: &Counted, accounts: &[AccountId], from: u16, count: u16) -> Cost {
    let submits = (from..from + count).map(|number| {
        let task = new(accounts, number);
        counted.store.submit(task.account, vec![task], 10_000).boxed()
    });
    let (submitted, cost) = counted.one_group(submits.collect()).await;
    assert!(submitted.iter().all(|one| matches!(one, Ok(Submitted::Each(all)) if all[0].is_ok())));
    cost
}

/// Claims so many, going round the accounts.
async fn claim(counted: &Counted, accounts: &[AccountId], count: u16) -> Vec<Claimed> {
    let each = usize::from(count).div_ceil(accounts.len());
    let mut rounds = vec![Vec::new(); each];
    for account in accounts {
        let heads = counted.store.heads(*account, Endpoints::ALL, each).await.unwrap();
        heads.iter().zip(&mut rounds).for_each(|(head, round)| round.push(head.seq));
    }
    let mut seqs = rounds.concat();
    seqs.truncate(count.into());
    counted.store.claim(seqs, NOW).await.unwrap()
}

#[tokio::test]
async fn submits_that_come_together_share_one_commit_and_few_pages() {
    let counted = Counted::open();
    let accounts = counted.accounts().await;
    submit(&counted, &accounts, 0, 1000).await;
    let cost = submit(&counted, &accounts, 1000, GROUP).await;
    assert_eq!(cost.commits, 1);
    // Its key looked up, a task, a question; blocks are small in tests and entered often; keys are swept.
    assert!(cost.statements <= usize::from(GROUP) * 8, "{cost:?}");
    // 22 when this was written.
    assert!(cost.pages <= 32, "{cost:?}");
}

#[tokio::test]
async fn a_claim_of_many_is_one_statement() {
    let counted = Counted::open();
    let accounts = counted.accounts().await;
    submit(&counted, &accounts, 0, 500).await;
    let mut seqs = Vec::new();
    for account in &accounts {
        seqs.push(counted.store.heads(*account, Endpoints::ALL, 1).await.unwrap()[0].seq);
    }
    let (claimed, cost) = counted.one_group(vec![counted.store.claim(seqs, NOW)]).await;
    assert_eq!(claimed[0].as_ref().unwrap().len(), accounts.len());
    let claims = counted.statements.lock().unwrap().iter().filter(|sql| sql.contains("claims")).count();
    assert_eq!((cost.commits, claims), (1, 1));
    // 3 when this was written.
    assert!(cost.pages <= 4, "{cost:?}");
}

#[tokio::test]
async fn ends_that_come_together_share_one_commit_one_update_an_account_and_few_pages() {
    let counted = Counted::open();
    let accounts = counted.accounts().await;
    submit(&counted, &accounts, 0, 1000).await;
    for _ in 0..4 {
        for one in claim(&counted, &accounts, 200).await {
            counted.store.end_task(end(Ender::Claim(one.claim))).await.unwrap();
        }
    }
    let claimed = claim(&counted, &accounts, GROUP).await;
    assert_eq!(claimed.len(), usize::from(GROUP));
    let ends = claimed.iter().map(|one| counted.store.end_task(end(Ender::Claim(one.claim))).boxed());
    let (_, cost) = counted.one_group(ends.collect()).await;
    assert_eq!(cost.commits, 1);
    // Claim, task, result, delivery, entry and its block; the account read and written once.
    let updates = counted.statements.lock().unwrap();
    let updates = updates.iter().filter(|sql| sql.starts_with("UPDATE accounts")).count();
    assert!(updates <= accounts.len() && cost.statements <= usize::from(GROUP) * 9, "{updates} {cost:?}");
    // 15 when this was written.
    assert!(cost.pages <= 24, "{cost:?}");
}

#[tokio::test]
async fn attempts_that_come_together_share_one_commit_and_few_pages() {
    let counted = Counted::open();
    let id = account(&counted.store, 1).await.unwrap();
    for number in 0..GROUP {
        let new = hooked(id, number, "https://example.com/");
        counted.store.submit(id, vec![new], 1000).await.unwrap();
    }
    for one in claim_next(&counted.store, id, GROUP.into()).await.unwrap() {
        counted.store.end_task(end(Ender::Claim(one.claim))).await.unwrap();
    }
    let due = counted.store.take_due(Lane::Fresh, NOW, &|_, _| 999, 999).await.unwrap();
    let records = due.iter().map(|due| {
        let attempt = DeliveryAttempt {
            number: due.attempt,
            at: NOW,
            took_ms: 20,
            status: Some(200),
            error: None,
            response: b"ok".to_vec(),
        };
        counted.store.record_attempt(due.seq, attempt, Next::Delivered).boxed()
    });
    let (_, cost) = counted.one_group(records.collect()).await;
    assert_eq!(cost.commits, 1);
    // 3 pages when this was written.
    assert!(cost.statements <= usize::from(GROUP) * 2 && cost.pages <= 6, "{cost:?}");
}

/// What the calling thread has computed so far, in microseconds: not how long it took, so that the rest of the machine
/// matters little.
fn cpu_us() -> i64 {
    let used = clock_gettime(ClockId::ThreadCPUTime);
    used.tv_sec * 1_000_000 + used.tv_nsec / 1000
}

/// Groups of so many bare rows, one statement each, in a table with the indexes that a queue cannot do without: what a
/// row costs at least, in microseconds of this thread.
fn bare_row_us(groups: u16) -> f64 {
    let folder = TempDir::new().unwrap();
    let connection = Connection::open(folder.path().join("bare.db")).unwrap();
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             CREATE TABLE tasks (seq INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, account INTEGER NOT NULL,
                                 key TEXT NOT NULL, payload TEXT NOT NULL, UNIQUE (account, key)) STRICT;",
        )
        .unwrap();
    let begun = cpu_us();
    for number in 0..groups {
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        let mut insert = connection
            .prepare_cached("INSERT INTO tasks (id, account, key, payload) VALUES (?, ?, ?, ?)")
            .unwrap();
        for row in number * GROUP..(number + 1) * GROUP {
            let key = format!("{:032}", u64::from(row).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let account = u64::from(row) % ACCOUNTS;
            insert
                .execute(params![
                    &row.to_be_bytes()[..],
                    account.cast_signed(),
                    key,
                    "{\"prompt\":\"question\"}"
                ])
                .unwrap();
        }
        connection.execute_batch("COMMIT").unwrap();
    }
    (cpu_us() - begun) as f64 / f64::from(groups * GROUP)
}

#[tokio::test]
async fn a_task_row_costs_the_writer_little_more_than_a_bare_row() {
    const GROUPS: u16 = 20;
    let counted = Counted::open();
    let accounts = counted.accounts().await;
    let writer_us = async || counted.store.parts.writer.run(|_| Ok(cpu_us())).await.unwrap();
    submit(&counted, &accounts, 0, 1000).await;
    let before = writer_us().await;
    for group in 0..GROUPS {
        submit(&counted, &accounts, 1000 + group * GROUP, GROUP).await;
    }
    let row_us = (writer_us().await - before) as f64 / f64::from(GROUPS * GROUP);
    let bare_us = bare_row_us(GROUPS);
    // Keys, counters and three tables instead of one; the program's own part is not optimised in tests.
    assert!(row_us <= bare_us * CPU_RATIO_MAX, "{row_us} us, bare {bare_us} us");
}
