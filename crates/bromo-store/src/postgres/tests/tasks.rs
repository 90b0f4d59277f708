//! Tasks and deliveries over several nodes: two stores on one database.

use std::time::{Duration, Instant};

use bromo_rules::credit::Credits;
use bromo_rules::id::{AccountId, RequestId};
use bromo_rules::task::{NewTask, Priority, TaskState};
use bromo_rules::time::Timestamp;
use bromo_testbed::{Database, Postgres};
use futures_util::future::join_all;

use super::{PATIENCE, settings};
use crate::contract::{
    NOW, account, charge, claim_next, claim_one, end, hooked, keyed, later, newcomer, queue, request, task,
    whole,
};
use crate::postgres::counters::WRONG;
use crate::postgres::partitions::make;
use crate::postgres::{PostgresStore, open_postgres};
use crate::{
    Accounts, Back, Claimed, Deliveries, DeliveryAttempt, End, Ended, Ender, Endpoints, Lane, Ledger, Next,
    StoreError, Submitted, Tasks,
};

const HOOK: &str = "https://example.com/hook";

async fn two(database: &Database<'_>) -> (PostgresStore, PostgresStore) {
    let (one, other) = (
        open_postgres(settings(database.url(), 1)).unwrap(),
        open_postgres(settings(database.url(), 2)).unwrap(),
    );
    one.wait_ready().await.unwrap();
    other.wait_ready().await.unwrap();
    (one, other)
}

/// A node that does not renew its row in time, as one that stands still, and one that notices at once.
async fn frozen_and_watching(database: &Database<'_>) -> (PostgresStore, PostgresStore) {
    let mut lazy = settings(database.url(), 1);
    lazy.dead_after = Duration::from_secs(3600);
    let frozen = open_postgres(lazy).unwrap();
    frozen.wait_ready().await.unwrap();
    let mut hasty = settings(database.url(), 2);
    hasty.dead_after = Duration::from_millis(1500);
    let watching = open_postgres(hasty).unwrap();
    (frozen, watching)
}

async fn balance(store: &PostgresStore, id: AccountId) -> i64 {
    store.lookup_account(id).await.unwrap().unwrap().balance.total().get()
}

async fn until_recovered(store: &PostgresStore, tasks: u64) {
    let begin = Instant::now();
    while store.recovered() < tasks {
        assert!(begin.elapsed() < PATIENCE, "the dead node's tasks did not come back");
        tokio::task::yield_now().await;
        // A round trip, so that this is no busy loop.
        store.next_due().await.unwrap();
    }
}

fn outcomes(submitted: Submitted) -> usize {
    match submitted {
        Submitted::Each(outcomes) => outcomes.into_iter().filter(Result::is_ok).count(),
        Submitted::Full { .. } => 0,
    }
}

