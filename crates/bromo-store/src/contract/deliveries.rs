//! What every backend does with deliveries and with what they are signed with.

use std::sync::Mutex;

use bromo_rules::endpoint::Endpoint;
use bromo_rules::id::AccountId;
use bromo_rules::task::TaskState;
use bromo_rules::time::Timestamp;

use super::{
    NOW, Outcome, account, claim_next, claim_one, end, hooked, later, newcomer, queue, request, task, whole,
};
use crate::{
    DeliveryAttempt, DeliveryFilter, DeliveryStage, DeliveryState, Due, End, Ender,
    LISTED_RESPONSE_BYTES_MAX, Lane, Next, SealedSecrets, Store, StoreError, TaskSeq,
};

const HOOK: &str = "https://example.com/hook?token=1";

/// Ends a new task of this number so that its webhook is due at `at`.
async fn due(store: &dyn Store, account: AccountId, number: u16, hook: &str, at: Timestamp) -> Outcome {
    queue(store, &[hooked(account, number, hook)]).await?;
    let claim = claim_one(store, account).await?.claim;
    store.end_task(End { at, charge: None, ..end(Ender::Claim(claim)) }).await?;
    Ok(())
}

async fn take(store: &dyn Store, lane: Lane, now: Timestamp) -> Result<Vec<Due>, StoreError> {
    store.take_due(lane, now, &|_, _| 99, 99).await
}

async fn take_one(store: &dyn Store, lane: Lane, now: Timestamp) -> Result<Due, StoreError> {
    take(store, lane, now).await?.pop().ok_or(StoreError::Missing { what: "due delivery" })
}

fn attempt(due: &Due, at: Timestamp) -> DeliveryAttempt {
    DeliveryAttempt {
        number: due.attempt,
        at,
        took_ms: 20,
        status: Some(500),
        error: None,
        response: b"oh".to_vec(),
    }
}

/// Takes what is due and records that each failed.
async fn fail(store: &dyn Store, lane: Lane, now: Timestamp, next: Next) -> Outcome {
    for due in take(store, lane, now).await? {
        store.record_attempt(due.seq, attempt(&due, now), next).await?;
    }
    Ok(())
}

fn numbers(taken: &[Due]) -> Vec<bromo_rules::task::TaskId> {
    taken.iter().map(|due| due.task.id).collect()
}

fn seqs(taken: &[Due]) -> Vec<TaskSeq> {
    taken.iter().map(|due| due.seq).collect()
}

const fn state(
    attempts: u32,
    delivered_at: Option<Timestamp>,
    due_at: Option<Timestamp>,
) -> Option<DeliveryState> {
    Some(DeliveryState { attempts, delivered_at, due_at })
}

/// With all that is needed to send it.
pub async fn an_end_with_a_webhook_is_due_at_once(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    assert_eq!((store.next_due().await?, store.pending()), (None, 0));
    queue(store, &[hooked(id, 1, HOOK)]).await?;
    let claim = claim_one(store, id).await?.claim;
    store.end_task(End { at: later(3), ..end(Ender::Claim(claim)) }).await?;
    assert_eq!((store.next_due().await?, store.pending()), (Some(later(3)), 1));
    let read = whole(store, id, 1).await?;
    assert_eq!(read.delivery, state(0, None, Some(later(3))));
    let due = take_one(store, Lane::Fresh, later(3)).await?;
    assert_eq!((due.seq, due.url.as_str(), due.host.as_str()), (claim.seq, HOOK, "example.com:443"));
    assert_eq!((due.attempt, due.round_attempt), (1, 1));
    assert_eq!((&due.task, Some(&due.response)), (&read.task, read.response.as_ref()));
    assert_eq!((due.task.state, due.secrets), (TaskState::Completed, None));
    assert_eq!((store.next_due().await?, store.pending()), (None, 1));
    Ok(())
}

