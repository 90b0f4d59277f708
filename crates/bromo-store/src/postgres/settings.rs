//! What a PostgreSQL store is opened with, and its bounds.

use std::fmt;
use std::time::Duration;

use bromo_rules::id::NodeId;

/// Making a connection takes no longer, all of its round trips together.
pub(super) const CONNECT_MAX: Duration = Duration::from_secs(5);
/// The server ends a statement that takes longer …
pub(super) const STATEMENT_MAX: Duration = Duration::from_secs(10);
/// … one that waits longer for another's lock …
pub(super) const LOCK_WAIT_MAX: Duration = Duration::from_secs(3);
/// … and a connection that leaves a transaction open without a word: that of a process that stands still. Less than a
/// node lives without renewing.
pub(super) const IDLE_IN_TRANSACTION_MAX: Duration = Duration::from_secs(5);
/// Who gets no answer for so long has lost the connection, whatever the socket says.
pub(super) const TRIP_MAX: Duration = Duration::from_secs(12);
/// Single statements on their way, over all shared connections; past it callers wait to send theirs.
pub(super) const STATEMENTS_UNDER_WAY_MAX: usize = 1024;
/// Jobs that may wait for a lane; past it callers wait to hand theirs over.
pub(super) const JOBS_WAITING_MAX: usize = 8192;

/// What a PostgreSQL store is opened with.
#[derive(Clone)]
pub struct PostgresSettings {
    /// `postgres://user:password@host:port/database`; several hosts may be named, the one that can be written is used.
    /// With `?sslmode=require` the connection is encrypted, and the server must prove who it is to the system's
    /// certificates, or to those of `sslrootcert=FILE`.
    pub url: String,
    /// Connections that all reads share. Writes have some more of their own.
    pub connections: usize,
    /// Whether a database whose schema is older is brought up to date. If not, it is refused.
    pub migrate: bool,
    /// This process: another one at each start.
    pub node: NodeId,
    /// What an operator calls it.
    pub name: String,
    /// A node that did not renew its row for so long is dead: its work goes to others.
    pub dead_after: Duration,
}

impl PostgresSettings {
    /// The defaults: four shared connections, migrating, dead after ten seconds.
    pub fn new(url: impl Into<String>, node: NodeId) -> Self {
        Self {
            url: url.into(),
            connections: 4,
            migrate: true,
            node,
            name: node.to_string(),
            dead_after: Duration::from_secs(10),
        }
    }
}

impl fmt::Debug for PostgresSettings {
    /// Without the address, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url: _, connections, migrate, node, name, dead_after } = self;
        f.debug_struct("PostgresSettings")
            .field("connections", connections)
            .field("migrate", migrate)
            .field("node", node)
            .field("name", name)
            .field("dead_after", dead_after)
            .finish_non_exhaustive()
    }
}
