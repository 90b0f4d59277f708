//! What every backend does with one task: from acceptance to its end, and out.

use bromo_rules::account::EntryKind;
use bromo_rules::credit::{Credits, Price};
use bromo_rules::endpoint::Endpoint;
use bromo_rules::id::AccountId;
use bromo_rules::key::KeyKind;
use bromo_rules::task::{NewTask, Priority, TaskState};
use bromo_rules::time::Timestamp;
use futures_util::FutureExt;
use futures_util::future::join_all;

use super::{
    NOW, Outcome, account, charge, claim_next, claim_one, end, hooked, keyed, later, queue, request, task,
    whole,
};
use crate::{
    Back, Claim, Deleted, DeliveryAttempt, End, Ended, Ender, Endpoints, Lane, Next, Store, StoreError,
    TaskFilter, TaskName,
};

async fn balance(store: &dyn Store, id: AccountId) -> Result<Option<i64>, StoreError> {
    Ok(store.lookup_account(id).await?.map(|account| account.balance.total().get()))
}

/// By its id and by its key.
pub async fn a_task_reads_back_as_it_was_handed_in(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    let new = NewTask {
        kind: KeyKind::Test,
        endpoint: Endpoint::GoogleNews,
        priority: Priority::new(7).expect("a priority"),
        webhook: Some("https://example.com/hook?token=a".into()),
        price: Price { fixed: Credits::new(4), clusters_max: 6 },
        ..keyed(id, 1, "job 77, übermorgen")
    };
    queue(store, std::slice::from_ref(&new)).await?;
    let read = whole(store, id, 1).await?;
    let by_key = store.lookup_task(id, TaskName::Key("job 77, übermorgen")).await?;
    assert_eq!(by_key.as_ref(), Some(&read));
    assert_eq!((read.response, read.delivery, read.ahead_max), (None, None, Some(0)));
    let read = read.task;
    assert_eq!(
        (read.id, read.account, read.endpoint, read.priority),
        (new.id, id, new.endpoint, new.priority)
    );
    assert_eq!(
        (read.webhook, read.idempotency_key, read.price),
        (new.webhook, new.idempotency_key, new.price)
    );
    assert_eq!((read.created_at, read.state, read.attempts), (NOW, TaskState::Queued, 0));
    assert_eq!((read.started_at, read.ended_at, read.charged), (None, None, Credits::ZERO));
    assert_eq!(store.lookup_task(id, TaskName::Key("job 77")).await?, None);
    assert_eq!(store.lookup_task(id, TaskName::Id(request(2))).await?, None);
    Ok(())
}

/// And its reader sees that it runs.
pub async fn a_claimed_task_comes_with_all_that_its_attempt_needs(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    let new = NewTask {
        kind: KeyKind::Test,
        endpoint: Endpoint::Aimode,
        price: Price { fixed: Credits::new(4), clusters_max: 6 },
        ..hooked(id, 1, "https://example.com/")
    };
    queue(store, std::slice::from_ref(&new)).await?;
    let head = store.heads(id, Endpoints::ALL, 9).await?.remove(0);
    assert_eq!((head.endpoint, head.kind, head.hold), (new.endpoint, new.kind, Credits::new(10)));
    let claimed = store.claim(vec![head.seq], later(5)).await?.remove(0);
    assert_eq!((claimed.claim.seq, claimed.id, claimed.account), (head.seq, new.id, id));
    assert_eq!((claimed.key, claimed.kind, claimed.endpoint), (new.key, new.kind, new.endpoint));
    assert_eq!((claimed.payload.as_str(), claimed.webhook), (&*new.payload, true));
    assert_eq!((claimed.price, claimed.created_at), (new.price, NOW));
    assert_eq!((claimed.attempt, claimed.cuts), (1, 0));
    let read = whole(store, id, 1).await?;
    assert_eq!((read.task.state, read.task.attempts, read.ahead_max), (TaskState::Processing, 1, None));
    assert_eq!(read.task.started_at, Some(later(5)));
    Ok(())
}