/// Neither due nor in the way of anything.
pub async fn an_end_without_a_webhook_has_no_delivery(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    queue(store, &[task(id, 1)]).await?;
    let claim = claim_one(store, id).await?.claim;
    store.end_task(end(Ender::Claim(claim))).await?;
    assert_eq!((store.next_due().await?, store.pending()), (None, 0));
    assert_eq!(take(store, Lane::Fresh, later(9)).await?, []);
    assert_eq!(store.list_attempts(id, request(1)).await?, (None, vec![]));
    assert_eq!(store.redeliver(id, request(1), NOW).await?, None);
    Ok(())
}

/// Whoever asks meanwhile gets another or none.
pub async fn a_delivery_is_taken_once(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    for number in 0..20 {
        due(store, id, number, HOOK, NOW).await?;
    }
    let few = || store.take_due(Lane::Fresh, NOW, &|_, _| 99, 7);
    let (a, b, c, d) = tokio::join!(few(), few(), few(), few());
    let mut seen = Vec::new();
    for taken in [a?, b?, c?, d?] {
        seen.extend(numbers(&taken));
    }
    seen.sort();
    assert_eq!(seen, (0..20).map(request).collect::<Vec<_>>());
    assert_eq!(take(store, Lane::Fresh, later(99)).await?, []);
    Ok(())
}

/// Due at once, at its old place, in its old lane.
pub async fn a_delivery_that_is_put_back_is_the_same_attempt_again(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    for number in 0..3 {
        due(store, id, number, HOOK, later(number.into())).await?;
    }
    let taken = take(store, Lane::Fresh, later(9)).await?;
    store.put_back(&seqs(&taken[..2]));
    store.put_back(&seqs(&taken[..1]));
    store.put_back(&[404]);
    assert_eq!(take(store, Lane::Fresh, later(9)).await?, taken[..2]);
    store.put_back(&seqs(&taken));
    fail(store, Lane::Fresh, later(9), Next::RetryAt(later(20))).await?;
    let retries = take(store, Lane::Retry, later(20)).await?;
    assert!(retries.iter().all(|due| (due.attempt, due.round_attempt) == (2, 2)));
    store.put_back(&seqs(&retries));
    assert_eq!(take(store, Lane::Fresh, later(20)).await?, []);
    assert_eq!(store.next_due().await?, Some(later(20)));
    assert_eq!(take(store, Lane::Retry, later(20)).await?, retries);
    Ok(())
}

/// A host with many does not hold up one with few.
pub async fn hosts_take_turns_and_each_is_oldest_first(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    for number in 0..6 {
        due(store, id, number, "https://many.example/", NOW).await?;
    }
    due(store, id, 10, "https://few.example/", NOW).await?;
    due(store, id, 11, "https://few.example/other", NOW).await?;
    due(store, id, 12, "https://few.example:8443/", NOW).await?;
    // Which host is first is not said.
    let mut taken = numbers(&store.take_due(Lane::Fresh, NOW, &|_, _| 99, 5).await?);
    taken.sort();
    assert_eq!(taken, [0, 1, 10, 11, 12].map(request));
    // Who was served goes to the end.
    due(store, id, 13, "https://few.example/", NOW).await?;
    let mut last = numbers(&store.take_due(Lane::Fresh, NOW, &|_, _| 99, 2).await?);
    last.sort();
    assert_eq!(last, [2, 13].map(request));
    assert_eq!(numbers(&take(store, Lane::Fresh, NOW).await?), [3, 4, 5].map(request));
    Ok(())
}

/// And each is asked once a call.
pub async fn a_host_gets_no_more_than_it_has_room_for(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    for number in 0..4 {
        due(store, id, number, "https://full.example/", NOW).await?;
        due(store, id, 10 + number, "https://free.example/", NOW).await?;
        due(store, id, 20 + number, "https://shut.example/", NOW).await?;
    }
    let asked = Mutex::new(Vec::new());
    let room = |_: AccountId, host: &str| {
        asked.lock().expect("nobody panics in there").push(host.to_owned());
        match host {
            "full.example:443" => 2,
            "free.example:443" => 9,
            _ => 0,
        }
    };
    let taken = store.take_due(Lane::Fresh, NOW, &room, 99).await?;
    let mut seen = numbers(&taken);
    seen.sort();
    assert_eq!(seen, [0, 1, 10, 11, 12, 13].map(request));
    let mut asked = asked.into_inner().expect("nobody panics in there");
    asked.sort();
    assert_eq!(asked, ["free.example:443", "full.example:443", "shut.example:443"]);
    assert_eq!(store.next_due().await?, Some(NOW));
    Ok(())
}

