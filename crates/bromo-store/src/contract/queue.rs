//! What every backend does with many tasks: order, keys, room.

use bromo_rules::endpoint::Endpoint;
use bromo_rules::id::AccountId;
use bromo_rules::task::{NewTask, Priority, TaskId, TaskState};
use futures_util::future::join_all;

use super::{NOW, Outcome, account, claim_next, claim_one, end, keyed, later, queue, request, task, whole};
use crate::{Accepted, Back, End, Ender, Endpoints, KeyTaken, Store, StoreError, Submitted, TaskName};

fn of_priority(account: AccountId, number: u16, priority: i64) -> NewTask {
    NewTask { priority: Priority::new(priority).expect("a priority"), ..task(account, number) }
}

/// Claims one after the other until none is left.
async fn drain(store: &dyn Store, account: AccountId) -> Result<Vec<TaskId>, StoreError> {
    let mut order = Vec::new();
    while let Some(one) = claim_next(store, account, 1).await?.pop() {
        order.push(one.id);
    }
    Ok(order)
}

fn outcomes(submitted: Submitted) -> Vec<Result<Accepted, KeyTaken>> {
    match submitted {
        Submitted::Each(outcomes) => outcomes,
        full @ Submitted::Full { .. } => panic!("{full:?}"),
    }
}

/// Over all endpoints.
pub async fn higher_priority_goes_first_then_first_in_first_out(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    let submitted = [(1, 1), (2, 10), (3, 5), (4, 10), (5, 1), (6, 5), (7, 9)];
    for ((number, priority), endpoint) in submitted.into_iter().zip(Endpoint::ALL) {
        queue(store, &[NewTask { endpoint, ..of_priority(id, number, priority) }]).await?;
    }
    let heads = store.heads(id, Endpoints::ALL, 3).await?;
    assert_eq!(heads.len(), 3);
    assert_eq!(drain(store, id).await?, [2, 4, 7, 3, 6, 1, 5].map(request));
    Ok(())
}

/// A batch comes in its own order.
pub async fn tasks_of_one_batch_stay_in_their_order(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    let numbers: Vec<u16> = (0..300).map(|number| number * 7 % 300).collect();
    queue(store, &numbers.iter().map(|number| task(id, *number)).collect::<Vec<_>>()).await?;
    let claimed = claim_next(store, id, 300).await?;
    let seen: Vec<_> = claimed.iter().map(|one| one.id).collect();
    assert_eq!(seen, numbers.into_iter().map(request).collect::<Vec<_>>());
    Ok(())
}

/// The others go past them.
pub async fn an_endpoint_that_is_not_asked_for_holds_up_its_own_tasks_alone(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    for number in 0..6 {
        let endpoint = if number % 2 == 0 { Endpoint::Grok } else { Endpoint::Google };
        queue(store, &[NewTask { endpoint, ..of_priority(id, number, 10 - i64::from(number)) }]).await?;
    }
    let heads = store.heads(id, Endpoints::ALL.without(Endpoint::Grok), 9).await?;
    assert!(heads.len() == 3 && heads.iter().all(|head| head.endpoint == Endpoint::Google), "{heads:?}");
    assert!(heads.is_sorted_by_key(|head| head.seq));
    let none = Endpoint::ALL.into_iter().fold(Endpoints::ALL, Endpoints::without);
    assert_eq!(store.heads(id, none, 9).await?, []);
    assert_eq!(store.heads(id, Endpoints::ALL, 0).await?, []);
    assert_eq!(drain(store, id).await?, [0, 1, 2, 3, 4, 5].map(request));
    Ok(())
}

/// Each with its own count; one that has nothing is there all the same.
pub async fn a_look_at_many_accounts_gives_each_its_own_in_the_order_asked(store: &dyn Store) -> Outcome {
    let (one, two, nobody) = (account(store, 1).await?, account(store, 2).await?, account(store, 3).await?);
    for number in 0..4 {
        queue(store, &[of_priority(one, number, 1 + i64::from(number))]).await?;
        queue(store, &[task(two, 10 + number)]).await?;
    }
    let heads = store.heads_of(&[(two, 9), (nobody, 9), (one, 2)], Endpoints::ALL).await?;
    let mut seen = Vec::new();
    for heads in heads {
        let seqs: Vec<_> = heads.iter().map(|head| head.seq).collect();
        let mut claimed = store.claim(seqs.clone(), NOW).await?;
        claimed.sort_by_key(|one| seqs.iter().position(|seq| *seq == one.claim.seq));
        seen.push(claimed.iter().map(|one| one.id).collect::<Vec<_>>());
    }
    assert_eq!(seen[0], [10, 11, 12, 13].map(request));
    assert_eq!(seen[1], []);
    assert_eq!(seen[2], [3, 2].map(request));
    assert_eq!(store.heads_of(&[], Endpoints::ALL).await?, Vec::<Vec<_>>::new());
    Ok(())
}

