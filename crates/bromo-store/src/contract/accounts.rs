//! What every backend does with accounts.

use std::sync::Arc;
use std::time::Duration;

use bromo_rules::account::{Change, ChangeError, EntryKind};
use bromo_rules::credit::Credits;
use bromo_rules::id::AccountId;
use bromo_rules::plan::PlanTable;

use super::{NOW, Outcome, key, newcomer, plan};
use crate::{Books, StoreError};

/// Reads back exactly what was written.
pub async fn an_account_is_found_by_id_and_by_name(store: &dyn Books) -> Outcome {
    let (account, opening, key) = newcomer(1);
    store.create_account(&account, &opening, Some(&key), None, None).await?;
    assert_eq!(store.lookup_account(account.id).await?, Some(account.clone()));
    assert_eq!(store.lookup_account_by_name("account-1").await?, Some(account.clone()));
    assert_eq!(store.lookup_account_by_name("ACCOUNT-1").await?, None);
    assert_eq!(store.list_entries(account.id, 0, 10).await?, [opening]);
    assert_eq!(store.list_keys(account.id).await?, [key]);
    Ok(())
}

/// The second account of a name leaves nothing behind.
pub async fn a_name_is_given_once(store: &dyn Books) -> Outcome {
    let (account, opening, first_key) = newcomer(1);
    store.create_account(&account, &opening, Some(&first_key), None, None).await?;
    let (mut other, opening, _) = newcomer(2);
    other.name.clone_from(&account.name);
    let refused = store.create_account(&other, &opening, Some(&key(2, other.id)), None, None).await;
    assert!(matches!(refused, Err(StoreError::Conflict { what: "account name" })), "{refused:?}");
    assert_eq!(store.lookup_account(other.id).await?, None);
    assert_eq!(store.list_accounts(None, 10).await?, [account]);
    Ok(())
}

/// After an unavailable database the caller calls again, not knowing whether it was written.
pub async fn creating_the_same_account_again_changes_nothing(store: &dyn Books) -> Outcome {
    let (account, opening, key) = newcomer(1);
    store.create_account(&account, &opening, Some(&key), None, None).await?;
    store.create_account(&account, &opening, Some(&key), None, None).await?;
    assert_eq!(store.list_entries(account.id, 0, 10).await?, [opening]);
    assert_eq!(store.list_keys(account.id).await?, [key]);
    Ok(())
}

/// Pages neither overlap nor skip.
pub async fn accounts_are_listed_in_id_order_page_by_page(store: &dyn Books) -> Outcome {
    for number in [30, 10, 20, 0] {
        let (account, opening, key) = newcomer(number);
        store.create_account(&account, &opening, Some(&key), None, None).await?;
    }
    let mut seen = Vec::new();
    loop {
        let page = store.list_accounts(seen.last().copied(), 3).await?;
        if page.is_empty() {
            break;
        }
        seen.extend(page.into_iter().map(|account| account.id));
    }
    assert_eq!(seen, [0, 10, 20, 30].map(AccountId::from_random));
    Ok(())
}

/// The fact and its consequence together.
pub async fn a_change_is_written_with_its_entry(store: &dyn Books) -> Outcome {
    let plans = Arc::new(PlanTable::default());
    let (account, opening, key) = newcomer(1);
    store.create_account(&account, &opening, Some(&key), None, None).await?;
    let lite = store.change_account(account.id, &Change::SetPlan(plan("lite")), &plans, NOW).await?;
    assert_eq!((lite.plan.as_str(), lite.version, lite.balance.total()), ("lite", 2, Credits::new(37_500)));
    let next = store.change_account(account.id, &Change::SchedulePlan(plan("free")), &plans, NOW).await?;
    assert_eq!((next.next_plan.as_deref(), next.version), (Some("free"), 3));
    assert_eq!(store.lookup_account(account.id).await?, Some(next));
    for (keep_texts, version) in [(true, 4), (true, 4), (false, 5)] {
        store.change_account(account.id, &Change::KeepTexts(keep_texts), &plans, NOW).await?;
        let found = store.lookup_account(account.id).await?;
        assert_eq!(found.map(|now| (now.keep_texts, now.version)), Some((keep_texts, version)));
    }
    let entries = store.list_entries(account.id, 1, 10).await?;
    let seen: Vec<_> = entries.iter().map(|e| (e.seq, e.kind, e.amount.get(), e.balance.get())).collect();
    assert_eq!(seen, [(2, EntryKind::Upgrade, 37_000, 37_500)]);
    Ok(())
}

/// Neither the version nor the ledger moves.
pub async fn a_refused_change_writes_nothing(store: &dyn Books) -> Outcome {
    let (account, opening, key) = newcomer(1);
    store.create_account(&account, &opening, Some(&key), None, None).await?;
    let plans = Arc::new(PlanTable::default());
    let refused = store.change_account(account.id, &Change::Grant(Credits::ZERO), &plans, NOW).await;
    assert!(matches!(refused, Err(StoreError::Refused(ChangeError::OutOfRange))), "{refused:?}");
    assert_eq!(store.lookup_account(account.id).await?, Some(account));
    Ok(())
}

/// Every node may ask for the new cycle; one entry is written.
pub async fn a_cycle_starts_once(store: &dyn Books) -> Outcome {
    let plans = Arc::new(PlanTable::default());
    let (account, opening, key) = newcomer(1);
    store.create_account(&account, &opening, Some(&key), None, None).await?;
    let later = NOW.plus(Duration::from_secs(40 * 86_400));
    let start = Change::StartCycle { held: Credits::ZERO };
    let asked = (0..5).map(|_| store.change_account(account.id, &start, &plans, later));
    for answered in futures_util::future::join_all(asked).await {
        assert_eq!(answered?.version, 2);
    }
    assert_eq!(store.list_entries(account.id, 0, 10).await?.len(), 2);
    Ok(())
}

/// There is nothing to change.
pub async fn a_change_of_an_unknown_account_is_missing(store: &dyn Books) -> Outcome {
    let plans = Arc::new(PlanTable::default());
    let id = AccountId::from_random(7);
    let missing = store.change_account(id, &Change::Grant(Credits::new(1)), &plans, NOW).await;
    assert!(matches!(missing, Err(StoreError::Missing { what: "account" })), "{missing:?}");
    assert_eq!(store.lookup_account(id).await?, None);
    Ok(())
}