/// However many of them are due.
pub async fn retries_have_a_lane_of_their_own(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    for number in 0..5 {
        due(store, id, number, HOOK, NOW).await?;
    }
    fail(store, Lane::Fresh, NOW, Next::RetryAt(later(10))).await?;
    due(store, id, 9, HOOK, later(20)).await?;
    let fresh = store.take_due(Lane::Fresh, later(20), &|_, _| 99, 1).await?;
    assert_eq!(numbers(&fresh), [request(9)]);
    assert_eq!(take(store, Lane::Retry, later(20)).await?.len(), 5);
    Ok(())
}

/// Not before, and the store says when that is.
pub async fn a_retry_is_due_at_its_time(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    for (number, at_ms) in [(0, 300), (1, 100), (2, 200)] {
        due(store, id, number, HOOK, NOW).await?;
        fail(store, Lane::Fresh, NOW, Next::RetryAt(later(at_ms))).await?;
    }
    assert_eq!(store.next_due().await?, Some(later(100)));
    assert_eq!(take(store, Lane::Retry, later(99)).await?, []);
    assert_eq!(numbers(&take(store, Lane::Retry, later(250)).await?), [1, 2].map(request));
    assert_eq!(store.next_due().await?, Some(later(300)));
    assert_eq!(numbers(&take(store, Lane::Retry, later(300)).await?), [request(0)]);
    assert_eq!((store.next_due().await?, store.pending()), (None, 3));
    Ok(())
}

/// With the state that follows.
pub async fn each_outcome_of_an_attempt_is_written(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    due(store, id, 1, HOOK, NOW).await?;
    let first = take_one(store, Lane::Fresh, NOW).await?;
    let refused = DeliveryAttempt {
        status: None,
        error: Some("connection refused".to_owned()),
        response: Vec::new(),
        ..attempt(&first, NOW)
    };
    store.record_attempt(first.seq, refused.clone(), Next::RetryAt(later(100))).await?;
    assert_eq!(whole(store, id, 1).await?.delivery, state(1, None, Some(later(100))));
    let second = take_one(store, Lane::Retry, later(100)).await?;
    let taken = DeliveryAttempt { status: Some(204), ..attempt(&second, later(105)) };
    store.record_attempt(second.seq, taken.clone(), Next::Delivered).await?;
    let delivered = state(2, Some(later(125)), None);
    assert_eq!(whole(store, id, 1).await?.delivery, delivered);
    assert_eq!(store.list_attempts(id, request(1)).await?, (delivered, vec![refused, taken]));
    due(store, id, 2, HOOK, NOW).await?;
    fail(store, Lane::Fresh, NOW, Next::GivenUp).await?;
    assert_eq!(whole(store, id, 2).await?.delivery, state(1, None, None));
    assert_eq!((store.pending(), store.next_due().await?), (0, None));
    Ok(())
}

/// A caller that did not hear of the first call calls again.
pub async fn an_attempt_is_recorded_once(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    due(store, id, 1, HOOK, NOW).await?;
    let first = take_one(store, Lane::Fresh, NOW).await?;
    for at_ms in [10, 10, 99] {
        store.record_attempt(first.seq, attempt(&first, NOW), Next::RetryAt(later(at_ms))).await?;
    }
    let (delivery, attempts) = store.list_attempts(id, request(1)).await?;
    assert_eq!((delivery, attempts.len()), (state(1, None, Some(later(10))), 1));
    let second = take_one(store, Lane::Retry, later(10)).await?;
    assert_eq!((second.attempt, second.round_attempt), (2, 2));
    // Nor does the repeated call give back what was taken since.
    store.record_attempt(first.seq, attempt(&first, NOW), Next::RetryAt(later(10))).await?;
    assert_eq!(take(store, Lane::Retry, later(99)).await?, []);
    Ok(())
}