/// Each of those who ask gets something else.
pub async fn a_task_is_claimed_once_however_many_ask_together(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    let tasks: Vec<_> = (0..40).map(|number| task(id, number)).collect();
    queue(store, &tasks).await?;
    let all: Vec<_> = store.heads(id, Endpoints::ALL, 99).await?.iter().map(|head| head.seq).collect();
    let claims = join_all((0..10).map(|_| store.claim(all.clone(), NOW))).await;
    let mut seen = Vec::new();
    for claimed in claims {
        seen.extend(claimed?.into_iter().map(|one| one.id));
    }
    seen.sort();
    assert_eq!(seen, tasks.iter().map(|task| task.id).collect::<Vec<_>>());
    assert_eq!(store.claim(all, NOW).await?, []);
    assert_eq!(store.totals(), (0, 40));
    Ok(())
}

/// Not from the first poll on: a scheduler looks again before its claim has run.
pub async fn a_task_is_out_of_sight_from_the_call_of_its_claim_on(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    queue(store, &[task(id, 1), task(id, 2)]).await?;
    let heads = store.heads(id, Endpoints::ALL, 9).await?;
    let claiming = store.claim(vec![heads[0].seq], NOW);
    assert_eq!(store.heads(id, Endpoints::ALL, 9).await?, heads[1..]);
    // It still counts as waiting.
    assert_eq!(store.depth(id).await?.queued_total(), 2);
    assert_eq!(claiming.await?.len(), 1);
    assert_eq!(store.depth(id).await?.queued_total(), 1);
    Ok(())
}

/// Whether it has begun or not.
pub async fn a_claim_that_nobody_waits_for_gives_its_tasks_back(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    queue(store, &[task(id, 1), task(id, 2)]).await?;
    let heads = store.heads(id, Endpoints::ALL, 9).await?;
    let seqs: Vec<_> = heads.iter().map(|head| head.seq).collect();
    drop(store.claim(seqs.clone(), NOW));
    assert_eq!(store.heads(id, Endpoints::ALL, 9).await?, heads);
    let mut claiming = store.claim(seqs, NOW);
    assert!((&mut claiming).now_or_never().is_none());
    drop(claiming);
    // Each look goes through the store, so that what it still has to do is done in the end.
    while store.heads(id, Endpoints::ALL, 9).await? != heads {
        store.give_back(Claim { seq: 0, fence: 0 }, Back::Cut).await?;
    }
    let claimed = claim_next(store, id, 9).await?;
    assert_eq!(claimed.iter().map(|one| (one.attempt, one.cuts)).collect::<Vec<_>>(), [(1, 0); 2]);
    Ok(())
}

/// Another holds the task now, with another fence.
pub async fn a_lost_claim_ends_nothing_and_gives_nothing_back(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    queue(store, &[task(id, 1)]).await?;
    let lost = claim_one(store, id).await?.claim;
    assert!(store.give_back(lost, Back::Cut).await?);
    for _ in 0..2 {
        assert_eq!(store.end_task(end(Ender::Claim(lost))).await?, Ended::Lost);
        assert!(!store.give_back(lost, Back::Cut).await?);
        if store.totals() == (1, 0) {
            let good = claim_one(store, id).await?.claim;
            assert_ne!((good.seq, good.fence), (lost.seq, lost.fence));
        }
    }
    assert_eq!((store.totals(), balance(store, id).await?), ((0, 1), Some(500)));
    Ok(())
}