/// While it waits the next one runs.
pub async fn a_retried_task_waits_and_then_has_its_old_place(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    queue(store, &[task(id, 1), task(id, 2), task(id, 3)]).await?;
    let first = claim_one(store, id).await?;
    assert!(store.give_back(first.claim, Back::Failed(later(50))).await?);
    let read = whole(store, id, 1).await?.task;
    assert_eq!((read.state, read.attempts), (TaskState::Queued, 1));
    assert_eq!(store.depth(id).await?.queued_total(), 3);
    let second = claim_one(store, id).await?;
    assert_eq!(second.id, request(2));
    // A task that waits is not claimed, though somebody may still know its number.
    assert_eq!(store.claim(vec![first.claim.seq], later(49)).await?, []);
    assert_eq!(store.end_waits(later(49)).await?, (vec![], Some(later(50))));
    assert_eq!(store.end_waits(later(50)).await?, (vec![id], None));
    let again = claim_one(store, id).await?;
    assert_eq!((again.id, again.attempt, again.cuts), (request(1), 2, 0));
    assert_ne!(again.claim.fence, first.claim.fence);
    assert_eq!(drain(store, id).await?, [request(3)]);
    Ok(())
}

/// Each account is named once.
pub async fn waits_end_in_their_order(store: &dyn Store) -> Outcome {
    let ids = [account(store, 1).await?, account(store, 2).await?];
    for (id, number) in [(ids[0], 0), (ids[0], 1), (ids[1], 2), (ids[1], 3)] {
        queue(store, &[task(id, number)]).await?;
    }
    for (id, waits_ms) in [(ids[0], [10, 20]), (ids[1], [40, 30])] {
        for (one, wait_ms) in claim_next(store, id, 2).await?.iter().zip(waits_ms) {
            store.give_back(one.claim, Back::Failed(later(wait_ms))).await?;
        }
    }
    assert_eq!(store.accounts_waiting().await?, []);
    assert_eq!(store.end_waits(later(20)).await?, (vec![ids[0]], Some(later(30))));
    assert_eq!(store.end_waits(later(30)).await?, (vec![ids[1]], Some(later(40))));
    assert_eq!(drain(store, ids[1]).await?, [request(3)]);
    assert_eq!(drain(store, ids[0]).await?, [request(0), request(1)]);
    assert_eq!(store.end_waits(later(99)).await?, (vec![ids[1]], None));
    Ok(())
}

/// Whatever else differs. The answer names that task and its state.
pub async fn an_idempotency_key_belongs_to_one_task(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    let key = "k".repeat(255);
    queue(store, &[keyed(id, 1, &key)]).await?;
    let again = NewTask { endpoint: Endpoint::Grok, ..keyed(id, 2, &key) };
    let taken = async |state| {
        let answer = outcomes(store.submit(id, vec![again.clone()], 9).await?);
        assert_eq!(answer, [Err(KeyTaken { id: request(1), state })]);
        Ok::<_, StoreError>(())
    };
    taken(TaskState::Queued).await?;
    let claim = claim_one(store, id).await?.claim;
    taken(TaskState::Processing).await?;
    store.end_task(end(Ender::Claim(claim))).await?;
    taken(TaskState::Completed).await?;
    assert_eq!(store.lookup_task(id, TaskName::Id(request(2))).await?, None);
    // One that is nearly the same, and none at all, are no problem.
    queue(store, &[keyed(id, 3, &key[1..]), task(id, 4), task(id, 5)]).await?;
    Ok(())
}