/// And does not harm those beside it.
pub async fn an_attempt_at_nothing_is_missing(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    due(store, id, 1, HOOK, NOW).await?;
    let due = take_one(store, Lane::Fresh, NOW).await?;
    let (missing, good) = tokio::join!(
        store.record_attempt(404, attempt(&due, NOW), Next::GivenUp),
        store.record_attempt(due.seq, attempt(&due, NOW), Next::GivenUp),
    );
    assert!(matches!(missing, Err(StoreError::Missing { .. })), "{missing:?}");
    good
}

/// Whatever became of it. Attempts count on, the round begins again, the first delivery is remembered.
pub async fn a_delivery_can_be_made_again(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    due(store, id, 1, HOOK, NOW).await?;
    let first = take_one(store, Lane::Fresh, NOW).await?;
    store.record_attempt(first.seq, attempt(&first, NOW), Next::Delivered).await?;
    let delivered_at = Some(later(20));
    let again = store.redeliver(id, request(1), later(50)).await?;
    assert_eq!(again, state(1, delivered_at, Some(later(50))));
    assert_eq!((whole(store, id, 1).await?.delivery, store.pending()), (again, 1));
    let second = take_one(store, Lane::Retry, later(50)).await?;
    assert_eq!((second.attempt, second.round_attempt), (2, 1));
    store.record_attempt(second.seq, attempt(&second, later(50)), Next::RetryAt(later(500))).await?;
    // Once more while it waits for its retry.
    let again = store.redeliver(id, request(1), later(60)).await?;
    assert_eq!(again, state(2, delivered_at, Some(later(60))));
    assert_eq!(store.next_due().await?, Some(later(60)));
    let third = take_one(store, Lane::Retry, later(60)).await?;
    assert_eq!((third.attempt, third.round_attempt), (3, 1));
    store.record_attempt(third.seq, attempt(&third, later(60)), Next::Delivered).await?;
    let (delivery, attempts) = store.list_attempts(id, request(1)).await?;
    assert_eq!((delivery, attempts.len()), (state(3, delivered_at, None), 3));
    assert_eq!(store.pending(), 0);
    Ok(())
}

/// Otherwise it would be sent twice at once.
pub async fn a_delivery_that_is_being_sent_is_not_made_again(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    due(store, id, 1, HOOK, NOW).await?;
    let taken = take_one(store, Lane::Fresh, NOW).await?;
    assert_eq!(store.redeliver(id, request(1), later(5)).await?, state(0, None, Some(NOW)));
    for lane in [Lane::Fresh, Lane::Retry] {
        assert_eq!(take(store, lane, later(9)).await?, []);
    }
    store.record_attempt(taken.seq, attempt(&taken, NOW), Next::RetryAt(later(30))).await?;
    assert_eq!(whole(store, id, 1).await?.delivery, state(1, None, Some(later(30))));
    Ok(())
}

/// Only those of the account, only from then on, no more than asked for.
pub async fn given_up_deliveries_are_made_again_together(store: &dyn Store) -> Outcome {
    let (id, other) = (account(store, 1).await?, account(store, 2).await?);
    for number in 0..6 {
        due(store, id, number, HOOK, later(number.into())).await?;
    }
    due(store, other, 50, HOOK, NOW).await?;
    fail(store, Lane::Fresh, later(9), Next::GivenUp).await?;
    due(store, id, 7, HOOK, later(10)).await?;
    fail(store, Lane::Fresh, later(10), Next::Delivered).await?;
    due(store, id, 8, HOOK, later(10)).await?;
    fail(store, Lane::Fresh, later(10), Next::RetryAt(later(900))).await?;
    assert_eq!(store.redeliver_failed(id, later(2), later(100), 3).await?, 3);
    let taken = take(store, Lane::Retry, later(100)).await?;
    assert_eq!(numbers(&taken), [2, 3, 4].map(request));
    assert!(taken.iter().all(|due| (due.attempt, due.round_attempt) == (2, 1)));
    assert_eq!(store.redeliver_failed(id, later(2), later(100), 9).await?, 1);
    assert_eq!(store.redeliver_failed(id, later(2), later(100), 9).await?, 0);
    assert_eq!(numbers(&take(store, Lane::Retry, later(100)).await?), [request(5)]);
    assert_eq!(whole(store, other, 50).await?.delivery, state(1, None, None));
    Ok(())
}