/// The task's reader gets the response as it was handed in.
pub async fn an_end_writes_outcome_and_charge_together(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    queue(store, &[task(id, 1)]).await?;
    let claim = claim_one(store, id).await?.claim;
    let ended = store.end_task(End { at: later(70), ..end(Ender::Claim(claim)) }).await?;
    assert_eq!(ended, Ended::Done { paid: Some((Credits::new(495), 2)) });
    let read = whole(store, id, 1).await?;
    assert_eq!((read.task.state, read.task.charged), (TaskState::Completed, Credits::new(5)));
    assert_eq!((read.task.ended_at, read.task.latency_ms()), (Some(later(70)), Some(70)));
    assert_eq!(read.response, Some(end(Ender::Queued(0)).response));
    assert_eq!((read.delivery, read.ahead_max), (None, None));
    let entries = store.list_entries(id, 1, 10).await?;
    let seen: Vec<_> = entries.iter().map(|e| (e.kind, e.amount.get(), e.request, e.at)).collect();
    assert_eq!(seen, [(EntryKind::Charge, -5, Some(request(1)), later(70))]);
    assert_eq!(store.totals(), (0, 0));
    Ok(())
}

/// And pays once. The others have lost, or hear what the first heard, since they may be its repetition.
pub async fn a_task_ends_once_however_many_end_it_together(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    queue(store, &[task(id, 1)]).await?;
    let claim = claim_one(store, id).await?.claim;
    let once = Ended::Done { paid: Some((Credits::new(495), 2)) };
    let mut done = 0;
    for ended in join_all((0..50).map(|_| store.end_task(end(Ender::Claim(claim))))).await {
        let ended = ended?;
        assert!([once, Ended::Lost].contains(&ended), "{ended:?}");
        done += usize::from(ended == once);
    }
    assert!(done >= 1);
    assert_eq!(balance(store, id).await?, Some(495));
    let again = store.end_task(end(Ender::Claim(claim))).await?;
    assert!([once, Ended::Lost].contains(&again), "{again:?}");
    let other = Claim { fence: claim.fence + 1, ..claim };
    assert_eq!(store.end_task(end(Ender::Claim(other))).await?, Ended::Lost);
    assert_eq!(store.end_task(end(Ender::Queued(claim.seq))).await?, Ended::Lost);
    assert_eq!((store.list_entries(id, 0, 10).await?.len(), store.totals()), (2, (0, 0)));
    Ok(())
}

/// As many are paid as the balance covers, whichever way they came.
pub async fn ends_and_charges_of_one_account_never_take_it_below_zero(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    let tasks: Vec<_> = (0..80).map(|number| task(id, number)).collect();
    queue(store, &tasks).await?;
    let claimed = claim_next(store, id, 80).await?;
    let ends = join_all(claimed.iter().map(|one| store.end_task(end(Ender::Claim(one.claim)))));
    let charges = join_all((100..180).map(|number| store.charge(charge(id, number, 5))));
    let (ended, charged) = tokio::join!(ends, charges);
    let ended = ended.into_iter().collect::<Result<Vec<_>, _>>()?;
    let charged = charged.into_iter().collect::<Result<Vec<_>, _>>()?;
    let short = ended.iter().filter(|ended| **ended == Ended::Short).count()
        + charged.iter().filter(|charged| **charged == crate::Charged::Short).count();
    assert_eq!((short, balance(store, id).await?), (60, Some(0)));
    let entries = store.list_entries(id, 0, 200).await?;
    let numbers: Vec<_> = entries.iter().map(|entry| entry.seq).collect();
    assert_eq!(numbers, (1..=101).collect::<Vec<_>>());
    Ok(())
}

/// Which the holds of admission make impossible; all the same nothing is given away.
pub async fn an_end_that_the_balance_does_not_cover_is_a_failure(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    store.charge(charge(id, 9, 496)).await?;
    queue(store, &[hooked(id, 1, "https://example.com/")]).await?;
    let claim = claim_one(store, id).await?.claim;
    assert_eq!(store.end_task(end(Ender::Claim(claim))).await?, Ended::Short);
    let read = whole(store, id, 1).await?;
    assert_eq!((read.task.state, read.task.charged), (TaskState::Failed, Credits::ZERO));
    assert_eq!(read.response, Some(end(Ender::Queued(0)).if_short));
    assert!(read.delivery.is_some_and(|delivery| delivery.due_at.is_some()));
    assert_eq!(balance(store, id).await?, Some(4));
    Ok(())
}

