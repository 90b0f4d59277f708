//! What is asked for.

use bromo_rules::account::Account;
use bromo_rules::credit::Credits;
use bromo_rules::id::{AccountId, KeyId};
use bromo_rules::time::Timestamp;
use bromo_rules::window::Limit;

/// Routes that may have a rate window of their own.
pub const ROUTES_MAX: usize = 32;

/// A route template, as a number below [`ROUTES_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteIndex(u8);

impl RouteIndex {
    /// The window of this number.
    ///
    /// # Panics
    /// At compile time in a const, if `index` is not below [`ROUTES_MAX`].
    pub const fn new(index: u8) -> Self {
        assert!((index as usize) < ROUTES_MAX, "more routes than windows");
        Self(index)
    }

    pub(crate) const fn get(self) -> usize {
        self.0 as usize
    }
}

/// What the asker knows of the account. Admission keeps the newer of this and its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Whose.
    pub account: AccountId,
    /// Of the account, as read from the store.
    pub version: u64,
    /// The slots of its plan.
    pub slots: u32,
    /// Its balance …
    pub balance: Credits,
    /// … after this ledger entry.
    pub ledger_seq: u64,
}

impl Facts {
    /// The facts of an account whose plan has this many slots.
    pub fn of(account: &Account, slots: u32) -> Self {
        let (version, ledger_seq) = (account.version, account.ledger_seq);
        Self { account: account.id, version, slots, balance: account.balance.total(), ledger_seq }
    }
}

/// A slot with its credit hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want {
    /// The largest price the work may come to.
    pub hold: Credits,
    /// When work like this is usually done: what Retry-After is estimated from.
    pub usually_ends: Timestamp,
}

/// One request for a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// The account, as the asker knows it.
    pub facts: Facts,
    /// Whose rate window counts.
    pub key: KeyId,
    /// Which of its windows.
    pub route: RouteIndex,
    /// The limit of that window.
    pub rate: Limit,
    /// The present instant; a backend with a clock of its own uses that.
    pub now: Timestamp,
    /// What is wanted beside the rate; nothing for requests that hold no slot.
    pub want: Option<Want>,
}

/// Tasks of one account that want to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The account, as the asker knows it.
    pub facts: Facts,
    /// The present instant.
    pub now: Timestamp,
    /// What each holds while it runs, in the order in which they are to start.
    pub wants: Vec<Want>,
}
