//! All that can be read of an installation, through the traits that every backend has.

use std::fmt::Debug;
use std::time::Duration;

use bromo_rules::time::Timestamp;

use super::installation::{RICH, id, kept, logged_accounts, member, token};
use crate::contract::{NOW, key, later, request};
use crate::{
    DeliveryFilter, Endpoints, Level, LogFilter, Logs, Store, StoreError, TaskFilter, TaskName, WholeTask,
};

const COUNT: u32 = 1000;
/// Less than there is, so that lists are read page by page.
const PAGE: u32 = 7;
const ANY_TIME: Duration = Duration::MAX;

/// A line for each thing, to be compared with what another backend says.
pub(super) type Seen = Vec<String>;

fn note(seen: &mut Seen, what: &str, value: &impl Debug) {
    seen.push(format!("{what}: {value:?}"));
}

pub(super) async fn everything(store: &dyn Store, logs: &dyn Logs) -> Result<Seen, StoreError> {
    let mut seen = Seen::new();
    books(store, &mut seen).await?;
    people(store, &mut seen).await?;
    tasks(store, &mut seen).await?;
    log(logs, &mut seen).await?;
    Ok(seen)
}

async fn books(store: &dyn Store, seen: &mut Seen) -> Result<(), StoreError> {
    let accounts = store.list_accounts(None, COUNT).await?;
    assert_eq!(accounts.len(), 2);
    for account in accounts {
        note(seen, "account", &account);
        note(seen, "by name", &store.lookup_account_by_name(&account.name).await?);
        for key in store.list_keys(account.id).await? {
            note(seen, "by key", &store.lookup_key(key.hash).await?);
        }
        note(seen, "ledger", &store.list_entries(account.id, 0, COUNT).await?);
        note(seen, "the rest of it", &store.list_entries(account.id, 3, 2).await?);
        note(seen, "secrets", &store.lookup_secrets(account.id).await?);
    }
    assert!(store.lookup_key(key(RICH, id(RICH)).hash).await?.is_some());
    for number in 1..4 {
        note(seen, "page", &store.lookup_page(request(number), NOW).await?);
    }
    Ok(())
}

async fn people(store: &dyn Store, seen: &mut Seen) -> Result<(), StoreError> {
    note(seen, "members", &store.list_members(id(RICH)).await?);
    for number in 1..3 {
        note(seen, "password", &store.lookup_member_by_email(&member(number).email).await?);
    }
    for number in 1..6 {
        note(seen, "session", &store.lookup_session(token(number), NOW).await?);
        note(seen, "invitation", &store.lookup_invitation(token(number), NOW).await?);
    }
    note(seen, "plan requests", &store.list_plan_requests(9).await?);
    Ok(())
}

async fn tasks(store: &dyn Store, seen: &mut Seen) -> Result<(), StoreError> {
    for account in [1, 2].map(id) {
        let (mut before, mut all) = (None, Vec::new());
        loop {
            let page = store.list_tasks(account, TaskFilter::default(), before, PAGE).await?;
            let Some(last) = page.last() else { break };
            before = Some(last.id);
            all.extend(page);
        }
        note(seen, "how many", &all.len());
        for task in &all {
            // How many are ahead is said more or less exactly.
            let whole = store.lookup_task(account, TaskName::Id(task.id)).await?;
            note(seen, "task", &whole.map(|whole| WholeTask { ahead_max: None, ..whole }));
            if let Some(key) = task.idempotency_key.as_deref() {
                let by_key = store.lookup_task(account, TaskName::Key(key)).await?;
                note(seen, "by its key", &by_key.map(|whole| whole.task.id));
            }
            note(seen, "attempts", &store.list_attempts(account, task.id).await?);
        }
        let ids = all.iter().map(|task| task.id).collect();
        note(seen, "deliveries", &store.delivery_states(account, ids).await?);
        let mut before = None;
        loop {
            let page = store.list_deliveries(account, DeliveryFilter::default(), before, PAGE).await?;
            for delivery in &page.deliveries {
                note(seen, "delivery", delivery);
            }
            before = page.more;
            if before.is_none() {
                break;
            }
        }
        note(seen, "failed", &store.count_failed(account, NOW, 99).await?);
        note(seen, "depth", &store.depth(account).await?);
        note(seen, "heads", &store.heads(account, Endpoints::ALL, 99).await?);
    }
    let mut waiting = store.accounts_waiting().await?;
    waiting.sort();
    note(seen, "waiting", &waiting);
    note(seen, "next due", &store.next_due().await?);
    Ok(())
}

async fn log(logs: &dyn Logs, seen: &mut Seen) -> Result<(), StoreError> {
    let mut before = None;
    loop {
        let page = logs.read(&LogFilter::default(), before, PAGE, ANY_TIME).await?;
        for stored in &page.lines {
            note(seen, "line", &stored.line);
        }
        before = page.more;
        if before.is_none() {
            break;
        }
    }
    let (from, until) = (later(0), Timestamp::from_millis(i64::MAX / 2));
    for account in logged_accounts() {
        let filter =
            LogFilter { account: Some(account), from: Some(later(86_400_000 * 6)), ..LogFilter::default() };
        let page = logs.read(&filter, None, COUNT, ANY_TIME).await?;
        note(seen, "its lines", &page.lines.into_iter().map(|stored| stored.line).collect::<Vec<_>>());
        for level in Level::ALL {
            let rollups = logs.rollups(account, level, level.step(), from, until).await?;
            note(seen, "counts", &rollups);
        }
        note(seen, "uses of keys", &logs.key_uses(account).await?);
    }
    note(seen, "gaps", &logs.gaps(from, until, 9).await?);
    for number in 0..6 {
        note(seen, "text", &logs.lookup_text(id(RICH), kept(number)).await?);
    }
    Ok(())
}
