//! What one account, or anybody, may keep busy at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bromo_rules::id::AccountId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use crate::error::PageError;

/// Pages of one account that read the log at once: others have the log's second reader.
const READS_EACH: usize = 1;
/// A page waits for its turn so long.
const TURN_TIMEOUT: Duration = Duration::from_secs(5);
/// Forms that are being read at once, over all accounts and strangers.
const FORMS_MAX: usize = 128;

/// Turns at what is scarce.
pub(crate) struct Bounds {
    /// Accounts that read the log now, or wait for it.
    reads: Mutex<HashMap<AccountId, Arc<Semaphore>>>,
    forms: Semaphore,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { reads: Mutex::default(), forms: Semaphore::new(FORMS_MAX) }
    }
}

impl Bounds {
    /// Waits until the account may read the log.
    ///
    /// # Errors
    /// [`PageError::Unavailable`] after [`TURN_TIMEOUT`].
    pub(crate) async fn read(&self, account: AccountId) -> Result<OwnedSemaphorePermit, PageError> {
        let turns = {
            let mut reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
            reads.retain(|_, turns| Arc::strong_count(turns) > 1);
            Arc::clone(reads.entry(account).or_insert_with(|| Arc::new(Semaphore::new(READS_EACH))))
        };
        match tokio::time::timeout(TURN_TIMEOUT, turns.acquire_owned()).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) | Err(_) => Err(PageError::Unavailable),
        }
    }

    /// A place for a form that is about to be read.
    ///
    /// # Errors
    /// [`PageError::Unavailable`] where all are taken.
    pub(crate) fn form(&self) -> Result<SemaphorePermit<'_>, PageError> {
        self.forms.try_acquire().map_err(|_| PageError::Unavailable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_account_takes_one_turn_at_a_time_and_delays_no_other() {
        let bounds = Bounds::default();
        let [one, other] = [1, 2].map(AccountId::from_random);
        let turn = bounds.read(one).await.unwrap();
        assert!(bounds.read(other).await.is_ok());
        let mut second = std::pin::pin!(bounds.read(one));
        assert!(futures_util::poll!(second.as_mut()).is_pending());
        drop(turn);
        assert!(second.await.is_ok());
        drop(bounds.read(other).await.unwrap());
        assert_eq!(bounds.reads.lock().unwrap().len(), 1);
    }
}