/// Its response is the error.
pub async fn a_failed_task_pays_nothing(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    queue(store, &[task(id, 1)]).await?;
    let claim = claim_one(store, id).await?.claim;
    let error = b"{\"error\":{}}".to_vec();
    let failed = End { charge: None, response: error.clone(), ..end(Ender::Claim(claim)) };
    assert_eq!(store.end_task(failed).await?, Ended::Done { paid: None });
    let read = whole(store, id, 1).await?;
    assert_eq!((read.task.state, read.response), (TaskState::Failed, Some(error)));
    assert_eq!(balance(store, id).await?, Some(500));
    Ok(())
}

/// As those of test keys.
pub async fn a_free_task_completes_without_an_entry(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    queue(store, &[task(id, 1)]).await?;
    let claim = claim_one(store, id).await?.claim;
    let free = End { charge: Some(Credits::ZERO), ..end(Ender::Claim(claim)) };
    assert_eq!(store.end_task(free).await?, Ended::Done { paid: None });
    assert_eq!(whole(store, id, 1).await?.task.state, TaskState::Completed);
    assert_eq!(store.list_entries(id, 0, 10).await?.len(), 1);
    Ok(())
}

/// But not once it runs.
pub async fn a_waiting_task_can_end_without_an_attempt(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    queue(store, &[hooked(id, 1, "https://example.com/"), task(id, 2)]).await?;
    let heads = store.heads(id, Endpoints::ALL, 9).await?;
    let failed = |seq| End { charge: None, ..end(Ender::Queued(seq)) };
    assert_eq!(store.end_task(failed(heads[0].seq)).await?, Ended::Done { paid: None });
    let read = whole(store, id, 1).await?;
    assert_eq!((read.task.state, read.task.attempts), (TaskState::Failed, 0));
    assert_eq!((read.task.started_at, read.task.latency_ms()), (None, None));
    assert!(read.delivery.is_some());
    assert_eq!(store.heads(id, Endpoints::ALL, 9).await?, heads[1..]);
    claim_one(store, id).await?;
    assert_eq!(store.end_task(failed(heads[1].seq)).await?, Ended::Lost);
    assert_eq!(store.totals(), (0, 1));
    Ok(())
}

/// It may run again at once, and it did begin.
pub async fn a_cut_attempt_does_not_count(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    queue(store, &[task(id, 1)]).await?;
    for cuts in 0..3 {
        let claimed = claim_one(store, id).await?;
        assert_eq!((claimed.attempt, claimed.cuts), (1, cuts));
        assert!(store.give_back(claimed.claim, Back::Cut).await?);
    }
    let read = whole(store, id, 1).await?.task;
    assert_eq!((read.state, read.attempts, read.started_at), (TaskState::Queued, 0, Some(NOW)));
    Ok(())
}

/// Neither a cut nor a beginning.
pub async fn an_attempt_that_was_never_made_leaves_no_trace(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    queue(store, &[task(id, 1)]).await?;
    let claim = claim_one(store, id).await?.claim;
    assert!(store.give_back(claim, Back::Unmade(later(10))).await?);
    assert_eq!(store.heads(id, Endpoints::ALL, 9).await?, []);
    assert_eq!(store.end_waits(later(10)).await?, (vec![id], None));
    let read = whole(store, id, 1).await?.task;
    assert_eq!((read.state, read.attempts, read.started_at), (TaskState::Queued, 0, None));
    let claimed = claim_one(store, id).await?;
    assert_eq!((claimed.attempt, claimed.cuts), (1, 0));
    Ok(())
}

