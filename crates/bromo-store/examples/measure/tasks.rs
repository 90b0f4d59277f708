//! Tasks and deliveries: submits, drains, attempts, claims.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bromo_rules::credit::{Credits, Price};
use bromo_rules::endpoint::Endpoint;
use bromo_rules::id::{AccountId, KeyId, RequestId};
use bromo_rules::key::KeyKind;
use bromo_rules::task::{NewTask, Priority};
use bromo_rules::time::Timestamp;
use bromo_store::contract::NOW;
use bromo_store::{
    Claimed, DeliveryAttempt, End, Ender, Endpoints, Lane, Next, Store, StoreError, Submitted, TaskName,
};
use futures_util::StreamExt;
use futures_util::future::try_join_all;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Notify;

use crate::gauge::{Gauge, Times, random_tail};
use crate::{ACCOUNTS, SPELL};

/// Tasks that run at once.
const WORKERS: usize = 256;

/// One part.
pub(crate) async fn measure(store: &dyn Store, part: &str) -> Result<(), StoreError> {
    match part {
        "submit" => {
            for callers in [1, 64, 256] {
                submit(store, callers, 1, SPELL, &Cell::new(true)).await?;
            }
        }
        "batch" => submit(store, 8, 500, SPELL, &Cell::new(true)).await?,
        "drain" => {
            for _ in 0..2 {
                preload(store, 60_000).await?;
                drain(store, &Cell::new(true), true).await?;
                attempts(store, 256).await?;
            }
        }
        "both" => {
            preload(store, 30_000).await?;
            let on = Cell::new(true);
            let (submitted, drained) = tokio::join!(
                async {
                    let submitted = submit(store, 64, 1, SPELL, &on).await;
                    on.set(false);
                    submitted
                },
                drain(store, &on, false)
            );
            submitted?;
            drained?;
        }
        "claim" => claims(store).await?,
        "expire" => expire(store).await?,
        "long" => long(store).await?,
        "steady" => submit(store, 64, 1, Duration::from_secs(60), &Cell::new(true)).await?,
        "paced" => paced(store).await?,
        other => println!("  no part {other}"),
    }
    Ok(())
}

fn task(random: &mut fastrand::Rng, begin: Instant, account: AccountId) -> NewTask {
    let at = NOW.plus(begin.elapsed());
    let key: String = (0..36).map(|_| random.alphanumeric()).collect();
    NewTask {
        id: RequestId::new(at, random_tail(random)),
        account,
        key: KeyId::from_random(account.to_i64().unsigned_abs()),
        kind: KeyKind::Live,
        endpoint: random.choice(Endpoint::ALL).unwrap_or(Endpoint::Chatgpt),
        priority: Priority::new(random.i64(1..=10)).unwrap_or(Priority::DEFAULT),
        payload: format!("{{\"prompt\":\"{}\",\"country\":\"US\"}}", "x".repeat(170)).into(),
        webhook: Some(format!("https://host-{}.example.com/hooks/bromo?token=abc", account.to_i64()).into()),
        idempotency_key: Some(key.into()),
        price: Price { fixed: Credits::new(5), clusters_max: 0 },
        created_at: at,
    }
}

async fn submit(
    store: &dyn Store,
    callers: u64,
    batch: usize,
    spell: Duration,
    on: &Cell<bool>,
) -> Result<(), StoreError> {
    let (gauge, begin) = (Gauge::begin(), Instant::now());
    let each = (0..callers).map(async |caller| {
        let mut random = fastrand::Rng::new();
        let mut took = Vec::new();
        while begin.elapsed() < spell && on.get() {
            let account = AccountId::from_random((caller * 7 + took.len() as u64 * 13) % ACCOUNTS + 1);
            let tasks = (0..batch).map(|_| task(&mut random, begin, account)).collect();
            let sent = Instant::now();
            accepted(store.submit(account, tasks, u64::MAX).await?);
            took.push(sent.elapsed());
        }
        Ok::<_, StoreError>(took)
    });
    let took: Vec<_> = try_join_all(each).await?.into_iter().flatten().collect();
    let (reading, times) = (gauge.end(took.len() * batch), Times::of(took));
    println!("  {callers} callers, {batch} at once: {reading}, {times}");
    Ok(())
}

fn accepted(submitted: Submitted) {
    let Submitted::Each(outcomes) = submitted else { panic!("{submitted:?}") };
    assert!(outcomes.iter().all(Result::is_ok));
}

async fn preload(store: &dyn Store, count: usize) -> Result<(), StoreError> {
    let (mut random, begin) = (fastrand::Rng::new(), Instant::now());
    for number in 0..count / 500 {
        // Tasks of all accounts lie mixed, as they would.
        let tasks: Vec<_> = (0..10)
            .map(|part| {
                let account = AccountId::from_random((number * 10 + part) as u64 % ACCOUNTS + 1);
                (0..50).map(|_| task(&mut random, begin, account)).collect::<Vec<_>>()
            })
            .collect();
        let submits = tasks.into_iter().map(|tasks| store.submit(tasks[0].account, tasks, u64::MAX));
        for submitted in try_join_all(submits).await? {
            accepted(submitted);
        }
    }
    Ok(())
}

