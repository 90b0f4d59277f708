//! The proof that a slot is held.

use std::fmt;
use std::sync::Arc;

use bromo_rules::credit::Credits;

use crate::reply::Reply;

/// Where a permit goes back to.
pub(crate) trait Home: Send + Sync {
    /// Gives slot and hold back, and takes over the balance after the charge, if there was one.
    fn release(self: Arc<Self>, lease: Lease, settled: Option<Settled>) -> Reply<'static, ()>;

    /// Whether the slot is still held, as far as this node may know.
    fn is_live(&self, lease: Lease) -> bool;

    /// Comes when the slot is held no longer without having been given back; never at home.
    fn lost(&self, lease: Lease) -> Reply<'static, ()>;
}

/// One running call, as its home knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lease(pub(crate) u64);

/// The account's balance after a charge, as the store answered it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// The balance.
    pub balance: Credits,
    /// The charge's place in the ledger: of two balances the one with the higher place is newer.
    pub ledger_seq: u64,
}

/// Proof that one slot and its credit hold are held.
///
/// [`Permit::release`] gives both back and waits until the counts have them: call it before the
/// customer's last byte. Dropping it instead (panic, cancellation) releases as well; a backend behind a
/// wire does that in a task which shutdown waits for.
#[must_use = "a dropped permit frees its slot"]
pub struct Permit {
    home: Option<Arc<dyn Home>>,
    lease: Lease,
}

impl Permit {
    pub(crate) const fn new(home: Arc<dyn Home>, lease: Lease) -> Self {
        Self { home: Some(home), lease }
    }

    /// Whether the slot is still held. A node that was frozen, or cut off from the counts, holds nothing after a while:
    /// its calls are to be cut, answer nobody, and are never charged. Ask it last before the charge.
    pub fn is_live(&self) -> bool {
        self.home.as_ref().is_some_and(|home| home.is_live(self.lease))
    }

    /// Waits until the slot is held no longer; forever where it cannot be lost. Cancelling it loses nothing.
    pub fn lost(&self) -> Reply<'static, ()> {
        self.home.as_ref().map_or_else(Reply::never, |home| home.lost(self.lease))
    }

    /// Gives the slot and the hold back.
    pub async fn release(mut self, settled: Option<Settled>) {
        if let Some(home) = self.home.take() {
            home.release(self.lease, settled).await;
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(home) = self.home.take() {
            drop(home.release(self.lease, None));
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Permit({})", self.lease.0)
    }
}