/// A number of nobody ends, claims and gives back nothing.
pub async fn what_never_existed_is_lost(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    let claim = Claim { seq: 404, fence: 1 };
    assert_eq!(store.claim(vec![404], NOW).await?, []);
    assert_eq!(store.end_task(end(Ender::Claim(claim))).await?, Ended::Lost);
    assert_eq!(store.end_task(end(Ender::Queued(404))).await?, Ended::Lost);
    assert!(!store.give_back(claim, Back::Cut).await?);
    let deleted = store.delete_task(id, TaskName::Id(request(404))).await;
    assert!(matches!(deleted, Err(StoreError::Missing { what: "task" })), "{deleted:?}");
    let deleted = store.delete_task(id, TaskName::Key("none")).await;
    assert!(matches!(deleted, Err(StoreError::Missing { what: "task" })), "{deleted:?}");
    Ok(())
}

/// Pages neither overlap nor skip, whatever others submit in between.
pub async fn tasks_are_listed_newest_first_page_by_page(store: &dyn Store) -> Outcome {
    let (id, other) = (account(store, 1).await?, account(store, 2).await?);
    for number in 0..50 {
        queue(store, &[task(if number % 3 == 0 { other } else { id }, number)]).await?;
    }
    let mut seen = Vec::new();
    loop {
        let before = seen.last().copied();
        let page = store.list_tasks(id, TaskFilter::default(), before, 7).await?;
        if page.is_empty() {
            break;
        }
        seen.extend(page.into_iter().map(|task| task.id));
    }
    let expected: Vec<_> = (0..50).rev().filter(|number| number % 3 != 0).map(request).collect();
    assert_eq!(seen, expected);
    Ok(())
}

/// A cursor does not become invalid.
pub async fn a_list_goes_on_where_its_last_task_was_deleted(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    queue(store, &(1..=4).map(|number| task(id, number)).collect::<Vec<_>>()).await?;
    store.delete_task(id, TaskName::Id(request(3))).await?;
    let rest = store.list_tasks(id, TaskFilter::default(), Some(request(3)), 9).await?;
    assert_eq!(rest.iter().map(|task| task.id).collect::<Vec<_>>(), [request(2), request(1)]);
    assert_eq!(store.list_tasks(id, TaskFilter::default(), Some(request(0)), 9).await?, []);
    Ok(())
}

/// State and endpoint hold together.
pub async fn a_list_has_what_its_filter_says(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    for (number, endpoint) in [(1, Endpoint::Grok), (2, Endpoint::Gemini), (3, Endpoint::Grok)] {
        queue(store, &[NewTask { endpoint, ..task(id, number) }]).await?;
    }
    claim_one(store, id).await?;
    let numbers = async |state, endpoint| {
        let tasks = store.list_tasks(id, TaskFilter { state, endpoint }, None, 9).await?;
        Ok::<_, StoreError>(tasks.into_iter().map(|task| task.id).collect::<Vec<_>>())
    };
    assert_eq!(numbers(None, Some(Endpoint::Grok)).await?, [request(3), request(1)]);
    assert_eq!(numbers(Some(TaskState::Queued), None).await?, [request(3), request(2)]);
    assert_eq!(numbers(Some(TaskState::Queued), Some(Endpoint::Grok)).await?, [request(3)]);
    assert_eq!(numbers(Some(TaskState::Failed), None).await?, []);
    Ok(())
}

/// Neither by id nor by key, and certainly does not delete them.
pub async fn nobody_sees_the_tasks_of_another_account(store: &dyn Store) -> Outcome {
    let (id, other) = (account(store, 1).await?, account(store, 2).await?);
    queue(store, &[keyed(id, 1, "a")]).await?;
    for name in [TaskName::Id(request(1)), TaskName::Key("a")] {
        assert_eq!(store.lookup_task(other, name).await?, None);
        assert!(matches!(store.delete_task(other, name).await, Err(StoreError::Missing { .. })));
    }
    assert_eq!(store.list_tasks(other, TaskFilter::default(), None, 9).await?, []);
    assert_eq!(store.heads(other, Endpoints::ALL, 9).await?, []);
    assert_eq!(store.clear_queue(other).await?, 0);
    assert_eq!(store.depth(other).await?.queued_total(), 0);
    assert_eq!(whole(store, id, 1).await?.task.state, TaskState::Queued);
    Ok(())
}