/// Exactly one is accepted, and all others hear of it.
pub async fn an_idempotency_key_is_given_once_however_many_ask_together(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    let answers = join_all((0..100).map(|number| store.submit(id, vec![keyed(id, number, "a")], 999))).await;
    let mut winners = Vec::new();
    let mut named = Vec::new();
    for (answer, number) in answers.into_iter().zip(0..) {
        match outcomes(answer?).remove(0) {
            Ok(_) => winners.push(request(number)),
            Err(taken) => named.push(taken),
        }
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(named, vec![KeyTaken { id: winners[0], state: TaskState::Queued }; 99]);
    assert_eq!(store.totals(), (1, 0));
    Ok(())
}

/// The others of the batch are accepted.
pub async fn a_key_twice_in_a_batch_fails_the_later_one(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    let batch = vec![keyed(id, 1, "a"), keyed(id, 2, "b"), keyed(id, 3, "a"), task(id, 4)];
    let answers = outcomes(store.submit(id, batch, 9).await?);
    let taken = Err(KeyTaken { id: request(1), state: TaskState::Queued });
    let accepted = |ahead_max| Ok(Accepted { ahead_max });
    assert_eq!(answers, [accepted(0), accepted(1), taken, accepted(2)]);
    assert_eq!(drain(store, id).await?, [1, 2, 4].map(request));
    Ok(())
}

/// Keys are an account's own.
pub async fn the_same_key_in_two_accounts_is_two_keys(store: &dyn Store) -> Outcome {
    let (id, other) = (account(store, 1).await?, account(store, 2).await?);
    queue(store, &[keyed(id, 1, "a")]).await?;
    queue(store, &[keyed(other, 2, "a")]).await?;
    for (account, number) in [(id, 1), (other, 2)] {
        let found = store.lookup_task(account, TaskName::Key("a")).await?;
        assert_eq!(found.map(|found| found.task.id), Some(request(number)));
    }
    Ok(())
}

/// Deleted, cleared or expired; a failed task keeps its key.
pub async fn a_key_is_free_again_when_its_task_is_gone_and_not_before(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    queue(store, &[keyed(id, 1, "a")]).await?;
    store.delete_task(id, TaskName::Key("a")).await?;
    queue(store, &[keyed(id, 2, "a")]).await?;
    store.clear_queue(id).await?;
    queue(store, &[keyed(id, 3, "a")]).await?;
    let claim = claim_one(store, id).await?.claim;
    store.end_task(End { charge: None, ..end(Ender::Claim(claim)) }).await?;
    let answer = outcomes(store.submit(id, vec![keyed(id, 4, "a")], 9).await?);
    assert_eq!(answer, [Err(KeyTaken { id: request(3), state: TaskState::Failed })]);
    store.expire_tasks(later(1000), 1000, 9).await?;
    queue(store, &[keyed(id, 5, "a")]).await?;
    let found = store.lookup_task(id, TaskName::Key("a")).await?;
    assert_eq!(found.map(|found| found.task.id), Some(request(5)));
    Ok(())
}

/// Keys are not even looked at.
pub async fn a_full_queue_takes_all_or_none(store: &dyn Store) -> Outcome {
    let (id, other) = (account(store, 1).await?, account(store, 2).await?);
    queue(store, &[task(other, 90), task(other, 91)]).await?;
    queue(store, &[keyed(id, 1, "a"), task(id, 2)]).await?;
    let batch = || (3..6).map(|number| task(id, number)).collect::<Vec<_>>();
    assert_eq!(store.submit(id, batch(), 4).await?, Submitted::Full { queued: 2 });
    assert_eq!(store.submit(id, vec![keyed(id, 9, "a")], 2).await?, Submitted::Full { queued: 2 });
    assert_eq!(store.depth(id).await?.queued_total(), 2);
    assert_eq!(outcomes(store.submit(id, batch(), 5).await?).len(), 3);
    assert_eq!(store.depth(id).await?.queued_total(), 5);
    Ok(())
}

/// Not one more than the bound.
pub async fn room_is_counted_exactly_however_many_ask_together(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    let answers = join_all((0..60).map(|number| {
        let batch = vec![task(id, number * 3), task(id, number * 3 + 1), task(id, number * 3 + 2)];
        store.submit(id, batch, 100)
    }))
    .await;
    let mut accepted = 0;
    for answer in answers {
        match answer? {
            Submitted::Each(outcomes) => accepted += outcomes.len(),
            Submitted::Full { queued } => assert_eq!(queued, 99),
        }
    }
    assert_eq!((accepted, store.depth(id).await?.queued_total(), store.totals()), (99, 99, (99, 0)));
    Ok(())
}

/// And one that is put back takes its place again, even past the bound.
pub async fn a_claimed_task_makes_room(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    queue(store, &[task(id, 1), task(id, 2)]).await?;
    assert_eq!(store.submit(id, vec![task(id, 3)], 2).await?, Submitted::Full { queued: 2 });
    let claim = claim_one(store, id).await?.claim;
    assert_eq!(outcomes(store.submit(id, vec![task(id, 3)], 2).await?).len(), 1);
    assert!(store.give_back(claim, Back::Cut).await?);
    assert_eq!(store.submit(id, vec![task(id, 4)], 2).await?, Submitted::Full { queued: 3 });
    Ok(())
}

/// By priority, over all accounts too.
pub async fn depth_counts_what_waits_and_what_runs(store: &dyn Store) -> Outcome {
    let (id, other) = (account(store, 1).await?, account(store, 2).await?);
    for (number, priority) in [(1, 10), (2, 1), (3, 1), (4, 4), (5, 10)] {
        queue(store, &[of_priority(id, number, priority)]).await?;
    }
    queue(store, &[task(other, 9)]).await?;
    let claimed = claim_next(store, id, 2).await?;
    let depth = store.depth(id).await?;
    assert_eq!((depth.queued, depth.processing), ([2, 0, 0, 1, 0, 0, 0, 0, 0, 0], 2));
    assert_eq!(store.totals(), (4, 2));
    store.end_task(end(Ender::Claim(claimed[0].claim))).await?;
    store.give_back(claimed[1].claim, Back::Failed(later(9))).await?;
    let depth = store.depth(id).await?;
    assert_eq!((depth.queued, depth.processing), ([2, 0, 0, 1, 0, 0, 0, 0, 0, 1], 0));
    assert_eq!((store.totals(), store.recovered()), ((5, 0), 0));
    assert_eq!(store.depth(AccountId::from_random(9)).await?.queued_total(), 0);
    Ok(())
}

/// Those whose tasks all run or wait for later are not.
pub async fn accounts_with_something_to_run_are_waiting(store: &dyn Store) -> Outcome {
    let ids = [account(store, 1).await?, account(store, 2).await?, account(store, 3).await?];
    assert_eq!(store.accounts_waiting().await?, []);
    for (number, id) in ids.into_iter().enumerate() {
        queue(store, &[task(id, u16::try_from(number).unwrap_or(0))]).await?;
    }
    claim_one(store, ids[0]).await?;
    let claim = claim_one(store, ids[1]).await?.claim;
    store.give_back(claim, Back::Failed(later(5))).await?;
    assert_eq!(store.accounts_waiting().await?, [ids[2]]);
    store.end_waits(later(5)).await?;
    let mut waiting = store.accounts_waiting().await?;
    waiting.sort();
    let mut expected = [ids[1], ids[2]];
    expected.sort();
    assert_eq!(waiting, expected);
    Ok(())
}

/// When it is accepted and whenever it is looked at.
pub async fn at_most_so_many_stand_before_a_task(store: &dyn Store) -> Outcome {
    let (id, other) = (account(store, 1).await?, account(store, 2).await?);
    let mut order: Vec<(i64, u16)> = Vec::new();
    for number in 0..120 {
        let priority = i64::from(number * 7 % 10) + 1;
        let before = order.iter().filter(|(other, _)| *other >= priority).count() as u64;
        let answer = outcomes(store.submit(id, vec![of_priority(id, number, priority)], 999).await?);
        assert!(answer[0].is_ok_and(|accepted| accepted.ahead_max >= before));
        order.push((priority, number));
        queue(store, &[task(other, 1000 + number)]).await?;
        if number % 4 == 0 {
            let claimed = claim_one(store, id).await?;
            order.retain(|(_, number)| request(*number) != claimed.id);
        }
    }
    order.sort_by_key(|(priority, number)| (-priority, *number));
    for (before, (_, number)) in order.iter().enumerate() {
        let ahead_max = whole(store, id, *number).await?.ahead_max.unwrap_or(0);
        assert!(ahead_max >= before as u64 && ahead_max < order.len() as u64, "{ahead_max} {before}");
    }
    assert_eq!(whole(store, id, order[0].1).await?.ahead_max, Some(0));
    Ok(())
}