/// Recorded as such.
pub async fn past_the_bound_the_oldest_retry_is_given_up(store: &dyn Store) -> Outcome {
    let (id, other) = (account(store, 1).await?, account(store, 2).await?);
    due(store, other, 50, HOOK, NOW).await?;
    for number in 0..3 {
        due(store, id, number, HOOK, NOW).await?;
    }
    fail(store, Lane::Fresh, NOW, Next::RetryAt(later(900))).await?;
    queue(store, &(10..12).map(|number| hooked(id, number, HOOK)).collect::<Vec<_>>()).await?;
    let claimed = claim_next(store, id, 2).await?;
    let ends = claimed
        .iter()
        .map(|one| store.end_task(End { pending_max: 3, at: later(40), ..end(Ender::Claim(one.claim)) }));
    futures_util::future::try_join_all(ends).await?;
    for (number, given_up) in [(0, true), (1, true), (2, false)] {
        let (delivery, attempts) = store.list_attempts(id, request(number)).await?;
        if given_up {
            assert_eq!((delivery, attempts.len()), (state(2, None, None), 2));
            assert_eq!((attempts[1].number, attempts[1].at, attempts[1].status), (2, later(40), None));
            assert_eq!(attempts[1].error.as_deref(), Some("gave up: too many deliveries pending"));
        } else {
            assert_eq!((delivery, attempts.len()), (state(1, None, Some(later(900))), 1));
        }
    }
    assert_eq!(whole(store, other, 50).await?.delivery, state(1, None, Some(later(900))));
    assert_eq!(store.pending(), 4);
    assert_eq!(store.redeliver_failed(id, NOW, later(50), 9).await?, 2);
    Ok(())
}

/// Better too many than one that is lost while it is sent.
pub async fn fresh_and_taken_deliveries_are_never_given_up_for_room(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    due(store, id, 1, HOOK, NOW).await?;
    fail(store, Lane::Fresh, NOW, Next::RetryAt(later(10))).await?;
    let sent = take_one(store, Lane::Retry, later(10)).await?;
    for number in 2..5 {
        queue(store, &[hooked(id, number, HOOK)]).await?;
        let claim = claim_one(store, id).await?.claim;
        store.end_task(End { pending_max: 1, ..end(Ender::Claim(claim)) }).await?;
    }
    assert_eq!(store.pending(), 4);
    store.record_attempt(sent.seq, attempt(&sent, later(10)), Next::Delivered).await?;
    assert_eq!(whole(store, id, 1).await?.delivery, state(2, Some(later(30)), None));
    assert_eq!(take(store, Lane::Fresh, later(10)).await?.len(), 3);
    Ok(())
}

/// As if there were none.
pub async fn attempts_of_unknown_and_foreign_tasks_are_missing(store: &dyn Store) -> Outcome {
    let (id, other) = (account(store, 1).await?, account(store, 2).await?);
    due(store, id, 1, HOOK, NOW).await?;
    for (account, number) in [(other, 1), (id, 2)] {
        let listed = store.list_attempts(account, request(number)).await;
        assert!(matches!(listed, Err(StoreError::Missing { what: "task" })), "{listed:?}");
        let again = store.redeliver(account, request(number), NOW).await;
        assert!(matches!(again, Err(StoreError::Missing { what: "task" })), "{again:?}");
    }
    // A task that has not ended has none.
    queue(store, &[hooked(id, 3, HOOK)]).await?;
    assert_eq!(store.list_attempts(id, request(3)).await?, (None, vec![]));
    assert_eq!(store.redeliver(id, request(3), NOW).await?, None);
    Ok(())
}