/// In any other state nothing changes.
pub async fn a_task_is_deleted_only_while_it_waits(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    queue(store, &[keyed(id, 1, "a"), keyed(id, 2, "b")]).await?;
    let gone = store.delete_task(id, TaskName::Key("b")).await?;
    assert!(matches!(&gone, Deleted::Gone(task) if task.id == request(2)), "{gone:?}");
    assert_eq!(store.lookup_task(id, TaskName::Id(request(2))).await?, None);
    assert!(matches!(store.delete_task(id, TaskName::Key("b")).await, Err(StoreError::Missing { .. })));
    let claim = claim_one(store, id).await?.claim;
    let runs = store.delete_task(id, TaskName::Id(request(1))).await?;
    assert!(matches!(&runs, Deleted::Runs(_, seq) if *seq == claim.seq), "{runs:?}");
    store.end_task(end(Ender::Claim(claim))).await?;
    let ended = store.delete_task(id, TaskName::Key("a")).await?;
    assert!(matches!(&ended, Deleted::Ended(task) if task.state == TaskState::Completed), "{ended:?}");
    assert_eq!(whole(store, id, 1).await?.response, Some(end(Ender::Queued(0)).response));
    Ok(())
}

/// Whichever comes first, and the counters say so.
pub async fn a_deleted_task_is_not_claimed_and_a_claimed_one_not_deleted(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    for number in 0..60 {
        queue(store, &[task(id, number)]).await?;
        let seq = store.heads(id, Endpoints::ALL, 1).await?[0].seq;
        let claim = store.claim(vec![seq], NOW);
        let delete = store.delete_task(id, TaskName::Id(request(number)));
        let (claimed, deleted) = if number % 2 == 0 {
            tokio::join!(biased; claim, delete)
        } else {
            let (deleted, claimed) = tokio::join!(biased; delete, claim);
            (claimed, deleted)
        };
        match deleted? {
            Deleted::Gone(_) => assert_eq!(claimed?, []),
            Deleted::Runs(..) => {
                let claim = claimed?[0].claim;
                assert_eq!(store.totals(), (0, 1));
                store.end_task(End { charge: None, ..end(Ender::Claim(claim)) }).await?;
            }
            ended @ Deleted::Ended(_) => panic!("{ended:?}"),
        }
        assert_eq!((store.totals(), store.heads(id, Endpoints::ALL, 1).await?), ((0, 0), vec![]));
    }
    Ok(())
}

/// Tasks that wait for another attempt go too.
pub async fn clearing_a_queue_leaves_what_runs_and_what_others_have(store: &dyn Store) -> Outcome {
    let (id, other) = (account(store, 1).await?, account(store, 2).await?);
    queue(store, &(0..5).map(|number| task(id, number)).collect::<Vec<_>>()).await?;
    queue(store, &[task(other, 9)]).await?;
    let claimed = claim_next(store, id, 2).await?;
    store.give_back(claimed[0].claim, Back::Failed(later(10))).await?;
    assert_eq!(store.clear_queue(id).await?, 4);
    assert_eq!(store.clear_queue(id).await?, 0);
    let left = store.list_tasks(id, TaskFilter::default(), None, 9).await?;
    assert_eq!(left.iter().map(|task| task.id).collect::<Vec<_>>(), [request(1)]);
    assert_eq!(store.end_waits(later(10)).await?, (vec![], None));
    assert_eq!(store.totals(), (1, 1));
    let ended = store.end_task(end(Ender::Claim(claimed[1].claim))).await?;
    assert_eq!(ended, Ended::Done { paid: Some((Credits::new(495), 2)) });
    Ok(())
}