/// Claims whatever there is room for, and ends it at once.
async fn drain(store: &dyn Store, on: &Cell<bool>, to_the_end: bool) -> Result<(), StoreError> {
    let gauge = Gauge::begin();
    let (free, freed) = (Rc::new(Cell::new(WORKERS)), Notify::new());
    let (mut claim_took, mut end_took) = (Vec::new(), Vec::new());
    let mut workers = FuturesUnordered::new();
    let mut accounts: VecDeque<_> = (1..=ACCOUNTS).map(AccountId::from_random).collect();
    while on.get() {
        while free.get() == 0
            && let Some(ended) = workers.next().await
        {
            end_took.push(ended?);
        }
        let picks = pick(store, &mut accounts, free.get()).await?;
        if picks.is_empty() {
            match workers.next().await {
                Some(ended) => end_took.push(ended?),
                None if to_the_end => break,
                None => tokio::task::yield_now().await,
            }
            continue;
        }
        free.set(free.get() - picks.len());
        let sent = Instant::now();
        let mut claiming = store.claim(picks, NOW.plus(gauge.elapsed()));
        let claimed = loop {
            tokio::select! {
                claimed = &mut claiming => break claimed?,
                Some(ended) = workers.next() => end_took.push(ended?),
            }
        };
        claim_took.push(sent.elapsed());
        let at = NOW.plus(gauge.elapsed());
        for one in claimed {
            let (free, freed) = (Rc::clone(&free), &freed);
            workers.push(async move {
                let took = end(store, one, at).await?;
                free.set(free.get() + 1);
                freed.notify_one();
                Ok::<_, StoreError>(took)
            });
        }
    }
    while let Some(ended) = workers.next().await {
        end_took.push(ended?);
    }
    let (claims, reading) = (claim_took.len(), gauge.end(end_took.len()));
    println!("  drained with {WORKERS} workers: {reading}, {claims} claims");
    println!("    claim {}", Times::of(claim_took));
    println!("    end {}", Times::of(end_took));
    Ok(())
}

/// The next tasks, one account after the other.
async fn pick(
    store: &dyn Store,
    accounts: &mut VecDeque<AccountId>,
    count: usize,
) -> Result<Vec<i64>, StoreError> {
    let each = count / accounts.len() + 1;
    let asked: Vec<_> = accounts.iter().map(|account| (*account, each)).collect();
    let heads = store.heads_of(&asked, Endpoints::ALL).await?;
    accounts.rotate_left(count.min(accounts.len()));
    let mut picks: Vec<_> = heads.iter().flatten().map(|head| head.seq).collect();
    picks.truncate(count);
    Ok(picks)
}

async fn end(store: &dyn Store, claimed: Claimed, at: Timestamp) -> Result<Duration, StoreError> {
    let sent = Instant::now();
    let end = End {
        ender: Ender::Claim(claimed.claim),
        response: vec![b'x'; 1024],
        charge: Some(Credits::new(5)),
        if_short: Vec::new(),
        at,
        keep_until: at.plus(Duration::from_secs(86_400)),
        pending_max: 1_000_000,
    };
    store.end_task(end).await?;
    Ok(sent.elapsed())
}

/// Takes what is due and records that it was delivered.
async fn attempts(store: &dyn Store, at_once: usize) -> Result<(), StoreError> {
    let gauge = Gauge::begin();
    let (mut took, mut take_took) = (Vec::new(), Vec::new());
    let mut sending = FuturesUnordered::new();
    let now = NOW.plus(Duration::from_secs(1_000_000));
    loop {
        while sending.len() < at_once / 2 {
            let sent = Instant::now();
            let due = store.take_due(Lane::Fresh, now, &|_, _| 1000, at_once - sending.len()).await?;
            take_took.push(sent.elapsed());
            if due.is_empty() {
                break;
            }
            for one in due {
                sending.push(async move {
                    let attempt = DeliveryAttempt {
                        number: one.attempt,
                        at: now,
                        took_ms: 20,
                        status: Some(200),
                        error: None,
                        response: b"ok".to_vec(),
                    };
                    let sent = Instant::now();
                    store.record_attempt(one.seq, attempt, Next::Delivered).await?;
                    Ok::<_, StoreError>(sent.elapsed())
                });
            }
        }
        match sending.next().await {
            Some(recorded) => took.push(recorded?),
            None => break,
        }
    }
    let (takes, reading) = (take_took.len(), gauge.end(took.len()));
    println!("  attempts, {at_once} at once: {reading}, {}", Times::of(took));
    println!("    {takes} takes, {}", Times::of(take_took));
    Ok(())
}

