//! PostgreSQL: the store of any number of nodes.
//!
//! All connections live on one thread with a runtime of its own ([`home`]), because callers come from many. Reads and
//! writes of one statement share a few connections ([`shared`]); what is written often goes in groups ([`lane`]), the
//! rest as closures ([`other`]). [`keeper`] looks after schema and nodes ([`nodes`]).
//!
//! The database may be away when the store is opened and at any time after. Methods answer
//! [`StoreError::Unavailable`] then, at once, and connections are made again by themselves.

mod accounts;
mod attempt;
mod attempted;
mod charge;
mod claim;
mod connect;
mod counters;
mod deliveries;
mod delivery_list;
mod delivery_rows;
mod ended;
mod error;
mod floors;
mod home;
mod house;
mod keeper;
mod kept;
mod keys;
mod lane;
mod ledger;
mod link;
mod local;
mod logs;
mod members;
mod migrations;
mod moves;
mod nodes;
mod other;
mod outbox;
mod pages;
mod partitions;
mod payers;
mod plan_requests;
mod queue;
mod reap;
mod redeliver;
mod remove;
mod rows;
mod secrets;
mod settings;
mod settle;
mod shared;
mod sign_ins;
mod strays;
mod submit;
mod take;
mod target;
mod task_read;
mod task_rows;
mod tasks;
#[cfg(test)]
mod tests;
mod tls;
mod together;
mod tx;

use std::fmt;
use std::sync::Arc;

use bromo_rules::id::NodeId;

use self::attempt::Send;
use self::charge::Paying;
use self::claim::Take;
use self::connect::{Connector, Durability};
#[cfg(test)]
pub(crate) use self::counters::WRONG as COUNTERS_WRONG;
use self::home::{Home, Plan};
use self::keeper::{Duty, Phase};
use self::lane::Lane;
use self::local::Local;
pub(crate) use self::logs::day_begins as log_day_begins;
pub use self::logs::{PostgresLogs, open_postgres_logs};
use self::other::Other;
use self::outbox::Turns;
pub use self::settings::PostgresSettings;
use self::settle::Ending;
use self::shared::Shared;
use self::submit::Submit;
use self::take::Taking;
pub(crate) use self::target::{Found, Progress, Target, task_key_hash};
use crate::error::StoreError;

/// Connections for what comes seldom: a job that waits for a lock does not hold up all others.
const OTHERS: usize = 2;

/// Lanes of batches. Each account has one of them, or they would wait for each other's locks; one writes while another
/// waits for the disk. Tasks that come one by one share a lane: larger groups cost less.
const BATCH_LANES: usize = 2;

/// Accounts, members, keys, ledger, pages, tasks and deliveries in one PostgreSQL database, which other nodes share.
///
/// Dropping it writes what was handed over and ends its thread; that blocks for about one round trip. Its node's row
/// stays unless [`PostgresStore::leave`] was called, and others take the node for dead when it is not renewed.
pub struct PostgresStore {
    parts: Arc<Parts>,
}

/// Shared with whatever must keep the store open.
struct Parts {
    shared: Shared,
    charges: Lane<Paying>,
    singles: Lane<Submit>,
    batches: [Lane<Submit>; BATCH_LANES],
    takes: Lane<Take>,
    ends: Lane<Ending>,
    sends: Lane<Send>,
    dues: Lane<Taking>,
    others: Lane<Other>,
    local: Arc<Local>,
    turns: Turns,
    node: NodeId,
    /// Goes last: it waits for the lanes to end.
    home: Home,
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").finish_non_exhaustive()
    }
}

/// Opens the store; does not wait for the database. Brings its schema up to date when it is there, if it may.
///
/// # Errors
/// [`StoreError::Unavailable`] if the address cannot be read or no thread be started.
pub fn open_postgres(settings: PostgresSettings) -> Result<PostgresStore, StoreError> {
    let connector = Arc::new(Connector::new(&settings.url, Durability::Full)?);
    let mut plan = Plan::new(connector, settings.node);
    let shared = Shared::new((0..settings.connections.max(1)).map(|_| plan.connection()).collect());
    let charges = plan.lane(1);
    let singles = plan.lane(1);
    let batches = std::array::from_fn(|_| plan.lane(1));
    let takes = plan.lane(1);
    let ends = plan.lane(1);
    let sends = plan.lane(1);
    let dues = plan.lane(1);
    let others = plan.lane(OTHERS);
    let (local, node) = (Arc::new(Local::default()), settings.node);
    plan.keep_house(Arc::clone(&local));
    let duty = Duty { schema: &migrations::STORE, local: Some(Arc::clone(&local)) };
    let home = plan.start("store-postgres", settings, duty)?;
    let turns = Turns::default();
    let parts = Parts {
        shared,
        charges,
        singles,
        batches,
        takes,
        ends,
        sends,
        dues,
        others,
        local,
        turns,
        node,
        home,
    };
    Ok(PostgresStore { parts: Arc::new(parts) })
}

/// Brings the schemas of store and log in this database up to date; the names of what was applied.
///
/// # Errors
/// [`StoreError::Unavailable`] if the database is away, or needs a newer program.
pub async fn migrate_postgres(url: &str) -> Result<Vec<&'static str>, StoreError> {
    let (link, driver) = Connector::new(url, Durability::Full)?.connect().await?;
    let migrate = async {
        let mut applied = migrations::migrate(&link, &migrations::STORE, true).await?;
        applied.extend(migrations::migrate(&link, &migrations::LOGS, true).await?);
        Ok(applied)
    };
    tokio::select! {
        ended = driver => Err(ended.err().map_or(
            StoreError::Unavailable { reason: "the connection ended".to_owned() },
            StoreError::from,
        )),
        applied = migrate => applied,
    }
}

impl PostgresStore {
    /// Whether the database can be reached now, and this node may write.
    pub fn is_ready(&self) -> bool {
        self.parts.home.is_ready()
    }

    /// Waits until the database was there and its schema is up to date.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if that will never be: the schema needs a newer program, or is older and must not be
    /// changed, or the store has left.
    pub async fn wait_ready(&self) -> Result<(), StoreError> {
        self.parts.home.wait_ready().await
    }

    /// Returns when this node was taken for dead: others have its tasks and deliveries, and it ends and charges nothing
    /// any more. Only another process can go on.
    pub async fn dead(&self) {
        self.parts.home.wait_for(|phase| *phase == Phase::Dead).await;
    }

    /// Deletes this node's row, and gives back what it still has. To be called last, when nothing is under way.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the database cannot be reached: then others take this node for dead.
    pub async fn leave(&self) -> Result<(), StoreError> {
        self.parts.home.leave().await
    }
}
