//! What must survive a restart: one trait per concern, one transaction a method.
//!
//! Ids, times and secrets come from the caller; the store writes what it is given. No open transaction
//! leaves this crate, and nothing above it knows which backend runs.

mod accounts;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod deliveries;
mod error;
mod keys;
mod ledger;
mod logs;
mod members;
mod moving;
mod numbers;
mod pages;
mod postgres;
mod sqlite;
mod tasks;
mod webhook;

pub use accounts::Accounts;
pub use deliveries::{
    Deliveries, DeliveryAttempt, DeliveryFilter, DeliveryPage, DeliveryStage, DeliveryState, Due,
    LISTED_RESPONSE_BYTES_MAX, Lane, ListedDelivery, Next, Room, SealedSecrets,
};
pub use error::StoreError;
pub use keys::Keys;
pub use ledger::{Charge, Charged, Ledger};
pub use logs::{
    KeptText, KeyUse, Level, LogFilter, LogGap, LogKeep, LogPage, Logs, ROLLUPS_MAX, RequestMatch,
    RequestPrefix, Rollup, StatusCount, StatusMatch, StoredLine,
};
pub use members::{Invitation, Members, PlanRequest, Session};
pub use moving::{MoveError, MoveFigure, Moved, Moving, move_installation};
pub use pages::Pages;
pub use postgres::{
    PostgresLogs, PostgresSettings, PostgresStore, migrate_postgres, open_postgres, open_postgres_logs,
};
pub use sqlite::{SqliteLogs, SqliteStore, open_sqlite, open_sqlite_logs};
pub use tasks::{
    Accepted, Back, Claim, Claimed, Claiming, Deleted, End, Ended, Ender, Endpoints, Head, KeyTaken,
    Submitted, TaskFilter, TaskName, TaskSeq, Tasks, WholeTask,
};

/// Accounts, who signs in to them, and their money: what tasks and deliveries stand on.
pub trait Books: Accounts + Members + Keys + Ledger + Pages {}
impl<T: Accounts + Members + Keys + Ledger + Pages> Books for T {}

/// Everything but the log.
pub trait Store: Books + Tasks + Deliveries {}
impl<T: Books + Tasks + Deliveries> Store for T {}
