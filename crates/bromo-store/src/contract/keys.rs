//! What every backend does with API keys.

use std::time::Duration;

use bromo_rules::id::{AccountId, KeyId};

use super::{NOW, Outcome, key, newcomer};
use crate::{Books, StoreError};

/// One look-up answers who calls and on which terms.
pub async fn a_key_is_found_by_its_hash_with_its_account(store: &dyn Books) -> Outcome {
    let (account, opening, first) = newcomer(1);
    store.create_account(&account, &opening, Some(&first), None, None).await?;
    assert_eq!(store.lookup_key(first.hash).await?, Some((first, account.clone())));
    assert_eq!(store.lookup_key(key(2, account.id).hash).await?, None);
    Ok(())
}

/// A call made again finds its key and moves nothing.
pub async fn making_a_key_moves_the_version_once(store: &dyn Books) -> Outcome {
    let (account, opening, first) = newcomer(1);
    store.create_account(&account, &opening, Some(&first), None, None).await?;
    let second = key(2, account.id);
    assert_eq!(store.create_key(&second).await?.version, 2);
    assert_eq!(store.create_key(&second).await?.version, 2);
    assert_eq!(store.lookup_key(second.hash).await?.map(|(_, account)| account.version), Some(2));
    Ok(())
}

/// The instant of the first call stays.
pub async fn revoking_a_key_moves_the_version_once(store: &dyn Books) -> Outcome {
    let (account, opening, first) = newcomer(1);
    store.create_account(&account, &opening, Some(&first), None, None).await?;
    for seconds in 0..3 {
        let (revoked, account) = store.revoke_key(first.id, NOW.plus(Duration::from_secs(seconds))).await?;
        assert_eq!((revoked.revoked_at, account.version), (Some(NOW), 2));
    }
    let found = store.lookup_key(first.hash).await?;
    assert_eq!(found.map(|(key, account)| (key.revoked_at, account.version)), Some((Some(NOW), 2)));
    Ok(())
}

/// Neither an id nor a hash is taken over.
pub async fn a_secret_belongs_to_one_key(store: &dyn Books) -> Outcome {
    let (account, opening, first) = newcomer(1);
    store.create_account(&account, &opening, Some(&first), None, None).await?;
    let mut copy = key(2, account.id);
    copy.hash = first.hash;
    let refused = store.create_key(&copy).await;
    assert!(matches!(refused, Err(StoreError::Conflict { what: "key" })), "{refused:?}");
    assert_eq!(store.lookup_account(account.id).await?.map(|account| account.version), Some(1));
    Ok(())
}

/// Other accounts' keys are not among them.
pub async fn keys_are_listed_oldest_first(store: &dyn Books) -> Outcome {
    for number in [5, 9] {
        let (account, opening, first) = newcomer(number);
        store.create_account(&account, &opening, Some(&first), None, None).await?;
    }
    let account = AccountId::from_random(5);
    for (number, seconds) in [(3, 2), (4, 1)] {
        let mut key = key(number, account);
        key.created_at = NOW.plus(Duration::from_secs(seconds));
        store.create_key(&key).await?;
    }
    let listed = store.list_keys(account).await?;
    assert_eq!(listed.iter().map(|key| key.id).collect::<Vec<_>>(), [5, 4, 3].map(KeyId::from_random));
    Ok(())
}

/// Nor can an unknown key be revoked.
pub async fn a_key_of_an_unknown_account_is_missing(store: &dyn Books) -> Outcome {
    let stray = key(1, AccountId::from_random(1));
    let missing = store.create_key(&stray).await;
    assert!(matches!(missing, Err(StoreError::Missing { what: "account" })), "{missing:?}");
    let missing = store.revoke_key(stray.id, NOW).await;
    assert!(matches!(missing, Err(StoreError::Missing { what: "key" })), "{missing:?}");
    Ok(())
}
