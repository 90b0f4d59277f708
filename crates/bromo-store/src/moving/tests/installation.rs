//! A data folder with something of everything, in every state.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bromo_rules::account::Change;
use bromo_rules::credit::Credits;
use bromo_rules::id::{AccountId, MemberId, RequestId};
use bromo_rules::key::KeyKind;
use bromo_rules::log::LogLine;
use bromo_rules::member::{Email, Member, Role};
use bromo_rules::plan::PlanTable;
use bromo_rules::task::{NewTask, Priority};
use bromo_rules::token::TokenHash;

use crate::contract::logs::{keep, line};
use crate::contract::{
    NOW, Outcome, charge, claim_next, end, hooked, key, keyed, later, newcomer, queue, request, task,
};
use crate::{
    Back, Books, DeliveryAttempt, End, Ender, Invitation, KeptText, Lane, LogGap, Logs, Next, PlanRequest,
    SealedSecrets, Session, Store, open_sqlite, open_sqlite_logs,
};

/// The account with something of everything; the other has little.
pub(super) const RICH: u64 = 1;
const POOR: u64 = 2;
const HOOK: &str = "https://example.com/hook";
const DAY: Duration = Duration::from_secs(86_400);
const DAY_MS: i64 = 86_400_000;

pub(super) fn id(number: u64) -> AccountId {
    AccountId::from_random(number)
}

pub(super) fn token(number: u64) -> TokenHash {
    TokenHash::of(&number.to_string())
}

pub(super) fn member(number: u64) -> Member {
    let email: Email = format!("member-{number}@example.com").parse().unwrap();
    let id = MemberId::from_random(number);
    Member { id, account: self::id(RICH), email, role: Role::Owner, created_at: NOW, seen_at: None }
}

/// Fills the folder, and leaves it as a process does that was killed.
pub(super) async fn fill(folder: &Path) {
    let store = open_sqlite(folder).unwrap();
    books(&store).await.unwrap();
    people(&store).await.unwrap();
    work(&store).await.unwrap();
    log(&open_sqlite_logs(folder).unwrap()).await.unwrap();
}

async fn books(store: &dyn Books) -> Outcome {
    for number in [RICH, POOR] {
        let (account, opening, key) = newcomer(number);
        let secrets = SealedSecrets {
            current: vec![0, 1, 255],
            previous: (number == RICH).then(|| (vec![7; 40], later(5))),
        };
        store.create_account(&account, &opening, Some(&key), Some(&secrets), None).await?;
    }
    let plans = Arc::new(PlanTable::default());
    let grant = Change::Grant(Credits::new(77));
    store.change_account(id(RICH), &grant, &plans, later(1)).await?;
    store.create_key(&crate::contract::key(9, id(RICH))).await?;
    store.revoke_key(key(9, id(RICH)).id, later(3)).await?;
    for number in 1..=9 {
        store.charge(charge(id(RICH), number, 3)).await?;
    }
    store.put_page(request(1), "<p>a\0ä</p>".to_owned(), later(900)).await?;
    store.put_page(request(2), String::new(), later(901)).await
}

async fn people(store: &dyn Books) -> Outcome {
    let owner = member(1);
    store.create_member(&owner, Some("$argon2id$v=19$m=1"), None, None).await?;
    store.create_member(&member(2), None, None, None).await?;
    store.touch_member(owner.id, later(44)).await?;
    for number in 1..=3 {
        let (token, member) = (token(number), owner.id);
        let session = Session { token, member, created_at: NOW, expires_at: later(1000) };
        store.create_session(&session, None).await?;
    }
    let invitation = Invitation {
        token: token(4),
        account: owner.account,
        email: "guest@example.com".parse().unwrap(),
        role: Role::Viewer,
        by: owner.id,
        created_at: NOW,
        expires_at: later(1000),
    };
    store.create_invitation(&invitation).await?;
    store.create_link(token(5), owner.id, later(1000)).await?;
    let asked = PlanRequest { account: owner.account, plan: "hobby".to_owned(), by: owner.id, at: NOW };
    store.put_plan_request(owner.account, Some(&asked)).await
}

