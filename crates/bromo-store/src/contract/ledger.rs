//! What every backend does with charges.

use std::sync::Arc;

use bromo_rules::account::{Account, Change, ChangeError, EntryKind};
use bromo_rules::credit::Credits;
use bromo_rules::id::AccountId;
use bromo_rules::plan::PlanTable;
use futures_util::future::join_all;

use super::{NOW, Outcome, charge, newcomer, request};
use crate::{Books, Charged, StoreError};

async fn account_of_500(store: &dyn Books, number: u64) -> Result<AccountId, StoreError> {
    let (account, opening, key) = newcomer(number);
    store.create_account(&account, &opening, Some(&key), None, None).await?;
    Ok(account.id)
}

async fn balance(store: &dyn Books, id: AccountId) -> Result<Option<i64>, StoreError> {
    Ok(store.lookup_account(id).await?.map(|account| account.balance.total().get()))
}

const fn paid(balance: i64, ledger_seq: u64) -> Charged {
    Charged::Paid { balance: Credits::new(balance), ledger_seq }
}

/// The entry says what for.
pub async fn a_charge_is_taken_and_entered(store: &dyn Books) -> Outcome {
    let id = account_of_500(store, 1).await?;
    assert_eq!(store.charge(charge(id, 1, 7)).await?, paid(493, 2));
    assert_eq!(balance(store, id).await?, Some(493));
    let entries = store.list_entries(id, 1, 10).await?;
    let seen: Vec<_> = entries.iter().map(|e| (e.seq, e.kind, e.amount.get(), e.request)).collect();
    assert_eq!(seen, [(2, EntryKind::Charge, -7, Some(request(1)))]);
    Ok(())
}

/// The repeated call gets the first one's answer, whatever came between.
pub async fn a_request_is_charged_once(store: &dyn Books) -> Outcome {
    let id = account_of_500(store, 1).await?;
    assert_eq!(store.charge(charge(id, 1, 7)).await?, paid(493, 2));
    assert_eq!(store.charge(charge(id, 2, 3)).await?, paid(490, 3));
    assert_eq!(store.charge(charge(id, 1, 7)).await?, paid(493, 2));
    assert_eq!(balance(store, id).await?, Some(490));
    Ok(())
}

/// Two of them in one group as well.
pub async fn a_request_is_charged_once_however_many_ask_together(store: &dyn Books) -> Outcome {
    let id = account_of_500(store, 1).await?;
    for answered in join_all((0..100).map(|_| store.charge(charge(id, 1, 7)))).await {
        assert_eq!(answered?, paid(493, 2));
    }
    assert_eq!(store.list_entries(id, 0, 10).await?.len(), 2);
    Ok(())
}

/// It was paid; that the balance no longer covers a second time does not matter.
pub async fn a_repeated_charge_is_paid_even_if_nothing_is_left(store: &dyn Books) -> Outcome {
    let id = account_of_500(store, 1).await?;
    assert_eq!(store.charge(charge(id, 1, 500)).await?, paid(0, 2));
    assert_eq!(store.charge(charge(id, 1, 500)).await?, paid(0, 2));
    assert_eq!(store.charge(charge(id, 2, 1)).await?, Charged::Short);
    Ok(())
}

/// As many are paid as the balance covers; the others write nothing.
pub async fn charges_together_never_take_a_balance_below_zero(store: &dyn Books) -> Outcome {
    let id = account_of_500(store, 1).await?;
    let mut short = 0;
    for answered in join_all((0..200).map(|number| store.charge(charge(id, number, 7)))).await {
        match answered? {
            Charged::Paid { balance, .. } => assert!(balance >= Credits::ZERO),
            Charged::Short => short += 1,
        }
    }
    assert_eq!((short, balance(store, id).await?), (200 - 71, Some(500 - 71 * 7)));
    assert_eq!(store.list_entries(id, 0, 1000).await?.len(), 72);
    Ok(())
}

/// Charges, grants and repeated calls at once.
pub async fn entries_have_no_gaps_and_their_sum_is_the_balance(store: &dyn Books) -> Outcome {
    let id = account_of_500(store, 1).await?;
    let plans = Arc::new(PlanTable::default());
    let grant = Change::Grant(Credits::new(5));
    let charges = join_all((0..300).map(|number| store.charge(charge(id, number % 150, 3))));
    let grants = join_all((0..50).map(|_| store.change_account(id, &grant, &plans, NOW)));
    let (charged, granted) = tokio::join!(charges, grants);
    charged.into_iter().collect::<Result<Vec<_>, _>>()?;
    granted.into_iter().collect::<Result<Vec<_>, _>>()?;
    let mut entries = Vec::new();
    while let page = store.list_entries(id, entries.len() as u64, 64).await?
        && !page.is_empty()
    {
        entries.extend(page);
    }
    let mut sum = Credits::ZERO;
    for (entry, seq) in entries.iter().zip(1..) {
        sum += entry.amount;
        assert_eq!((entry.seq, entry.balance), (seq, sum));
    }
    let Account { balance, ledger_seq, version, .. } =
        store.lookup_account(id).await?.ok_or(StoreError::Missing { what: "account" })?;
    assert_eq!(balance.total(), sum);
    assert_eq!((ledger_seq, version, entries.len()), (201, 51, 201));
    Ok(())
}

/// One group, many payers.
pub async fn charges_of_many_accounts_do_not_mix(store: &dyn Books) -> Outcome {
    let ids = join_all((1..=10).map(|number| account_of_500(store, number))).await;
    let ids = ids.into_iter().collect::<Result<Vec<_>, _>>()?;
    let charges = ids.iter().zip(0..).flat_map(|(id, first)| {
        (0..20).map(move |number| store.charge(charge(*id, first * 20 + number, i64::from(first) + 1)))
    });
    join_all(charges).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    for (id, price) in ids.iter().zip(1..) {
        assert_eq!(balance(store, *id).await?, Some(500 - 20 * price));
    }
    Ok(())
}

/// Nobody learns another account's balance.
pub async fn a_request_of_another_account_is_a_conflict(store: &dyn Books) -> Outcome {
    let (one, other) = (account_of_500(store, 1).await?, account_of_500(store, 2).await?);
    store.charge(charge(one, 1, 7)).await?;
    let refused = store.charge(charge(other, 1, 7)).await;
    assert!(matches!(refused, Err(StoreError::Conflict { what: "request" })), "{refused:?}");
    assert_eq!(balance(store, other).await?, Some(500));
    Ok(())
}

/// And does not harm the charges beside it.
pub async fn a_charge_of_an_unknown_account_is_missing(store: &dyn Books) -> Outcome {
    let id = account_of_500(store, 1).await?;
    let stray = charge(AccountId::from_random(9), 1, 7);
    let (missing, good) = tokio::join!(store.charge(stray), store.charge(charge(id, 2, 7)));
    assert!(matches!(missing, Err(StoreError::Missing { what: "account" })), "{missing:?}");
    assert_eq!(good?, paid(493, 2));
    Ok(())
}

/// A price below zero would be a gift.
pub async fn a_charge_of_nothing_is_refused(store: &dyn Books) -> Outcome {
    let id = account_of_500(store, 1).await?;
    for price in [0, -7] {
        let refused = store.charge(charge(id, 1, price)).await;
        assert!(matches!(refused, Err(StoreError::Refused(ChangeError::OutOfRange))), "{refused:?}");
    }
    assert_eq!(balance(store, id).await?, Some(500));
    Ok(())
}
