//! Puts changed accounts in force in admission, and goes on trying where it is out of reach.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bromo_admission::{AdmissionError, Facts};
use bromo_rules::account::Account;
use bromo_rules::id::AccountId;
use tokio_util::sync::CancellationToken;

use crate::{Engine, Parts};

/// How often what is stored and not in force is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Accounts whose change is stored and not in force; no more than there are accounts.
#[derive(Default)]
pub(crate) struct InForce(Mutex<HashMap<AccountId, Facts>>);

impl InForce {
    /// Puts the account in force as it is now. Where that fails it is tried again until it is done.
    ///
    /// # Errors
    /// [`AdmissionError`]: stored, not yet in force.
    pub(crate) async fn put(&self, parts: &Parts, account: &Account) -> Result<(), AdmissionError> {
        let facts = parts.facts(account);
        let announced = parts.admission.announce(facts).await;
        if announced.is_err() {
            let mut waiting = self.lock();
            let newest = waiting.entry(account.id).or_insert(facts);
            if newest.version < facts.version {
                *newest = facts;
            }
        }
        announced
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AccountId, Facts>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tries again until `stop`.
pub async fn run(engine: Arc<Engine>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        tokio::select! {
            () = tokio::time::sleep(AGAIN) => {}
            () = stop.cancelled() => return,
        }
        let waiting: Vec<Facts> = engine.in_force.lock().values().copied().collect();
        for facts in waiting {
            if engine.admission().announce(facts).await.is_err() {
                break;
            }
            let mut waiting = engine.in_force.lock();
            if waiting.get(&facts.account).is_some_and(|newest| newest.version <= facts.version) {
                waiting.remove(&facts.account);
                tracing::info!(account = %facts.account, "a change that was stored is in force");
            }
        }
    }
}
