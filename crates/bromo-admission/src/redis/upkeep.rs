//! What nobody asks for: accounts whose tasks wait for a lease to expire, and counts that are compared with leases.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bromo_rules::id::AccountId;

use crate::redis::command::{Answer, Look, Script};
use crate::redis::links::Via;
use crate::redis::shared::Shared;
use crate::sync::lock;

const STEP: Duration = Duration::from_secs(1);
/// Accounts whose expired leases are given back in one step.
const SWEEPS_MAX: usize = 500;
/// All accounts of this node are compared in this many steps …
const COMPARED_IN: usize = 60;
/// … but no more than this many a step.
const COMPARED_MAX: usize = 50;

pub(super) async fn run(shared: &Shared) {
    let mut place = 0;
    loop {
        tokio::time::sleep(STEP).await;
        if shared.shards.any_link().is_none() {
            continue;
        }
        sweep(shared).await;
        let seen = shared.seen();
        for _ in 0..seen.len().div_ceil(COMPARED_IN).min(COMPARED_MAX) {
            place = (place + 1) % seen.len();
            compare(shared, seen[place]).await;
        }
    }
}

/// A node that was killed gives nothing back. Where a task waits for its leases, somebody must look once they are
/// over.
async fn sweep(shared: &Shared) {
    let now = shared.boot.now();
    let due: Vec<AccountId> = lock(&shared.waiting)
        .iter()
        .filter(|(_, expires)| **expires <= now)
        .map(|(account, _)| *account)
        .take(SWEEPS_MAX)
        .collect();
    for account in due {
        // If it frees something, the account is called out and waits no more.
        if let Ok(Answer::Looked(look)) =
            shared.run_on(account, Script::Look { compare: false }, Via::default(), None).await
            && let Some(expires) = lock(&shared.waiting).get_mut(&account)
        {
            *expires = shared.boot.now().plus(look.expires_in_ms.max(1_000));
        }
    }
}

async fn compare(shared: &Shared, account: AccountId) {
    let answer = shared.run_on(account, Script::Look { compare: true }, Via::default(), None).await;
    if let Ok(Answer::Looked(Look { repaired: true, .. })) = answer {
        shared.repairs.fetch_add(1, Ordering::Relaxed);
        tracing::error!(%account, "the counts of an account did not agree with its leases, and were repaired");
    }
}
