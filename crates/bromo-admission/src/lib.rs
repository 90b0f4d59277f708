//! Who may start now: rate, slots and credit hold of one request, decided in one atomic step.
//!
//! A backend that cannot decide answers [`AdmissionError`], which becomes a 503 (promise S5): never
//! "no limit". Nothing here knows of HTTP, stores or providers.

mod ask;
mod bus;
#[cfg(feature = "contract")]
pub mod contract;
mod local;
mod permit;
#[cfg(not(feature = "shuttle"))]
pub mod redis;
mod reply;
mod sync;

use std::sync::Arc;

use bromo_rules::id::AccountId;
use bromo_rules::standing::{SlotStanding, Standing};

pub use ask::{Ask, Facts, ROUTES_MAX, RouteIndex, Start, Want};
pub use bus::{Alone, Bus, Hear, Message};
pub use local::Local;
pub use permit::{Permit, Settled};
pub use reply::Reply;

/// What one decision came to. Every outcome but [`Decision::Stale`] carries the standing it was decided on, and
/// counted one request in its rate window if that had room.
#[derive(Debug)]
pub enum Decision {
    /// No slot was asked for, and the window had room.
    Counted(Standing),
    /// A slot and the hold are taken; the standing counts them.
    Admitted(Standing, Permit),
    /// Nothing is held.
    Denied(Standing, Denial),
    /// The ask was made on an older version of the account: read it once more and ask again. Nothing was
    /// counted.
    Stale,
}

/// Which tasks may start. Tasks are no requests: no rate window counts them.
#[derive(Debug)]
pub enum Started {
    /// What was asked for was judged, in its order, until the first that may not start.
    Judged {
        /// Counts what was admitted.
        slots: SlotStanding,
        /// A slot and a hold for each of the first wants.
        permits: Vec<Permit>,
        /// Why the want after those may not start; none if all may. If it may later without the account being changed
        /// by anybody (a slot or a hold comes free), or with it, the account is called out through [`Wake`] once that is
        /// so. A balance that does not cover the price even with nothing running is not waited for.
        denial: Option<Denial>,
    },
    /// As [`Decision::Stale`]. Nothing was taken.
    Stale,
}

/// Told of each account whose denied start may succeed now. Called on whatever thread freed it: must be quick, and
/// must not ask admission anything.
pub type Wake = Arc<dyn Fn(AccountId) + Send + Sync>;

/// Why nothing may start. Where several reasons hold, the first in this order is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    /// The rate window is used up.
    Rate,
    /// The balance does not cover the price; `held` if it would, were other work not holding it.
    Credits {
        /// Work in progress holds what is missing.
        held: bool,
    },
    /// All slots are in use.
    Slots {
        /// When one is likely to be free, in whole seconds, 1 to 30.
        retry_after_s: u32,
    },
}

/// No decision could be made: the store of counts is out of reach.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("admission out of reach: {reason}")]
pub struct AdmissionError {
    /// For the log.
    pub reason: String,
}

/// The counts of one account, for metrics and pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Whose.
    pub account: AccountId,
    /// Its slots.
    pub slots: SlotStanding,
}

/// Decides, and keeps the counts it decides on.
pub trait Admission: Send + Sync {
    /// Decides on one request: rate, then credits, then slots.
    ///
    /// Source: docs/concurrency.md#the-decision
    fn admit<'a>(&'a self, ask: &'a Ask) -> Reply<'a, Result<Decision, AdmissionError>>;

    /// Decides which tasks of an account may start, in one step for all of them: credits, then slots, from the same counts
    /// as [`Admission::admit`].
    ///
    /// Source: docs/tasks.md#the-queue
    fn start<'a>(&'a self, start: &'a Start) -> Reply<'a, Result<Started, AdmissionError>>;

    /// Names who is told of freed accounts; the first one named stays.
    fn wake_with(&self, wake: Wake);

    /// Begins to count for an account that was just made: it has no running work anywhere. Again it does nothing.
    fn open(&self, facts: Facts) -> Reply<'_, Result<(), AdmissionError>>;

    /// Puts a changed account in force: a later ask on an older version is [`Decision::Stale`].
    fn announce(&self, facts: Facts) -> Reply<'_, Result<(), AdmissionError>>;

    /// The credits that an account's running work holds.
    fn held(&self, account: AccountId) -> Reply<'_, Result<bromo_rules::credit::Credits, AdmissionError>>;

    /// Whether decisions can be made now; asks nobody.
    ///
    /// # Errors
    /// Why not.
    fn in_reach(&self) -> Result<(), AdmissionError>;

    /// Slots of this account that are in use, on all nodes.
    fn in_use(&self, account: AccountId) -> Reply<'_, Result<u32, AdmissionError>>;

    /// The counts of every account that this node has seen: for metrics and operators.
    fn usage(&self) -> Reply<'_, Result<Vec<Usage>, AdmissionError>>;

    /// Slots that a sweep had to free because their release was lost. Must stay 0.
    fn repairs(&self) -> u64;
}