/// The next claim of ten with a thousand tasks queued, and with a million.
async fn claims(store: &dyn Store) -> Result<(), StoreError> {
    let mut queued = 0;
    for count in [1_000, 100_000, 1_000_000] {
        preload(store, count - queued).await?;
        queued = count;
        let mut accounts: VecDeque<_> = (1..=ACCOUNTS).map(AccountId::from_random).collect();
        let mut took = Vec::new();
        let (mut looked, gauge) = (Vec::new(), Gauge::begin());
        for _ in 0..50 {
            let sent = Instant::now();
            let picks = pick(store, &mut accounts, 10).await?;
            looked.push(sent.elapsed());
            let claimed = store.claim(picks, NOW).await?;
            took.push(sent.elapsed());
            queued -= claimed.len();
        }
        let (reading, looked, took) = (gauge.end(50), Times::of(looked), Times::of(took));
        println!("  10 of {count} claimed: {reading}, {took}, heads alone {looked}");
        let sent = Instant::now();
        let depth = store.depth(AccountId::from_random(1)).await?.queued_total();
        println!("    depth {depth} in {:?}", sent.elapsed());
    }
    let sent = Instant::now();
    let cleared = store.clear_queue(AccountId::from_random(1)).await?;
    println!("  {cleared} cleared in {:?}", sent.elapsed());
    submit(store, 64, 1, SPELL, &Cell::new(true)).await
}

/// A queue of one account and one endpoint, drained to the end: whether its dead entries make it slower.
async fn long(store: &dyn Store) -> Result<(), StoreError> {
    let (mut random, begin) = (fastrand::Rng::new(), Instant::now());
    let account = AccountId::from_random(1);
    for _ in 0..400 {
        let new = || NewTask {
            priority: Priority::DEFAULT,
            endpoint: Endpoint::Chatgpt,
            ..task(&mut random, begin, account)
        };
        let tasks = std::iter::repeat_with(new).take(500).collect();
        accepted(store.submit(account, tasks, u64::MAX).await?);
    }
    let mut left = 200_000;
    while left > 0 {
        let (gauge, mut looked, mut took, mut ended) = (Gauge::begin(), Vec::new(), Vec::new(), 0);
        while ended < 20_000 {
            let sent = Instant::now();
            let heads = store.heads(account, Endpoints::ALL, 64).await?;
            looked.push(sent.elapsed());
            let sent = Instant::now();
            let claimed = store.claim(heads.iter().map(|head| head.seq).collect(), NOW).await?;
            took.push(sent.elapsed());
            ended += claimed.len();
            try_join_all(claimed.into_iter().map(|one| end(store, one, NOW))).await?;
            if heads.is_empty() {
                break;
            }
        }
        left -= 20_000;
        let (reading, looked, took) = (gauge.end(ended), Times::of(looked), Times::of(took));
        println!("  {left} left: {reading}");
        println!("    heads {looked}");
        println!("    claim {took}");
    }
    Ok(())
}

/// What is kept no longer, a hundred at once, while others submit.
async fn expire(store: &dyn Store) -> Result<(), StoreError> {
    preload(store, 60_000).await?;
    drain(store, &Cell::new(true), true).await?;
    attempts(store, 256).await?;
    let on = Cell::new(true);
    let expire = async {
        let gauge = Gauge::begin();
        let (mut gone, mut took) = (0, Vec::new());
        let now = NOW.plus(Duration::from_secs(10_000_000));
        loop {
            let sent = Instant::now();
            let count = store.expire_tasks(now, 0, 100).await?;
            took.push(sent.elapsed());
            gone += count as usize;
            if count == 0 {
                break;
            }
        }
        on.set(false);
        println!("  expired {gone}, 100 at once: {}, {}", gauge.end(gone), Times::of(took));
        Ok::<_, StoreError>(())
    };
    let (expired, submitted) = tokio::join!(expire, submit(store, 64, 1, SPELL * 20, &on));
    expired?;
    submitted
}

/// Below what it could do: 64 callers that ask for 8,000 a second together, and look-ups beside.
async fn paced(store: &dyn Store) -> Result<(), StoreError> {
    let (gauge, begin, spell) = (Gauge::begin(), Instant::now(), SPELL * 4);
    let each = (0..64_u64).map(async |caller| {
        let mut random = fastrand::Rng::new();
        let (mut took, mut looked) = (Vec::new(), Vec::new());
        let mut ticks = tokio::time::interval(Duration::from_millis(8));
        while begin.elapsed() < spell {
            ticks.tick().await;
            let account = AccountId::from_random((caller * 7 + took.len() as u64 * 13) % ACCOUNTS + 1);
            let task = task(&mut random, begin, account);
            let id = task.id;
            let sent = Instant::now();
            accepted(store.submit(account, vec![task], u64::MAX).await?);
            took.push(sent.elapsed());
            let sent = Instant::now();
            store.lookup_task(account, TaskName::Id(id)).await?;
            looked.push(sent.elapsed());
        }
        Ok::<_, StoreError>((took, looked))
    });
    let (took, looked): (Vec<_>, Vec<_>) = try_join_all(each).await?.into_iter().unzip();
    let took = took.concat();
    let reading = gauge.end(took.len());
    println!("  paced: {reading}, {}", Times::of(took));
    println!("    looked up {}", Times::of(looked.concat()));
    Ok(())
}