/// Counters are what the queue says, and nothing may run before its floor.
async fn counters_are_exact(store: &PostgresStore) {
    let wrong: Vec<i64> =
        store.parts.shared.query(WRONG, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(wrong, [0; 4]);
}

#[tokio::test]
async fn a_task_is_claimed_by_one_node_however_many_ask() {
    let database = Postgres::shared().database().unwrap();
    let (one, other) = two(&database).await;
    let id = account(&one, 1).await.unwrap();
    queue(&one, &(0..200).map(|number| task(id, number)).collect::<Vec<_>>()).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 200 {
        let heads = one.heads(id, Endpoints::ALL, 30).await.unwrap();
        let seqs: Vec<_> = heads.iter().map(|head| head.seq).collect();
        let asked =
            seqs.chunks(10).flat_map(|some| [&one, &other].map(|node| node.claim(some.to_vec(), NOW)));
        for claimed in join_all(asked).await {
            seen.extend(claimed.unwrap().into_iter().map(|one| one.id));
        }
    }
    seen.sort();
    assert_eq!(seen, (0..200).map(request).collect::<Vec<_>>());
    counters_are_exact(&one).await;
}

#[tokio::test]
async fn what_a_dead_node_had_goes_back_and_it_ends_and_charges_nothing_any_more() {
    let database = Postgres::shared().database().unwrap();
    let (frozen, watching) = frozen_and_watching(&database).await;
    let id = account(&frozen, 1).await.unwrap();
    queue(&frozen, &[hooked(id, 9, HOOK)]).await.unwrap();
    let done = claim_one(&frozen, id).await.unwrap().claim;
    frozen.end_task(End { charge: None, ..end(Ender::Claim(done)) }).await.unwrap();
    let sent = frozen.take_due(Lane::Fresh, later(9), &|_, _| 9, 9).await.unwrap();
    assert_eq!((sent.len(), frozen.next_due().await.unwrap()), (1, None));
    queue(&frozen, &(0..5).map(|number| task(id, number)).collect::<Vec<_>>()).await.unwrap();
    let lost = claim_next(&frozen, id, 3).await.unwrap();
    assert_eq!(lost.len(), 3);

    watching.wait_ready().await.unwrap();
    until_recovered(&watching, 3).await;
    counters_are_exact(&watching).await;
    // It wakes up, and finds that others have its work.
    for claimed in &lost {
        let ended = frozen.end_task(end(Ender::Claim(claimed.claim))).await;
        assert!(matches!(ended, Err(StoreError::Unavailable { .. })), "{ended:?}");
        let back = frozen.give_back(claimed.claim, Back::Cut).await;
        assert!(matches!(back, Err(StoreError::Unavailable { .. })), "{back:?}");
    }
    let charged = frozen.charge(charge(id, 77, 5)).await;
    assert!(matches!(charged, Err(StoreError::Unavailable { .. })), "{charged:?}");
    let claimed = frozen.claim(vec![lost[0].claim.seq], NOW).await;
    assert!(matches!(claimed, Err(StoreError::Unavailable { .. })), "{claimed:?}");
    assert_eq!(balance(&watching, id).await, 500);

    let again = claim_next(&watching, id, 9).await.unwrap();
    let seen: Vec<_> = again.iter().map(|one| (one.id, one.attempt, one.cuts)).collect();
    let expected = (0..5).map(|number| (request(number), 1, u32::from(number < 3)));
    assert_eq!(seen, expected.collect::<Vec<_>>());
    // The old claim is no good for the new attempt either.
    assert_ne!(again[0].claim, lost[0].claim);
    assert_eq!(watching.end_task(end(Ender::Claim(lost[0].claim))).await.unwrap(), Ended::Lost);
    let paid = watching.end_task(end(Ender::Claim(again[0].claim))).await.unwrap();
    assert_eq!(paid, Ended::Done { paid: Some((Credits::new(495), 2)) });
    let due = watching.take_due(Lane::Fresh, later(9), &|_, _| 9, 9).await.unwrap();
    assert_eq!(due, sent);
    counters_are_exact(&watching).await;
}

#[tokio::test]
async fn tasks_of_a_node_whose_row_was_deleted_by_hand_go_back_too() {
    let database = Postgres::shared().database().unwrap();
    let one = super::open(&database).await;
    let id = account(&one, 1).await.unwrap();
    queue(&one, &[task(id, 1)]).await.unwrap();
    let lost = claim_one(&one, id).await.unwrap().claim;
    database.execute("DELETE FROM nodes").unwrap();
    let ended = one.end_task(end(Ender::Claim(lost))).await;
    assert!(matches!(ended, Err(StoreError::Unavailable { .. })), "{ended:?}");
    // A node looks for such when it starts, this one or the next.
    let other = open_postgres(settings(database.url(), 2)).unwrap();
    other.wait_ready().await.unwrap();
    let begin = Instant::now();
    while one.recovered() + other.recovered() == 0 {
        assert!(begin.elapsed() < PATIENCE, "the task did not come back");
        other.next_due().await.unwrap();
    }
    let again = claim_one(&other, id).await.unwrap();
    assert_eq!((again.attempt, again.cuts), (1, 1));
    counters_are_exact(&other).await;
}

#[tokio::test]
async fn a_node_that_leaves_gives_back_what_it_has() {
    let database = Postgres::shared().database().unwrap();
    let (one, other) = two(&database).await;
    let id = account(&one, 1).await.unwrap();
    queue(&one, &[task(id, 1)]).await.unwrap();
    claim_one(&one, id).await.unwrap();
    assert_eq!(other.heads(id, Endpoints::ALL, 9).await.unwrap(), []);
    one.leave().await.unwrap();
    let again = claim_one(&other, id).await.unwrap();
    assert_eq!((again.attempt, again.cuts), (1, 1));
    counters_are_exact(&other).await;
}

#[tokio::test]
async fn room_is_exact_over_nodes_that_submit_at_once() {
    let database = Postgres::shared().database().unwrap();
    let (one, other) = two(&database).await;
    let id = account(&one, 1).await.unwrap();
    let submits = (0..60).map(|number| {
        let batch = vec![task(id, number * 3), task(id, number * 3 + 1), task(id, number * 3 + 2)];
        if number % 2 == 0 { one.submit(id, batch, 100) } else { other.submit(id, batch, 100) }
    });
    let accepted: usize = join_all(submits).await.into_iter().map(|answer| outcomes(answer.unwrap())).sum();
    assert_eq!((accepted, other.depth(id).await.unwrap().queued_total()), (99, 99));
    counters_are_exact(&one).await;
}

#[tokio::test]
async fn a_key_is_given_once_over_nodes_that_submit_at_once() {
    let database = Postgres::shared().database().unwrap();
    let (one, other) = two(&database).await;
    let id = account(&one, 1).await.unwrap();
    let submits = (0..100).map(|number| {
        let batch = vec![keyed(id, number, &format!("key {}", number % 7))];
        if number % 2 == 0 { one.submit(id, batch, 999) } else { other.submit(id, batch, 999) }
    });
    let accepted: usize = join_all(submits).await.into_iter().map(|answer| outcomes(answer.unwrap())).sum();
    assert_eq!((accepted, one.depth(id).await.unwrap().queued_total()), (7, 7));
}

#[tokio::test]
async fn a_task_whose_id_is_taken_fails_alone() {
    let database = Postgres::shared().database().unwrap();
    let (one, other) = two(&database).await;
    let id = account(&one, 1).await.unwrap();
    queue(&one, &[keyed(id, 1, "a")]).await.unwrap();
    let again = join_all((0..20).map(|number| other.submit(id, vec![task(id, number)], 99))).await;
    for (number, answer) in again.into_iter().enumerate() {
        if number == 1 {
            assert!(matches!(answer, Err(StoreError::Conflict { what: "task" })), "{answer:?}");
        } else {
            assert_eq!(outcomes(answer.unwrap()), 1);
        }
    }
    counters_are_exact(&one).await;
}

#[tokio::test]
async fn priority_and_order_hold_over_nodes() {
    let database = Postgres::shared().database().unwrap();
    let (one, other) = two(&database).await;
    let id = account(&one, 1).await.unwrap();
    let mut order = Vec::new();
    for number in 0..60 {
        let priority = i64::from(number * 7 % 10) + 1;
        let new = NewTask { priority: Priority::new(priority).unwrap(), ..task(id, number) };
        let node = if number % 3 == 0 { &one } else { &other };
        let before = order.iter().filter(|(other, _)| *other <= -priority).count() as u64;
        let Submitted::Each(answers) = node.submit(id, vec![new], 999).await.unwrap() else { panic!() };
        assert!(answers[0].is_ok_and(|accepted| accepted.ahead_max >= before));
        order.push((-priority, number));
    }
    order.sort_unstable();
    for (before, (_, number)) in order.iter().enumerate() {
        for node in [&one, &other] {
            let ahead = whole(node, id, *number).await.unwrap().ahead_max.unwrap();
            assert!(ahead >= before as u64 && ahead < order.len() as u64, "{ahead} {before}");
        }
    }
    for (place, (_, number)) in order.iter().enumerate() {
        let node = if place % 2 == 0 { &one } else { &other };
        assert_eq!(claim_one(node, id).await.unwrap().id, request(*number));
    }
}

#[tokio::test]
async fn an_end_made_again_hears_what_the_first_heard() {
    let database = Postgres::shared().database().unwrap();
    let (one, other) = two(&database).await;
    let id = account(&one, 1).await.unwrap();
    queue(&one, &(0..4).map(|number| task(id, number)).collect::<Vec<_>>()).await.unwrap();
    let claimed = claim_next(&one, id, 3).await.unwrap();
    let paid = End { charge: Some(Credits::new(7)), ..end(Ender::Claim(claimed[0].claim)) };
    let short = End { charge: Some(Credits::new(5000)), ..end(Ender::Claim(claimed[1].claim)) };
    let failed = End { charge: None, ..end(Ender::Claim(claimed[2].claim)) };
    let heads = one.heads(id, Endpoints::ALL, 9).await.unwrap();
    let waiting = End { charge: None, ..end(Ender::Queued(heads[0].seq)) };
    let expected = [
        (paid, Ended::Done { paid: Some((Credits::new(493), 2)) }),
        (short, Ended::Short),
        (failed, Ended::Done { paid: None }),
        (waiting, Ended::Done { paid: None }),
    ];
    for node in [&one, &one, &other] {
        for (end, ended) in &expected {
            assert_eq!(node.end_task(end.clone()).await.unwrap(), *ended);
        }
    }
    assert_eq!(balance(&one, id).await, 493);
    counters_are_exact(&one).await;
}

#[tokio::test]
async fn a_delivery_is_taken_by_one_node_and_recorded_once() {
    let database = Postgres::shared().database().unwrap();
    let (one, other) = two(&database).await;
    let id = account(&one, 1).await.unwrap();
    queue(&one, &(0..40).map(|number| hooked(id, number, HOOK)).collect::<Vec<_>>()).await.unwrap();
    let claimed = claim_next(&one, id, 40).await.unwrap();
    let ends =
        claimed.iter().map(|claimed| one.end_task(End { charge: None, ..end(Ender::Claim(claimed.claim)) }));
    join_all(ends).await.into_iter().collect::<Result<Vec<_>, _>>().unwrap();
    let takes = (0..8).map(|number| {
        let node = if number % 2 == 0 { &one } else { &other };
        node.take_due(Lane::Fresh, NOW, &|_, _| 99, 7)
    });
    let mut taken: Vec<_> = join_all(takes).await.into_iter().flat_map(Result::unwrap).collect();
    // Whoever found the others at it comes again.
    taken.extend(other.take_due(Lane::Fresh, NOW, &|_, _| 99, 99).await.unwrap());
    let mut seen: Vec<_> = taken.iter().map(|due| due.task.id).collect();
    seen.sort();
    assert_eq!(seen, (0..40).map(request).collect::<Vec<_>>());
    let attempt = DeliveryAttempt {
        number: 1,
        at: NOW,
        took_ms: 20,
        status: Some(200),
        error: Some("a\0b".to_owned()),
        response: b"o\0k".to_vec(),
    };
    let records = taken.iter().flat_map(|due| {
        [&one, &other].map(|node| node.record_attempt(due.seq, attempt.clone(), Next::Delivered))
    });
    join_all(records).await.into_iter().collect::<Result<Vec<_>, _>>().unwrap();
    let (state, attempts) = one.list_attempts(id, request(3)).await.unwrap();
    assert_eq!((state.map(|state| state.attempts), attempts), (Some(1), vec![attempt]));
    counters_are_exact(&one).await;
}

#[tokio::test]
async fn texts_may_hold_the_character_that_databases_refuse() {
    let database = Postgres::shared().database().unwrap();
    let (one, other) = two(&database).await;
    let id = account(&one, 1).await.unwrap();
    let new = NewTask { payload: "{\"prompt\":\"a\0b\"}".into(), ..keyed(id, 1, "k\0ey") };
    queue(&one, std::slice::from_ref(&new)).await.unwrap();
    let claimed = claim_one(&one, id).await.unwrap();
    assert_eq!(claimed.payload, &*new.payload);
    let response = b"\"\0\"".to_vec();
    one.end_task(End { response: response.clone(), ..end(Ender::Claim(claimed.claim)) }).await.unwrap();
    let read = other.lookup_task(id, crate::TaskName::Key("k\0ey")).await.unwrap().unwrap();
    assert_eq!((read.response, read.task.idempotency_key), (Some(response), new.idempotency_key));
    assert_eq!(read.task.state, TaskState::Completed);
}

/// Whatever two nodes do at once.
#[tokio::test]
async fn counters_and_floors_are_exact_after_everything_at_once() {
    let database = Postgres::shared().database().unwrap();
    let (one, other) = two(&database).await;
    let ids = [account(&one, 1).await.unwrap(), account(&one, 2).await.unwrap()];
    let work = [&one, &other].into_iter().enumerate().map(|(nth, node)| async move {
        let mut random = fastrand::Rng::with_seed(nth as u64);
        let first = u16::try_from(nth).unwrap() * 10_000;
        let mut running: Vec<Claimed> = Vec::new();
        for round in 0..40 {
            for (place, id) in (0..).zip(ids) {
                let tasks = (0..6).map(|number| NewTask {
                    priority: Priority::new(random.i64(1..=3)).unwrap(),
                    ..hooked(id, first + round * 20 + place * 10 + number, HOOK)
                });
                node.submit(id, tasks.collect(), 9999).await.unwrap();
                running.extend(claim_next(node, id, 8).await.unwrap());
            }
            random.shuffle(&mut running);
            for claimed in running.drain(running.len() / 3..) {
                let claim = claimed.claim;
                match random.u8(0..5) {
                    0 => assert!(node.give_back(claim, Back::Cut).await.unwrap()),
                    1 => assert!(node.give_back(claim, Back::Failed(later(round.into()))).await.unwrap()),
                    _ => assert_ne!(node.end_task(end(Ender::Claim(claim))).await.unwrap(), Ended::Lost),
                }
            }
            node.end_waits(later(i64::from(round) - 3)).await.unwrap();
            let taken = node.take_due(Lane::Fresh, later(9), &|_, _| 9, 9).await.unwrap();
            node.put_back(&taken.iter().map(|due| due.seq).take(3).collect::<Vec<_>>());
            let mut floors = node.parts.local.drained(1);
            floors.dedup();
            let raise = async move |tx: &crate::postgres::tx::Tx<'_>| {
                crate::postgres::floors::raise(tx, &floors).await
            };
            node.parts.others.run(raise).await.unwrap();
            if round % 10 == 9 {
                node.clear_queue(ids[usize::from(round / 10 % 2)]).await.unwrap();
            }
        }
    });
    join_all(work).await;
    counters_are_exact(&one).await;
    let depth = one.depth(ids[0]).await.unwrap();
    let left = one.clear_queue(ids[0]).await.unwrap();
    assert_eq!(left, depth.queued_total());
    counters_are_exact(&other).await;
}

