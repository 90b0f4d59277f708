//! What only this backend promises of tasks and deliveries: groups, failed commits, restarts.

use std::path::Path;

use bromo_rules::id::AccountId;
use bromo_rules::task::TaskState;
use futures_util::FutureExt;
use futures_util::future::{join_all, try_join_all};
use rusqlite::Connection;
use tempfile::TempDir;

use super::hold;
use crate::contract::{
    NOW, account, charge, claim_next, claim_one, end, hooked, keyed, later, queue, request, task, whole,
};
use crate::sqlite::connection::open_reader;
use crate::sqlite::{SqliteStore, deliveries, open, open_sqlite};
use crate::{
    Back, Claiming, Deliveries, DeliveryAttempt, Due, End, Ended, Ender, Endpoints, KeyTaken, Lane, Ledger,
    Next, StoreError, Submitted, TaskFilter, TaskName, Tasks,
};

const HOOK: &str = "https://example.com/";

/// Compares what memory says with what the disk holds, nothing being on its way.
fn check_memory(store: &SqliteStore, folder: &Path, accounts: &[AccountId]) {
    let connection = open_reader(&folder.join("bromo.db")).unwrap();
    let mut on_disk = open::waiting(&connection).unwrap();
    let running: Vec<_> = running_on_disk(&connection);
    for seq in &running {
        on_disk.start(*seq, request(0), None);
    }
    let memory = store.parts.memory.queue();
    for account in accounts {
        assert_eq!(memory.depth(*account), on_disk.depth(*account));
        let heads = |queue: &crate::sqlite::queue::Queue| queue.heads(*account, Endpoints::ALL, 9999);
        assert_eq!(heads(&memory), heads(&on_disk));
        assert_eq!(memory.waiting_of(*account), on_disk.waiting_of(*account));
    }
    assert_eq!(memory.totals(), on_disk.totals());
    assert!(running.iter().all(|seq| memory.running(*seq).is_some()));
    drop(memory);
    let on_disk = deliveries::pending(&connection).unwrap();
    let memory = store.parts.memory.outbox();
    assert_eq!((memory.pending(), memory.next_due()), (on_disk.pending(), on_disk.next_due()));
    for account in accounts {
        assert_eq!(memory.pending_of(*account), on_disk.pending_of(*account));
    }
}

