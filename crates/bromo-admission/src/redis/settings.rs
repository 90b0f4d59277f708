//! What [`Redis`](super::Redis) is opened with.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bromo_rules::id::{AccountId, NodeId};
use bromo_rules::time::ManualClock;
use futures_util::future::BoxFuture;

use crate::ask::Facts;

/// Under this the time is an argument, so that tests move it; nowhere else.
pub const TEST_PREFIX: &str = "test:";

/// Tells which nodes live: all that may hold leases now. Asked of the store, after a loss was seen; must not be cached.
pub type Living = Arc<dyn Fn() -> BoxFuture<'static, Result<Vec<NodeId>, String>> + Send + Sync>;

/// Reads an account from the store, past every cache; none if there is no such account.
pub type ReadFacts =
    Arc<dyn Fn(AccountId) -> BoxFuture<'static, Result<Option<Facts>, String>> + Send + Sync>;

/// Where the time of decisions comes from.
#[derive(Debug, Clone, Default)]
pub enum Time {
    /// Redis' own clock, the same for all nodes.
    #[default]
    Redis,
    /// A clock in hand, which every ask sets to its own `now`. For tests: the prefix must begin with `test:`.
    Given(Arc<ManualClock>),
}

/// The waits between tries to connect: from `first`, doubled each time, up to `most`, each by chance up to a half shorter.
#[derive(Debug, Clone, Copy)]
pub struct Retry {
    /// After the first failure.
    pub first: Duration,
    /// The longest.
    pub most: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { first: Duration::from_millis(50), most: Duration::from_secs(2) }
    }
}

/// How to reach Redis, and as whom.
#[derive(Clone)]
pub struct Settings {
    /// `redis[s]://[user[:password]@]host[:port][/db]`; with `rediss` perhaps `?sslrootcert=FILE`. Of a Redis Cluster any
    /// server.
    pub url: String,
    /// This process.
    pub node: NodeId,
    /// What every key and channel begins with. Installations that share a server need different ones.
    pub prefix: String,
    /// How long a decision waits for Redis before it is none.
    pub timeout: Duration,
    /// Which nodes live.
    pub living: Living,
    /// What the store says of an account.
    pub facts: ReadFacts,
    /// Replicas that must have what was admitted, announced or renewed before it counts (`WAIT`); 0 waits for none.
    pub wait_replicas: u32,
    /// Between tries to connect.
    pub retry: Retry,
    /// The clock of decisions.
    pub time: Time,
}

impl Settings {
    /// Settings with the default prefix (`bromo:`), half a second of patience, and no replicas to wait for.
    pub fn new(url: impl Into<String>, node: NodeId, living: Living, facts: ReadFacts) -> Self {
        Self {
            url: url.into(),
            node,
            prefix: "bromo:".to_owned(),
            timeout: Duration::from_millis(500),
            living,
            facts,
            wait_replicas: 0,
            retry: Retry::default(),
            time: Time::Redis,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the URL: it may hold a password.
        f.debug_struct("Settings")
            .field("node", &self.node)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// Why Redis cannot be used as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The address means nothing.
    #[error("read the Redis address: {0}")]
    Address(String),
    /// The prefix would break keys apart.
    #[error("use the Redis prefix: it must be 1 to 64 printable characters without braces or spaces")]
    Prefix,
    /// A clock in hand outside of tests.
    #[error("take the time as an argument: the prefix must begin with {TEST_PREFIX}")]
    Time,
    /// It forgets what it must not.
    #[error(
        "use this Redis: its maxmemory-policy is {policy}, and must be noeviction (or leases would be forgotten)"
    )]
    Policy {
        /// As Redis names it.
        policy: String,
    },
    /// A thread of its own could not be had.
    #[error("start a thread: {0}")]
    Thread(String),
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), OpenError> {
        let plain = |c: char| c.is_ascii_graphic() && c != '{' && c != '}';
        if self.prefix.is_empty() || self.prefix.len() > 64 || !self.prefix.chars().all(plain) {
            return Err(OpenError::Prefix);
        }
        match self.time {
            Time::Given(_) if !self.prefix.starts_with(TEST_PREFIX) => Err(OpenError::Time),
            _ => Ok(()),
        }
    }
}