/// Tasks of the rich account by number: 1 to 9 ended without a webhook, 10 to 19 with one, 20 waits for its time, 30 to 33
/// run, 40 to 49 wait. Two more ended on other days.
async fn work(store: &dyn Store) -> Outcome {
    let account = id(RICH);
    let old = |days: i64| {
        let at = later(-days * DAY_MS);
        NewTask {
            id: RequestId::new(at, [1; 10]),
            created_at: at,
            ..keyed(account, 1, &format!("old {days}"))
        }
    };
    queue(store, &[old(90), old(3)]).await?;
    end_all(store, 2).await?;
    let plain = (1..10).map(|number| keyed(account, number, &format!("k\0 {number}")));
    queue(store, &plain.collect::<Vec<_>>()).await?;
    end_all(store, 9).await?;
    let with_hook = (10..20).map(|number| hooked(account, number, HOOK));
    queue(store, &with_hook.collect::<Vec<_>>()).await?;
    end_all(store, 10).await?;
    deliver(store).await?;

    queue(store, &[task(account, 20)]).await?;
    let waits = claim_next(store, account, 1).await?[0].claim;
    store.give_back(waits, Back::Failed(later(500))).await?;
    let running = (30..34).map(|number| task(account, number));
    queue(store, &running.collect::<Vec<_>>()).await?;
    let claimed = claim_next(store, account, 1).await?[0].claim;
    store.give_back(claimed, Back::Cut).await?;
    assert_eq!(claim_next(store, account, 4).await?.len(), 4);
    let waiting = (40..50).map(|number| NewTask {
        priority: Priority::new(i64::from(number % 4) + 3).unwrap(),
        kind: if number % 5 == 0 { KeyKind::Test } else { KeyKind::Live },
        payload: format!("{{\"prompt\":\"\0{number}\"}}").into(),
        ..hooked(account, number, "http://other.example.com:81/x")
    });
    queue(store, &waiting.collect::<Vec<_>>()).await?;
    queue(store, &[keyed(id(POOR), 99, "mine")]).await
}

/// Ends so many waiting ones, some badly, one without having run.
async fn end_all(store: &dyn Store, count: usize) -> Outcome {
    let account = id(RICH);
    let heads = store.heads(account, crate::Endpoints::ALL, 1).await?;
    let queued = End { charge: None, ..end(Ender::Queued(heads[0].seq)) };
    store.end_task(queued).await?;
    for (nth, claimed) in (0..).zip(claim_next(store, account, count - 1).await?) {
        let charge = (nth % 3 != 2).then(|| Credits::new(nth));
        let end = end(Ender::Claim(claimed.claim));
        let response = format!("answer \0 {nth}").into_bytes();
        let (at, keep_until) = (later(nth), later(1000 + nth));
        store.end_task(End { charge, response, keep_until, at, ..end }).await?;
    }
    Ok(())
}

/// Of ten: three delivered, one of them once more; two given up, two waiting for another attempt, the rest fresh.
async fn deliver(store: &dyn Store) -> Outcome {
    let due = store.take_due(Lane::Fresh, later(99), &|_, _| 99, 7).await?;
    assert_eq!(due.len(), 7);
    for (nth, due) in (0..).zip(&due) {
        let next = match nth {
            0..=2 => Next::Delivered,
            3..=4 => Next::GivenUp,
            _ => Next::RetryAt(later(2000 + nth)),
        };
        let attempt = DeliveryAttempt {
            number: due.attempt,
            at: later(100 + nth),
            took_ms: 20,
            status: (nth != 3).then_some(200),
            error: (nth == 3).then(|| "no\0body".to_owned()),
            response: vec![0, 200, u8::try_from(nth).unwrap()],
        };
        store.record_attempt(due.seq, attempt, next).await?;
    }
    store.redeliver(id(RICH), due[0].task.id, later(150)).await?;
    Ok(())
}

fn on(day: u32, number: u32) -> LogLine {
    let line = line(number);
    let at = line.at.plus(DAY * day);
    LogLine { at, request: RequestId::new(at, [number.to_be_bytes()[3]; 10]), ..line }
}

/// Lines of several days; some are counted, and a block has counted lines and others.
async fn log(logs: &dyn Logs) -> Outcome {
    logs.append((0..10).map(|number| on(0, number)).collect(), None).await?;
    for batch in 0..4 {
        logs.append((0..10).map(|number| on(5, batch * 10 + number)).collect(), None).await?;
    }
    // What goes is counted before, and all else with it.
    logs.trim(&keep(NOW.plus(DAY), u64::MAX)).await?;
    for batch in 4..12 {
        logs.append((0..10).map(|number| on(5, batch * 10 + number)).collect(), None).await?;
    }
    let gap = LogGap { lines: 3, from: NOW.plus(DAY * 6), until: NOW.plus(DAY * 7) };
    for batch in 0..3 {
        let gap = (batch > 0).then_some(gap);
        logs.append((0..7).map(|number| on(7 + batch, 200 + number)).collect(), gap).await?;
    }
    let text = |number: u32| KeptText {
        request: on(5, number).request,
        account: id(RICH),
        at: NOW,
        question: b"what?".repeat(9),
        answer: vec![0, 255, 7],
    };
    logs.append_texts((1..=4).map(text).collect()).await
}

/// The request of a kept text.
pub(super) fn kept(number: u32) -> RequestId {
    on(5, number).request
}

/// Whose lines the log has.
pub(super) fn logged_accounts() -> impl Iterator<Item = AccountId> {
    (0..3).map(AccountId::from_random)
}