fn running_on_disk(connection: &Connection) -> Vec<i64> {
    let mut statement = connection.prepare("SELECT seq FROM claims").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

fn attempt(due: &Due) -> DeliveryAttempt {
    DeliveryAttempt {
        number: due.attempt,
        at: NOW,
        took_ms: 1,
        status: Some(500),
        error: None,
        response: Vec::new(),
    }
}

async fn take(store: &SqliteStore, lane: Lane) -> Vec<Due> {
    store.take_due(lane, later(99), &|_, _| 99, 99).await.unwrap()
}

/// Ends the account's next task, with its webhook if it has one.
async fn end_next(store: &SqliteStore, id: AccountId) {
    let claim = claim_one(store, id).await.unwrap().claim;
    store.end_task(end(Ender::Claim(claim))).await.unwrap();
}

/// A store in the middle of everything: a waiting task, one that waits for its retry, two that run, one that ended,
/// and deliveries that are fresh, taken, and waiting for their retry.
async fn in_the_middle(folder: &Path) -> (SqliteStore, AccountId) {
    let store = open_sqlite(folder).unwrap();
    let id = account(&store, 1).await.unwrap();
    for number in 10..13 {
        queue(&store, &[hooked(id, number, HOOK)]).await.unwrap();
        end_next(&store, id).await;
        if number == 10 {
            let due = take(&store, Lane::Fresh).await.remove(0);
            store.record_attempt(due.seq, attempt(&due), Next::RetryAt(later(50))).await.unwrap();
        }
    }
    queue(&store, &[task(id, 1), task(id, 2), task(id, 3), keyed(id, 4, "four")]).await.unwrap();
    let claimed = claim_next(&store, id, 3).await.unwrap();
    store.give_back(claimed[0].claim, Back::Failed(later(500))).await.unwrap();
    assert_eq!(store.take_due(Lane::Fresh, later(99), &|_, _| 1, 1).await.unwrap().len(), 1);
    (store, id)
}

#[tokio::test]
async fn after_a_restart_everything_goes_on_where_it_was() {
    let folder = TempDir::new().unwrap();
    let (store, id) = in_the_middle(folder.path()).await;
    assert_eq!((store.totals(), store.pending(), store.recovered()), ((2, 2), 3, 0));
    drop(store);
    let store = open_sqlite(folder.path()).unwrap();
    assert_eq!((store.totals(), store.pending(), store.recovered()), ((4, 0), 3, 2));
    check_memory(&store, folder.path(), &[id]);
    // Those that ran may run again at once; the one that waited for its retry still does.
    let claimed = claim_next(&store, id, 9).await.unwrap();
    let seen: Vec<_> = claimed.iter().map(|one| (one.id, one.attempt, one.cuts)).collect();
    assert_eq!(seen, [(request(2), 1, 1), (request(3), 1, 1), (request(4), 1, 0)]);
    assert_eq!(store.end_waits(later(500)).await.unwrap(), (vec![id], None));
    let retried = claim_one(&store, id).await.unwrap();
    assert_eq!((retried.id, retried.attempt, retried.cuts), (request(1), 2, 0));
    assert_eq!(whole(&store, id, 2).await.unwrap().task.started_at, Some(NOW));
    // No attempt was recorded of the delivery that was taken, so it is simply due.
    let (fresh, retries) = (take(&store, Lane::Fresh).await, take(&store, Lane::Retry).await);
    assert_eq!(fresh.iter().map(|due| due.attempt).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(retries.iter().map(|due| due.attempt).collect::<Vec<_>>(), [2]);
    let taken = store.submit(id, vec![keyed(id, 5, "four")], 99).await.unwrap();
    let state = TaskState::Processing;
    assert_eq!(taken, Submitted::Each(vec![Err(KeyTaken { id: request(4), state })]));
}

#[tokio::test]
async fn a_claim_from_before_a_restart_is_lost() {
    let folder = TempDir::new().unwrap();
    let store = open_sqlite(folder.path()).unwrap();
    let id = account(&store, 1).await.unwrap();
    queue(&store, &[task(id, 1)]).await.unwrap();
    let old = claim_one(&store, id).await.unwrap().claim;
    drop(store);
    let store = open_sqlite(folder.path()).unwrap();
    let new = claim_one(&store, id).await.unwrap().claim;
    assert_eq!(new.seq, old.seq);
    assert_ne!(new.fence, old.fence);
    assert_eq!(store.end_task(end(Ender::Claim(old))).await.unwrap(), Ended::Lost);
    assert!(!store.give_back(old, Back::Cut).await.unwrap());
    drop(store);
    let store = open_sqlite(folder.path()).unwrap();
    assert_eq!(store.recovered(), 1);
    assert_eq!(claim_one(&store, id).await.unwrap().cuts, 2);
}

#[tokio::test]
async fn everything_is_found_again_over_many_blocks_sweeps_and_restarts() {
    let folder = TempDir::new().unwrap();
    let mut store = open_sqlite(folder.path()).unwrap();
    let ids = [account(&store, 1).await.unwrap(), account(&store, 2).await.unwrap()];
    let mut left = [Vec::new(), Vec::new()];
    for number in 0..240_u16 {
        let which = usize::from(number % 7 == 0);
        queue(&store, &[keyed(ids[which], number, &format!("key {number}"))]).await.unwrap();
        match number % 5 {
            0 => end_next(&store, ids[which]).await,
            1 => {
                store.delete_task(ids[which], TaskName::Id(request(number))).await.unwrap();
                continue;
            }
            _ => {}
        }
        left[which].push(number);
        if number % 60 == 59 {
            drop(store);
            store = open_sqlite(folder.path()).unwrap();
        }
    }
    for _ in 0..2 {
        check_memory(&store, folder.path(), &ids);
        for (id, left) in ids.into_iter().zip(&left) {
            let listed = store.list_tasks(id, TaskFilter::default(), None, 999).await.unwrap();
            let expected: Vec<_> = left.iter().rev().copied().map(request).collect();
            assert_eq!(listed.iter().map(|task| task.id).collect::<Vec<_>>(), expected);
        }
        for number in 0..240 {
            let which = usize::from(number % 7 == 0);
            let key = format!("key {number}");
            let found = store.lookup_task(ids[which], TaskName::Key(&key)).await.unwrap();
            let expected = left[which].contains(&number).then(|| request(number));
            assert_eq!(found.map(|found| found.task.id), expected, "{key}");
        }
        drop(store);
        store = open_sqlite(folder.path()).unwrap();
    }
    // And nothing stays behind when all is gone.
    for id in ids {
        store.clear_queue(id).await.unwrap();
    }
    while store.expire_tasks(later(9999), 0, 50).await.unwrap() > 0 {}
    drop(store);
    drop(open_sqlite(folder.path()).unwrap());
    let connection = open_reader(&folder.path().join("bromo.db")).unwrap();
    for table in ["tasks", "questions", "claims", "results", "task_keys", "task_blocks"] {
        let rows: i64 =
            connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 0, "{table}");
    }
}

/// The folder as it would be found if the process died now: nothing was ended cleanly.
fn crash(folder: &Path) -> TempDir {
    let copy = TempDir::new().unwrap();
    for file in ["bromo.db", "bromo.db-wal"] {
        std::fs::copy(folder.join(file), copy.path().join(file)).unwrap();
    }
    copy
}

#[tokio::test]
async fn after_a_crash_at_any_moment_nothing_is_lost() {
    let folder = TempDir::new().unwrap();
    let store = open_sqlite(folder.path()).unwrap();
    let id = account(&store, 1).await.unwrap();
    let mut left = Vec::new();
    for number in 0..90_u16 {
        // Groups of three, so that a sweep begins and ends within a group's own tasks too.
        let tasks = (0..3).map(|part| {
            let number = number * 3 + part;
            store.submit(id, vec![keyed(id, number, &format!("key {number}"))], 9999)
        });
        try_join_all(tasks).await.unwrap();
        left.extend([number * 3, number * 3 + 1, number * 3 + 2]);
        if number % 4 == 0 {
            end_next(&store, id).await;
        }
        if number % 3 == 0 {
            store.delete_task(id, TaskName::Id(request(number * 3 + 1))).await.unwrap();
            left.retain(|other| *other != number * 3 + 1);
        }
        let running = usize::from(number % 5 == 0);
        let claimed = claim_next(&store, id, running).await.unwrap();
        if number % 6 == 0 {
            let copy = crash(folder.path());
            let found = open_sqlite(copy.path()).unwrap();
            assert_eq!(found.recovered(), running as u64);
            let (waiting, _) = store.totals();
            assert_eq!(found.totals(), (waiting + running as u64, 0));
            check_memory(&found, copy.path(), &[id]);
            for number in &left {
                let key = format!("key {number}");
                let task = found.lookup_task(id, TaskName::Key(&key)).await.unwrap();
                assert_eq!(task.map(|task| task.task.id), Some(request(*number)), "{key}");
            }
            let listed = found.list_tasks(id, TaskFilter::default(), None, 9999).await.unwrap();
            assert_eq!(listed.len(), left.len());
        }
        for one in claimed {
            store.give_back(one.claim, Back::Cut).await.unwrap();
        }
    }
}

/// What makes the COMMIT itself fail.
async fn poison(store: &SqliteStore) -> Result<(), StoreError> {
    store
        .parts
        .writer
        .run(|connection| {
            connection.execute_batch(
                "PRAGMA defer_foreign_keys = ON;
                 INSERT INTO ledger (account, seq, kind, amount, balance, at) VALUES (404, 1, 'grant', 1, 1, 1);",
            )?;
            Ok(())
        })
        .await
}

/// Polls a claim until it has been read and waits for the writer, which is held.
async fn handed_over(store: &SqliteStore, mut claiming: Claiming) -> Claiming {
    let before = store.parts.writer.handed_over();
    while store.parts.writer.handed_over() == before {
        assert!((&mut claiming).now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    claiming
}

#[tokio::test]
async fn a_failed_commit_leaves_memory_as_it_was() {
    let folder = TempDir::new().unwrap();
    let (store, id) = in_the_middle(folder.path()).await;
    let store = {
        drop(store);
        open_sqlite(folder.path()).unwrap()
    };
    let running = claim_next(&store, id, 2).await.unwrap();
    queue(&store, &[hooked(id, 20, HOOK)]).await.unwrap();
    let hooked_one = claim_next(&store, id, 9).await.unwrap().pop().unwrap();
    assert_eq!(hooked_one.id, request(20));
    store.give_back(claim_one_of(&running, 3), Back::Cut).await.unwrap();
    let fresh = take(&store, Lane::Fresh).await;
    store.put_back(&[fresh[1].seq]);
    let before =
        (store.totals(), store.pending(), store.next_due().await.unwrap(), store.depth(id).await.unwrap());
    let heads = store.heads(id, Endpoints::ALL, 99).await.unwrap();
    assert_eq!(heads.len(), 1);
    // One of each, and an end that gives up the oldest retry, all in one group that fails.
    let (release, held) = hold(&store);
    let claim = handed_over(&store, store.claim(vec![heads[0].seq], NOW)).await;
    let full = End { pending_max: 1, ..end(Ender::Claim(hooked_one.claim)) };
    let (held, poisoned, submitted, claimed, ended, recorded, given, deleted, again, ()) = tokio::join!(
        biased;
        held,
        poison(&store),
        store.submit(id, vec![keyed(id, 30, "thirty"), task(id, 31)], 99),
        claim,
        store.end_task(full.clone()),
        store.record_attempt(fresh[0].seq, attempt(&fresh[0]), Next::Delivered),
        store.give_back(claim_one_of(&running, 2), Back::Cut),
        store.delete_task(id, TaskName::Id(request(1))),
        store.redeliver_failed(id, NOW, NOW, 9),
        async { drop(release) },
    );
    held.unwrap();
    poisoned.unwrap_err();
    for error in [
        submitted.unwrap_err(),
        claimed.unwrap_err(),
        ended.unwrap_err(),
        recorded.unwrap_err(),
        given.unwrap_err(),
        deleted.unwrap_err(),
        again.unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    }
    let after =
        (store.totals(), store.pending(), store.next_due().await.unwrap(), store.depth(id).await.unwrap());
    assert_eq!(after, before);
    assert_eq!(store.heads(id, Endpoints::ALL, 99).await.unwrap(), heads);
    assert_eq!(store.lookup_task(id, TaskName::Key("thirty")).await.unwrap(), None);
    // Called again each does what it should.
    store.record_attempt(fresh[0].seq, attempt(&fresh[0]), Next::Delivered).await.unwrap();
    assert_eq!(claim_next(&store, id, 9).await.unwrap()[0].claim.seq, heads[0].seq);
    queue(&store, &[keyed(id, 30, "thirty"), task(id, 31)]).await.unwrap();
    assert!(matches!(store.end_task(full).await.unwrap(), Ended::Done { paid: Some(_) }));
    assert!(store.give_back(claim_one_of(&running, 2), Back::Cut).await.unwrap());
    store.delete_task(id, TaskName::Id(request(1))).await.unwrap();
    check_memory(&store, folder.path(), &[id]);
    let (given_up, attempts) = store.list_attempts(id, request(10)).await.unwrap();
    assert_eq!((given_up.unwrap().due_at, attempts.len()), (None, 2));
}

fn claim_one_of(claimed: &[crate::Claimed], number: u16) -> crate::Claim {
    claimed.iter().find(|one| one.id == request(number)).unwrap().claim
}

#[tokio::test]
async fn within_one_group_a_key_is_given_once_and_room_is_counted_exactly() {
    let folder = TempDir::new().unwrap();
    let store = open_sqlite(folder.path()).unwrap();
    let id = account(&store, 1).await.unwrap();
    queue(&store, &[task(id, 900)]).await.unwrap();
    let (release, held) = hold(&store);
    let keys = join_all((0..100).map(|number| store.submit(id, vec![keyed(id, number, "a")], 3)));
    // Its place is free within the same group.
    let deleted = store.delete_task(id, TaskName::Id(request(900)));
    let full = join_all((200..300).map(|number| store.submit(id, vec![task(id, number)], 3)));
    let (held, keys, deleted, full, ()) =
        tokio::join!(biased; held, keys, deleted, full, async { drop(release) });
    held.unwrap();
    deleted.unwrap();
    let mut winners = 0;
    for submitted in keys {
        match submitted.unwrap() {
            Submitted::Each(outcomes) => match outcomes[..] {
                [Ok(_)] => winners += 1,
                [Err(KeyTaken { id, state })] => assert_eq!((id, state), (request(0), TaskState::Queued)),
                _ => panic!("{outcomes:?}"),
            },
            full @ Submitted::Full { .. } => panic!("{full:?}"),
        }
    }
    assert_eq!(winners, 1);
    let accepted = full.into_iter().filter(|submitted| matches!(submitted, Ok(Submitted::Each(_)))).count();
    assert_eq!((accepted, store.totals()), (2, (3, 0)));
    check_memory(&store, folder.path(), &[id]);
}

#[tokio::test]
async fn an_error_of_one_frequent_job_undoes_no_other_of_its_group() {
    let folder = TempDir::new().unwrap();
    let store = open_sqlite(folder.path()).unwrap();
    // An account that is not there cannot pay.
    let (id, stray) = (account(&store, 1).await.unwrap(), AccountId::from_random(404));
    queue(&store, &[task(id, 2), hooked(id, 3, HOOK)]).await.unwrap();
    queue(&store, &[task(stray, 1)]).await.unwrap();
    let mut claimed = claim_next(&store, stray, 1).await.unwrap();
    claimed.extend(claim_next(&store, id, 2).await.unwrap());
    let (release, held) = hold(&store);
    let submits = join_all([
        store.submit(id, vec![task(id, 10), keyed(id, 11, "a")], 99),
        // An id that is taken spoils its own batch alone, its good task included.
        store.submit(id, vec![keyed(id, 12, "b"), task(id, 1)], 99),
        store.submit(id, vec![keyed(id, 13, "b"), keyed(id, 14, "a")], 99),
    ]);
    let ends = join_all(claimed.iter().map(|one| store.end_task(end(Ender::Claim(one.claim)))));
    let (held, submits, ends, charged, ()) = tokio::join!(
        biased; held, submits, ends, store.charge(charge(id, 500, 7)), async { drop(release) });
    held.unwrap();
    assert!(matches!(&submits[0], Ok(Submitted::Each(outcomes)) if outcomes.iter().all(Result::is_ok)));
    assert!(matches!(&submits[1], Err(StoreError::Conflict { what: "task" })), "{:?}", submits[1]);
    let taken = Err(KeyTaken { id: request(11), state: TaskState::Queued });
    assert!(
        matches!(&submits[2], Ok(Submitted::Each(outcomes)) if outcomes[0].is_ok() && outcomes[1] == taken)
    );
    assert!(matches!(&ends[0], Err(StoreError::Missing { what: "account" })), "{:?}", ends[0]);
    assert!(ends[1..].iter().all(|ended| matches!(ended, Ok(Ended::Done { paid: Some(_) }))), "{ends:?}");
    charged.unwrap();
    let entries = store.list_entries(id, 0, 99).await.unwrap();
    assert_eq!(entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(entries[3].balance.get(), 500 - 7 - 5 - 5);
    assert_eq!((store.totals(), store.pending()), ((3, 1), 1));
    check_memory(&store, folder.path(), &[id, stray]);
}

#[tokio::test]
async fn what_a_spoilt_attempt_at_a_group_changed_is_forgotten() {
    let folder = TempDir::new().unwrap();
    let (store, id) = in_the_middle(folder.path()).await;
    for due in take(&store, Lane::Fresh).await {
        store.record_attempt(due.seq, attempt(&due), Next::RetryAt(later(60))).await.unwrap();
    }
    // One too many with the next, of which the oldest retry is given up: once, though the group is written twice.
    let stray = AccountId::from_random(404);
    queue(&store, &[hooked(id, 20, HOOK)]).await.unwrap();
    queue(&store, &[task(stray, 21)]).await.unwrap();
    let good = claim_next(&store, id, 9).await.unwrap().pop().unwrap().claim;
    let bad = claim_one(&store, stray).await.unwrap().claim;
    let (release, held) = hold(&store);
    let (held, ended, spoilt, submitted, ()) = tokio::join!(
        biased;
        held,
        store.end_task(End { pending_max: 3, ..end(Ender::Claim(good)) }),
        store.end_task(end(Ender::Claim(bad))),
        join_all([
            store.submit(id, vec![keyed(id, 30, "a")], 3),
            store.submit(id, vec![task(id, 1)], 99),
            store.submit(id, vec![keyed(id, 31, "b")], 3),
        ]),
        async { drop(release) },
    );
    held.unwrap();
    assert!(matches!(ended, Ok(Ended::Done { paid: Some(_) })), "{ended:?}");
    assert!(matches!(spoilt, Err(StoreError::Missing { .. })), "{spoilt:?}");
    let room: Vec<_> = submitted.iter().map(|one| matches!(one, Ok(Submitted::Each(_)))).collect();
    assert_eq!(room, [true, false, true]);
    let mut given_up = Vec::new();
    for number in 10..13 {
        let state = store.list_attempts(id, request(number)).await.unwrap().0.unwrap();
        given_up.push(state.due_at.is_none());
    }
    assert_eq!(given_up, [true, false, false]);
    assert_eq!(store.pending(), 3);
}

#[tokio::test]
async fn a_claim_and_a_deletion_in_one_group_agree() {
    let folder = TempDir::new().unwrap();
    let store = open_sqlite(folder.path()).unwrap();
    let id = account(&store, 1).await.unwrap();
    for number in 0..4 {
        queue(&store, &[task(id, number), task(id, 10 + number)]).await.unwrap();
        let heads = store.heads(id, Endpoints::ALL, 2).await.unwrap();
        let (release, held) = hold(&store);
        let claim = store.claim(heads.iter().map(|head| head.seq).collect(), NOW);
        let name = TaskName::Id(request(number));
        // The deletion is handed over first, or second.
        let (claimed, deleted) = if number % 2 == 0 {
            let claim = handed_over(&store, claim).await;
            let delete = store.delete_task(id, name);
            let (held, deleted, claimed, ()) =
                tokio::join!(biased; held, delete, claim, async { drop(release) });
            held.unwrap();
            (claimed, deleted)
        } else {
            let mut delete = Box::pin(store.delete_task(id, name));
            assert!((&mut delete).now_or_never().is_none());
            let claim = handed_over(&store, claim).await;
            let (held, deleted, claimed, ()) =
                tokio::join!(biased; held, delete, claim, async { drop(release) });
            held.unwrap();
            (claimed, deleted)
        };
        let claimed: Vec<_> = claimed.unwrap().iter().map(|one| one.claim).collect();
        match deleted.unwrap() {
            crate::Deleted::Gone(_) => assert_eq!(claimed.len(), 1),
            crate::Deleted::Runs(..) => assert_eq!(claimed.len(), 2),
            ended @ crate::Deleted::Ended(_) => panic!("{ended:?}"),
        }
        assert_eq!(store.totals(), (0, claimed.len() as u64));
        check_memory(&store, folder.path(), &[id]);
        for claim in claimed {
            assert!(matches!(store.end_task(end(Ender::Claim(claim))).await.unwrap(), Ended::Done { .. }));
        }
    }
}

#[tokio::test]
async fn the_writer_puts_back_what_was_claimed_for_somebody_who_left() {
    let folder = TempDir::new().unwrap();
    let store = open_sqlite(folder.path()).unwrap();
    let id = account(&store, 1).await.unwrap();
    queue(&store, &[task(id, 1)]).await.unwrap();
    let seq = store.heads(id, Endpoints::ALL, 1).await.unwrap()[0].seq;
    let (release, held) = hold(&store);
    drop(handed_over(&store, store.claim(vec![seq], NOW)).await);
    drop(release);
    held.await.unwrap();
    // Two groups later it waits again.
    for _ in 0..2 {
        store.parts.writer.run(|_| Ok(())).await.unwrap();
    }
    assert_eq!(store.totals(), (1, 0));
    let claimed = claim_one(&store, id).await.unwrap();
    assert_eq!((claimed.attempt, claimed.cuts), (1, 0));
}

#[tokio::test]
async fn many_callers_at_once_leave_memory_and_disk_the_same() {
    let folder = TempDir::new().unwrap();
    let store = open_sqlite(folder.path()).unwrap();
    let ids = try_join_all((1..=3).map(|number| account(&store, number))).await.unwrap();
    let callers = (0..24_u64).map(async |caller| {
        let mut random = fastrand::Rng::with_seed(caller);
        for round in 0..25_u16 {
            let id = ids[random.usize(..ids.len())];
            let number = u16::try_from(caller).unwrap() * 100 + round;
            match random.u8(..10) {
                0..4 => {
                    let key = random.u8(..20).to_string();
                    let new = crate::contract::keyed(id, number, &key);
                    store.submit(id, vec![hooked(id, number + 50, HOOK), new], 30).await.unwrap();
                }
                4..7 => {
                    for one in claim_next(&store, id, random.usize(1..5)).await.unwrap() {
                        match random.u8(..4) {
                            0 => drop(store.give_back(one.claim, Back::Cut).await.unwrap()),
                            1 => drop(store.give_back(one.claim, Back::Failed(later(5))).await.unwrap()),
                            _ => drop(store.end_task(end(Ender::Claim(one.claim))).await.unwrap()),
                        }
                    }
                }
                7 => {
                    let lane = if random.bool() { Lane::Fresh } else { Lane::Retry };
                    for due in take(&store, lane).await {
                        let next = match random.u8(..3) {
                            0 => Next::Delivered,
                            1 => Next::GivenUp,
                            _ => Next::RetryAt(later(9)),
                        };
                        store.record_attempt(due.seq, attempt(&due), next).await.unwrap();
                    }
                }
                8 => drop(store.end_waits(later(5)).await.unwrap()),
                _ if round % 8 == 0 => drop(store.clear_queue(id).await.unwrap()),
                _ => drop(store.redeliver_failed(id, NOW, NOW, 3).await.unwrap()),
            }
        }
    });
    join_all(callers).await;
    store.end_waits(later(5)).await.unwrap();
    // On disk a wait has no end but its instant: let all run in both.
    store.parts.writer.run(|c| Ok(c.execute("UPDATE tasks SET not_before = NULL", [])?)).await.unwrap();
    check_memory(&store, folder.path(), &ids);
    for id in ids {
        let balance = crate::Accounts::lookup_account(&store, id).await.unwrap().unwrap().balance.total();
        let entries = store.list_entries(id, 0, 9999).await.unwrap();
        assert_eq!(entries.last().unwrap().balance, balance);
    }
}
