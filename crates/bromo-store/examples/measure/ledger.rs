//! Charges, and keys looked up.

use std::sync::Arc;
use std::time::Instant;

use bromo_rules::credit::Credits;
use bromo_rules::id::{AccountId, RequestId};
use bromo_store::contract::{NOW, newcomer};
use bromo_store::{Charge, Store, StoreError};

use crate::gauge::random_tail;
use crate::{ACCOUNTS, SPELL};

/// All of it.
pub(crate) async fn measure(store: &Arc<dyn Store>) -> Result<(), StoreError> {
    for callers in [1, 64] {
        look_ups(&**store, callers).await?;
    }
    for callers in [1, 64, 256] {
        charges(store, callers, ACCOUNTS).await?;
    }
    charges(store, 64, 1).await
}

async fn charges(store: &Arc<dyn Store>, callers: u64, accounts: u64) -> Result<(), StoreError> {
    let begin = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                let mut random = fastrand::Rng::new();
                let mut took = Vec::new();
                while begin.elapsed() < SPELL {
                    let at = NOW.plus(begin.elapsed());
                    let request = RequestId::new(at, random_tail(&mut random));
                    let account = AccountId::from_random(caller % accounts + 1);
                    let sent = Instant::now();
                    store.charge(Charge { request, account, price: Credits::new(7), at }).await?;
                    took.push(sent.elapsed());
                }
                Ok::<_, StoreError>(took)
            })
        })
        .collect();
    let mut took = Vec::new();
    for task in tasks {
        took.extend(task.await.map_err(|error| StoreError::Unavailable { reason: error.to_string() })??);
    }
    let rate = took.len() as f64 / begin.elapsed().as_secs_f64();
    took.sort_unstable();
    let (p50, p99) = (took[took.len() / 2], took[took.len() * 99 / 100]);
    println!("{callers} callers, {accounts} accounts: {rate:.0} charges/s, p50 {p50:.2?}, p99 {p99:.2?}");
    Ok(())
}

/// Keys by hash, each with its account.
async fn look_ups(store: &dyn Store, callers: u64) -> Result<(), StoreError> {
    let begin = Instant::now();
    let callers_do = (0..callers).map(async |caller| {
        let (_, _, key) = newcomer(caller % ACCOUNTS + 1);
        let mut done = 0_u32;
        while begin.elapsed() < SPELL / 5 {
            store.lookup_key(key.hash).await?;
            done += 1;
        }
        Ok::<_, StoreError>(done)
    });
    let done: u32 = futures_util::future::try_join_all(callers_do).await?.into_iter().sum();
    let rate = f64::from(done) / begin.elapsed().as_secs_f64();
    println!("{callers} callers: {rate:.0} keys looked up/s");
    Ok(())
}