#[tokio::test]
async fn partitions_are_made_ahead_and_dropped_when_nothing_is_left() {
    let database = Postgres::shared().database().unwrap();
    let count = async |store: &PostgresStore, wanted: i64| {
        let sql = "SELECT count(*) FROM pg_inherits WHERE inhparent IN
            ('tasks'::regclass, 'results'::regclass, 'deliveries'::regclass, 'delivery_attempts'::regclass)";
        let begin = Instant::now();
        loop {
            let count: i64 = store.parts.shared.query(sql, &[]).await.unwrap()[0].get(0);
            if count == wanted {
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "{count} partitions");
        }
    };
    // Four tables: the rest, today and two days ahead.
    let store = super::open(&database).await;
    count(&store, 16).await;
    store.leave().await.unwrap();
    drop(store);
    // The second has a task in it.
    for day in [20_000, 20_001] {
        database.execute(&format!("BEGIN; {} COMMIT", make(day))).unwrap();
    }
    let other = open_postgres(settings(database.url(), 2)).unwrap();
    let id = AccountId::from_random(1);
    let (new, opening, key) = newcomer(1);
    let at = Timestamp::from_millis(20_001 * 86_400_000 + 5);
    other.wait_ready().await.unwrap();
    other.create_account(&new, &opening, Some(&key), None, None).await.unwrap();
    let old = NewTask { id: RequestId::new(at, [1; 10]), ..task(id, 1) };
    queue(&other, &[old]).await.unwrap();
    count(&other, 20).await;
    let found: i64 =
        other.parts.shared.query("SELECT count(*) FROM tasks_20001", &[]).await.unwrap()[0].get(0);
    assert_eq!(found, 1);
}
