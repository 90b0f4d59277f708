//! Wakes those who watch an account's log live. It carries no lines: who was woken reads the log with a filter and a
//! cursor of its own, so that nothing is lost however late it comes.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bromo_rules::id::AccountId;
use tokio::sync::watch;

/// Watchers of one account at most.
pub const WATCHERS_MAX: usize = 64;

/// Who is to be woken. Clones wake the same.
#[derive(Debug, Clone, Default)]
pub struct Feed {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    accounts: Mutex<HashMap<AccountId, Watched>>,
    /// How many accounts are watched, so that it costs nothing to ask while none is.
    watched: AtomicUsize,
}

#[derive(Debug)]
struct Watched {
    /// Counts up each time.
    woken: watch::Sender<u64>,
    watchers: usize,
}

/// An account has [`WATCHERS_MAX`] watchers already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many watch this account")]
pub struct TooManyWatchers;

impl Feed {
    /// Watches an account from now on.
    ///
    /// # Errors
    /// [`TooManyWatchers`].
    pub fn watch(&self, account: AccountId) -> Result<Watcher, TooManyWatchers> {
        let mut accounts = self.shared.lock();
        let watched =
            accounts.entry(account).or_insert_with(|| Watched { woken: watch::Sender::new(0), watchers: 0 });
        if watched.watchers == WATCHERS_MAX {
            return Err(TooManyWatchers);
        }
        watched.watchers += 1;
        let woken = watched.woken.subscribe();
        self.shared.watched.store(accounts.len(), Ordering::SeqCst);
        Ok(Watcher { account, woken, shared: Arc::clone(&self.shared) })
    }

    /// Those of the accounts that somebody watches, each once.
    pub fn watched_of(&self, accounts: impl IntoIterator<Item = AccountId>) -> Vec<AccountId> {
        if self.shared.watched.load(Ordering::SeqCst) == 0 {
            return Vec::new();
        }
        let watched = self.shared.lock();
        let mut found = Vec::new();
        for account in accounts {
            // Few are watched, and neighbouring lines are often of one account.
            if found.last() != Some(&account) && watched.contains_key(&account) && !found.contains(&account) {
                found.push(account);
            }
        }
        found
    }

    /// Wakes those who watch these accounts.
    pub fn wake(&self, accounts: &[AccountId]) {
        if accounts.is_empty() {
            return;
        }
        let watched = self.shared.lock();
        for account in accounts {
            if let Some(watched) = watched.get(account) {
                watched.woken.send_modify(|times| *times = times.wrapping_add(1));
            }
        }
    }

    /// How many watch this account.
    pub fn watchers(&self, account: AccountId) -> usize {
        self.shared.lock().get(&account).map_or(0, |watched| watched.watchers)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<AccountId, Watched>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Watches one account until it is dropped.
pub struct Watcher {
    account: AccountId,
    woken: watch::Receiver<u64>,
    shared: Arc<Shared>,
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher").field("account", &self.account).finish_non_exhaustive()
    }
}

impl Watcher {
    /// Waits until there are new lines; at once if some came since it last returned. Cancelling it loses nothing.
    pub async fn changed(&mut self) {
        if self.woken.changed().await.is_err() {
            // Its sender stays while there is a watcher.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut accounts = self.shared.lock();
        if let Some(watched) = accounts.get_mut(&self.account) {
            watched.watchers -= 1;
            if watched.watchers == 0 {
                accounts.remove(&self.account);
            }
        }
        self.shared.watched.store(accounts.len(), Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(number: u64) -> AccountId {
        AccountId::from_random(number)
    }

    async fn is_woken(watcher: &mut Watcher) -> bool {
        tokio::time::timeout(std::time::Duration::from_millis(20), watcher.changed()).await.is_ok()
    }

    #[tokio::test]
    async fn a_watcher_is_woken_for_its_own_account_alone() {
        let feed = Feed::default();
        let mut watcher = feed.watch(account(1)).unwrap();
        assert!(!is_woken(&mut watcher).await);
        feed.wake(&[account(2)]);
        assert!(!is_woken(&mut watcher).await);
        feed.wake(&[account(1)]);
        feed.wake(&[account(1)]);
        assert!(is_woken(&mut watcher).await);
        assert!(!is_woken(&mut watcher).await);
    }

    #[tokio::test]
    async fn all_watchers_of_an_account_are_woken() {
        let feed = Feed::default();
        let mut watchers = [feed.watch(account(1)).unwrap(), feed.watch(account(1)).unwrap()];
        feed.clone().wake(&[account(1)]);
        for watcher in &mut watchers {
            assert!(is_woken(watcher).await);
        }
    }

    #[test]
    fn who_is_not_watched_is_passed_over() {
        let feed = Feed::default();
        let of = |feed: &Feed| feed.watched_of([1, 2, 1, 3, 2].map(account));
        assert_eq!(of(&feed), []);
        let watchers = (feed.watch(account(2)).unwrap(), feed.watch(account(1)).unwrap());
        assert_eq!(of(&feed), [account(1), account(2)]);
        drop(watchers.1);
        assert_eq!(of(&feed), [account(2)]);
        drop(watchers.0);
        assert_eq!((of(&feed), feed.shared.watched.load(Ordering::SeqCst)), (vec![], 0));
    }

    #[test]
    fn an_account_has_so_many_watchers_and_no_more() {
        let feed = Feed::default();
        let mut watchers: Vec<_> = (0..WATCHERS_MAX).map(|_| feed.watch(account(1)).unwrap()).collect();
        assert_eq!(feed.watch(account(1)).unwrap_err(), TooManyWatchers);
        assert!(feed.watch(account(2)).is_ok());
        watchers.pop();
        assert!(feed.watch(account(1)).is_ok());
        assert_eq!((feed.watchers(account(1)), feed.watchers(account(2))), (WATCHERS_MAX - 1, 0));
    }
}