/// Each task is either cleared or claimed.
pub async fn clearing_and_claiming_at_once_share_the_tasks(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    queue(store, &(0..100).map(|number| task(id, number)).collect::<Vec<_>>()).await?;
    let heads = store.heads(id, Endpoints::ALL, 50).await?;
    let claims =
        join_all(heads.chunks(10).map(|some| store.claim(some.iter().map(|h| h.seq).collect(), NOW)));
    let (cleared, claims) = tokio::join!(store.clear_queue(id), claims);
    let mut claimed = 0;
    for some in claims {
        claimed += some?.len() as u64;
    }
    assert_eq!(cleared? + claimed, 100);
    assert_eq!(store.totals(), (0, claimed));
    assert_eq!(store.list_tasks(id, TaskFilter::default(), None, 200).await?.len() as u64, claimed);
    Ok(())
}

/// Not a moment longer, with all that belongs to it; waiting and running ones do not expire.
pub async fn a_task_is_kept_until_it_expires(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    queue(store, &[task(id, 1), task(id, 2), task(id, 3)]).await?;
    let claimed = claim_next(store, id, 2).await?;
    store.end_task(end(Ender::Claim(claimed[0].claim))).await?;
    assert_eq!(store.expire_tasks(later(999), 1000, 9).await?, 0);
    whole(store, id, 1).await?;
    assert_eq!(store.expire_tasks(later(1000), 1000, 9).await?, 1);
    assert_eq!(store.lookup_task(id, TaskName::Id(request(1))).await?, None);
    assert_eq!(store.expire_tasks(Timestamp::from_millis(i64::MAX), 1000, 9).await?, 0);
    let left = store.list_tasks(id, TaskFilter::default(), None, 9).await?;
    assert_eq!(left.iter().map(|task| task.id).collect::<Vec<_>>(), [request(3), request(2)]);
    // What was paid stays paid.
    assert_eq!(balance(store, id).await?, Some(495));
    Ok(())
}

/// The oldest first.
pub async fn no_more_tasks_expire_than_asked_for(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    queue(store, &(0..5).map(|number| task(id, number)).collect::<Vec<_>>()).await?;
    for (one, kept_ms) in claim_next(store, id, 5).await?.iter().zip([50, 10, 40, 20, 30]) {
        store.end_task(End { keep_until: later(kept_ms), ..end(Ender::Claim(one.claim)) }).await?;
    }
    assert_eq!(store.expire_tasks(later(100), 1000, 3).await?, 3);
    let left = store.list_tasks(id, TaskFilter::default(), None, 9).await?;
    assert_eq!(left.iter().map(|task| task.id).collect::<Vec<_>>(), [request(2), request(0)]);
    assert_eq!(store.expire_tasks(later(100), 1000, 3).await?, 2);
    assert_eq!(store.expire_tasks(later(100), 1000, 3).await?, 0);
    Ok(())
}

/// By as much as it would have been kept after its own end.
pub async fn a_task_expires_after_its_delivery_has_ended(store: &dyn Store) -> Outcome {
    let id = account(store, 1).await?;
    queue(store, &[hooked(id, 1, "https://example.com/")]).await?;
    let claim = claim_one(store, id).await?.claim;
    store.end_task(end(Ender::Claim(claim))).await?;
    // Pending: looked at, and then not again until it can have expired.
    assert_eq!(store.expire_tasks(later(1000), 1000, 9).await?, 1);
    assert_eq!(store.expire_tasks(later(1000), 1000, 9).await?, 0);
    let due = store.take_due(Lane::Fresh, later(1100), &|_, _| 9, 9).await?.remove(0);
    let attempt = DeliveryAttempt {
        number: due.attempt,
        at: later(1100),
        took_ms: 100,
        status: Some(200),
        error: None,
        response: Vec::new(),
    };
    store.record_attempt(due.seq, attempt, Next::Delivered).await?;
    for now in [1000, 2000, 2199] {
        store.expire_tasks(later(now), 1000, 9).await?;
        whole(store, id, 1).await?;
    }
    assert_eq!(store.expire_tasks(later(2200), 1000, 9).await?, 1);
    assert_eq!(store.lookup_task(id, TaskName::Id(request(1))).await?, None);
    let attempts = store.list_attempts(id, request(1)).await;
    assert!(matches!(attempts, Err(StoreError::Missing { .. })), "{attempts:?}");
    Ok(())
}