/// One page after the other, with the last attempt of each.
pub async fn deliveries_are_listed_newest_first_page_by_page(store: &dyn Store) -> Outcome {
    let (id, other) = (account(store, 1).await?, account(store, 2).await?);
    for number in 0..20 {
        due(store, id, number, HOOK, later(number.into())).await?;
        due(store, other, 100 + number, HOOK, NOW).await?;
    }
    queue(store, &[task(id, 50), hooked(id, 51, HOOK)]).await?;
    let fresh = store.list_deliveries(id, DeliveryFilter::default(), None, 1).await?.deliveries;
    assert_eq!((fresh[0].task, fresh[0].stage), (request(19), DeliveryStage::Pending));
    assert_eq!((Some(fresh[0].state), &fresh[0].last), (state(0, None, Some(later(19))), &None));
    let first = take(store, Lane::Fresh, later(99)).await?.remove(0);
    let long = DeliveryAttempt { response: vec![b'x'; 2048], ..attempt(&first, later(99)) };
    store.record_attempt(first.seq, long.clone(), Next::RetryAt(later(500))).await?;
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let page = store.list_deliveries(id, DeliveryFilter::default(), before, 3).await?;
        assert!(page.deliveries.len() <= 3);
        seen.extend(page.deliveries);
        before = page.more;
        if before.is_none() {
            break;
        }
    }
    let tasks: Vec<_> = seen.iter().map(|listed| listed.task).collect();
    assert_eq!(tasks, (0..20).rev().map(request).collect::<Vec<_>>());
    assert!(seen.iter().all(|listed| listed.url == HOOK && listed.endpoint == Endpoint::Chatgpt));
    if let Some(listed) = seen.iter().find(|listed| listed.task == first.task.id) {
        let kept = DeliveryAttempt { response: vec![b'x'; LISTED_RESPONSE_BYTES_MAX], ..long };
        assert_eq!((Some(listed.state), &listed.last), (state(1, None, Some(later(500))), &Some(kept)));
    }
    Ok(())
}

/// By what became of them and by host.
pub async fn a_list_of_deliveries_has_what_its_filter_says(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    let hooks = ["https://a.example/", "https://a.example:8443/", "https://a.example.com/"];
    for (number, next) in [(0, Next::Delivered), (1, Next::GivenUp), (2, Next::RetryAt(later(900)))] {
        due(store, id, number, hooks[usize::from(number)], later(number.into())).await?;
        let taken = take_one(store, Lane::Fresh, later(9)).await?;
        let silent = DeliveryAttempt { response: Vec::new(), ..attempt(&taken, later(9)) };
        store.record_attempt(taken.seq, silent, next).await?;
    }
    let list = async |stage: Option<DeliveryStage>, host: &str| {
        let host = (!host.is_empty()).then(|| host.to_owned());
        let page = store.list_deliveries(id, DeliveryFilter { stage, host }, None, 9).await?;
        assert_eq!(page.more, None);
        Ok::<_, StoreError>(page.deliveries.into_iter().map(|listed| listed.task).collect::<Vec<_>>())
    };
    for (number, stage) in
        [(0, DeliveryStage::Delivered), (1, DeliveryStage::GivenUp), (2, DeliveryStage::Pending)]
    {
        assert_eq!(list(Some(stage), "").await?, [request(number)]);
    }
    assert_eq!(list(None, "a.example").await?, [1, 0].map(request));
    assert_eq!(list(None, "a.example:8443").await?, [request(1)]);
    assert_eq!(list(Some(DeliveryStage::Pending), "a.example").await?, []);
    Ok(())
}

