//! Who calls: a presented key, turned into an account with its limits.
//!
//! Callers are cached by the hash of their key. A cached copy is never trusted for long: every decision
//! compares its version, and a stale one is read again (promise S4). Unknown keys are never cached.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bromo_admission::Facts;
use bromo_rules::account::{Account, Key};
use bromo_rules::credit::Credits;
use bromo_rules::id::KeyId;
use bromo_rules::key::{KeyHash, KeyKind};
use bromo_rules::plan::PlanTable;
use bromo_rules::time::Timestamp;
use bromo_store::StoreError;

use crate::{Engine, Parts};

/// Callers kept at most; past it the cache begins anew.
const CACHED_MAX: usize = 100_000;
/// Where there are other nodes, a caller is read again after so long: if the node that ended a key died before it said so,
/// nothing else would find out.
const CACHED_FOR: Duration = Duration::from_secs(10);

/// A key that works, and the account behind it as it was read last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The key.
    pub key: KeyId,
    /// Live or test.
    pub kind: KeyKind,
    /// What admission compares.
    pub facts: Facts,
    /// When the credit cycle ends.
    pub cycle_ends_at: Timestamp,
    /// The plan's allocation.
    pub per_cycle: Credits,
    /// A plan that costs nothing.
    pub free_plan: bool,
    /// Questions and answers are kept with log lines.
    pub keep_texts: bool,
    pub(crate) hash: KeyHash,
    /// When it was read.
    read_at: Timestamp,
}

impl Caller {
    fn new(key: &Key, account: &Account, plans: &PlanTable, now: Timestamp) -> Self {
        let plan = plans.lookup(&account.plan);
        Self {
            key: key.id,
            kind: key.kind,
            // A plan that left the table grants nothing; the program refuses to start in that state.
            facts: Facts::of(account, plan.map_or(0, |plan| plan.slots)),
            cycle_ends_at: account.cycle.ends_at,
            per_cycle: plan.map_or(Credits::ZERO, |plan| plan.credits),
            free_plan: plan.is_some_and(|plan| plan.usd_per_month == 0),
            keep_texts: account.keep_texts,
            hash: key.hash,
            read_at: now,
        }
    }
}

#[derive(Default)]
pub(crate) struct Callers(RwLock<HashMap<KeyHash, Arc<Caller>, foldhash::fast::RandomState>>);

impl Callers {
    fn lookup(&self, hash: &KeyHash) -> Option<Arc<Caller>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(hash).cloned()
    }

    fn put(&self, caller: Arc<Caller>) {
        let mut callers = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if callers.len() >= CACHED_MAX {
            callers.clear();
        }
        callers.insert(caller.hash, caller);
    }

    fn forget(&self, hash: &KeyHash) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(hash);
    }
}

impl Engine {
    /// The caller behind a presented key; none if it is unknown or revoked.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when a key that is not cached cannot be looked up.
    pub async fn caller(&self, hash: &KeyHash) -> Result<Option<Arc<Caller>>, StoreError> {
        let Some(caller) = self.callers.lookup(hash) else { return self.read_caller(hash).await };
        let old =
            self.settings().tasks.look.is_some() && self.clock().now() >= caller.read_at.plus(CACHED_FOR);
        if !old {
            return Ok(Some(caller));
        }
        match self.read_caller(hash).await {
            // It is no worse than before: the decision compares its version all the same.
            Err(StoreError::Unavailable { .. }) => Ok(Some(caller)),
            read => read,
        }
    }

    /// Reads the caller from the store, past the cache.
    pub(crate) async fn read_caller(&self, hash: &KeyHash) -> Result<Option<Arc<Caller>>, StoreError> {
        let found = self.parts.store.lookup_key(*hash).await?;
        let Some((key, account)) = found.filter(|(key, _)| key.revoked_at.is_none()) else {
            self.callers.forget(hash);
            return Ok(None);
        };
        let caller = Arc::new(Caller::new(&key, &account, &self.parts.plans, self.clock().now()));
        self.callers.put(Arc::clone(&caller));
        Ok(Some(caller))
    }
}

impl Parts {
    pub(crate) fn facts(&self, account: &Account) -> Facts {
        Facts::of(account, self.plans.lookup(&account.plan).map_or(0, |plan| plan.slots))
    }
}