/// Those that a redelivery of all would make due.
pub async fn failed_deliveries_are_counted_up_to_a_bound(store: &dyn Store) -> Outcome {
    let (id, other) = (account(store, 1).await?, account(store, 2).await?);
    for number in 0..5 {
        due(store, id, number, HOOK, later(number.into())).await?;
    }
    due(store, other, 50, HOOK, NOW).await?;
    fail(store, Lane::Fresh, later(9), Next::GivenUp).await?;
    due(store, id, 9, HOOK, later(10)).await?;
    assert_eq!(store.count_failed(id, later(2), 99).await?, 3);
    assert_eq!(store.count_failed(id, NOW, 4).await?, 4);
    assert_eq!(store.redeliver_failed(id, later(2), later(99), 99).await?, 3);
    assert_eq!(store.count_failed(id, later(2), 99).await?, 0);
    Ok(())
}

/// In the order in which they were asked for.
pub async fn states_of_deliveries_are_read_together(store: &dyn Store) -> Outcome {
    let (id, other) = (account(store, 1).await?, account(store, 2).await?);
    due(store, id, 1, HOOK, NOW).await?;
    fail(store, Lane::Fresh, NOW, Next::GivenUp).await?;
    due(store, id, 2, HOOK, NOW).await?;
    due(store, other, 3, HOOK, NOW).await?;
    let states = store.delivery_states(id, vec![request(2), request(3), request(4), request(1)]).await?;
    let pending = state(0, None, Some(NOW)).map(|state| (DeliveryStage::Pending, state));
    let given_up = state(1, None, None).map(|state| (DeliveryStage::GivenUp, state));
    assert_eq!(states, [pending, None, None, given_up]);
    Ok(())
}

fn secrets(current: &[u8], previous: Option<(&[u8], Timestamp)>) -> SealedSecrets {
    SealedSecrets {
        current: current.to_vec(),
        previous: previous.map(|(secret, until)| (secret.to_vec(), until)),
    }
}

/// One transaction.
pub async fn secrets_are_written_with_their_account(store: &dyn Store) -> Outcome {
    let (new, opening, key) = newcomer(1);
    let sealed = secrets(b"one", None);
    for _ in 0..2 {
        store.create_account(&new, &opening, Some(&key), Some(&sealed), None).await?;
        assert_eq!(store.lookup_secrets(new.id).await?.as_ref(), Some(&sealed));
    }
    let other = account(store, 2).await?;
    assert_eq!(store.lookup_secrets(other).await?, None);
    Ok(())
}

/// None disables signing; an unknown account has none to replace.
pub async fn secrets_are_replaced_and_removed(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    let all = [
        Some(secrets(b"one", None)),
        Some(secrets(b"two", Some((b"one", later(86_400_000))))),
        Some(secrets(b"three", None)),
        None,
        None,
    ];
    for sealed in all {
        store.put_secrets(id, sealed.clone()).await?;
        assert_eq!(store.lookup_secrets(id).await?, sealed);
    }
    let unknown = AccountId::from_random(9);
    for sealed in [Some(secrets(b"one", None)), None] {
        let missing = store.put_secrets(unknown, sealed).await;
        assert!(matches!(missing, Err(StoreError::Missing { what: "account" })), "{missing:?}");
    }
    assert_eq!(store.lookup_secrets(unknown).await?, None);
    Ok(())
}

/// Those of its own account.
pub async fn a_delivery_comes_with_the_secrets_in_force(store: &dyn Store) -> Outcome {
    let (id, other) = (account(store, 1).await?, account(store, 2).await?);
    store.put_secrets(other, Some(secrets(b"other", None))).await?;
    due(store, id, 1, HOOK, NOW).await?;
    let all = [Some(secrets(b"two", Some((b"one", later(5))))), None, Some(secrets(b"three", None))];
    for sealed in all {
        store.put_secrets(id, sealed.clone()).await?;
        let due = take_one(store, Lane::Fresh, NOW).await?;
        assert_eq!(due.secrets, sealed);
        store.put_back(&[due.seq]);
    }
    Ok(())
}
