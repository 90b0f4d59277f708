//! Making connections, and making them again with growing pauses.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::timeout;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};
use tokio_postgres::{Client, Config, NoTls};

use super::error::text;
use super::link::Link;
use super::settings::{CONNECT_MAX, IDLE_IN_TRANSACTION_MAX, LOCK_WAIT_MAX, STATEMENT_MAX};
use super::tls::{self, Tls};
use crate::error::StoreError;

/// The oldest server that is good for us.
const VERSION_MIN: i32 = 150_000;
/// The kernel ends a connection whose other end does not confirm for so long what was sent.
const UNHEARD_MAX: Duration = Duration::from_secs(6);
/// The pause after the first failure; each is twice the one before …
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// … up to this.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// Another reason is logged no sooner than this after the one before.
const TELL_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// Polls a connection; ends with it.
pub(super) type Driver = Pin<Box<dyn Future<Output = Result<(), tokio_postgres::Error>>>>;

/// When a commit counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// As the server is set up: unless somebody changed that, once it survives the loss of power.
    Full,
    /// Once it survives the loss of this process.
    Process,
}

/// Makes connections to one database.
pub(super) struct Connector {
    config: Config,
    tls: Option<Tls>,
    durability: Durability,
    /// Why the last try failed, if it did.
    failing: Mutex<Option<Failing>>,
}

struct Failing {
    reason: String,
    told_at: Instant,
}

impl Connector {
    /// To the database of this address.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if that is no address; says nothing of what stands in it, which may be a password.
    pub(super) fn new(url: &str, durability: Durability) -> Result<Self, StoreError> {
        let (plain, tls) = tls::split(url).map_err(|reason| StoreError::Unavailable { reason })?;
        let mut config: Config = plain.parse().map_err(|_| StoreError::Unavailable {
            reason: "the address is not of the form postgres://user@host:port/database".to_owned(),
        })?;
        config
            .ssl_mode(if tls.is_some() { SslMode::Require } else { SslMode::Disable })
            .application_name("bromo")
            .connect_timeout(CONNECT_MAX)
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .tcp_user_timeout(UNHEARD_MAX)
            .keepalives(true)
            .keepalives_idle(Duration::from_secs(5))
            .keepalives_interval(Duration::from_secs(2))
            .keepalives_retries(3);
        Ok(Self { config, tls, durability, failing: Mutex::default() })
    }

    /// Makes a connection, once. Whoever has the driver must poll it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(super) async fn connect(&self) -> Result<(Arc<Link>, Driver), StoreError> {
        let made = match timeout(CONNECT_MAX, self.make()).await {
            Ok(made) => made,
            Err(_) => Err(format!("no connection within {CONNECT_MAX:?}")),
        };
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        match &made {
            Ok(_) => {
                if failing.take().is_some() {
                    tracing::info!("the database can be reached again");
                }
            }
            Err(reason) => {
                // A dozen connections try on, and what a server says changes while it starts.
                let told = failing
                    .as_ref()
                    .filter(|before| before.reason == *reason || before.told_at.elapsed() < TELL_AGAIN_AFTER);
                let told_at = told.map_or_else(Instant::now, |before| before.told_at);
                if told.is_none() {
                    tracing::warn!(reason, "the database cannot be reached; trying on");
                }
                *failing = Some(Failing { reason: reason.clone(), told_at });
            }
        }
        made.map_err(|reason| StoreError::Unavailable { reason })
    }

    /// Makes a connection, however long that takes.
    pub(super) async fn connect_at_last(&self) -> (Arc<Link>, Driver) {
        let mut pause = PAUSE_MIN;
        loop {
            if let Ok(made) = self.connect().await {
                return made;
            }
            // Or all connections of all nodes come at the same instant when the server is back.
            tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Why there is no connection.
    pub(super) fn away(&self) -> StoreError {
        let failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        let reason = failing.as_ref().map_or("not connected", |failing| &failing.reason).to_owned();
        StoreError::Unavailable { reason }
    }

    async fn make(&self) -> Result<(Arc<Link>, Driver), String> {
        let (client, mut driver): (Client, Driver) = match &self.tls {
            Some(tls) => {
                let made = self.config.connect(tls.clone()).await;
                made.map(|(client, connection)| (client, Box::pin(connection) as Driver))
            }
            None => {
                let made = self.config.connect(NoTls).await;
                made.map(|(client, connection)| (client, Box::pin(connection) as Driver))
            }
        }
        .map_err(|error| text(&error))?;
        let set_up = async {
            client.batch_execute(&session(self.durability)).await?;
            client.query_one("SELECT current_setting('server_version_num')::int", &[]).await?.try_get(0)
        };
        let version: Result<i32, _> = tokio::select! {
            ended = &mut driver => return Err(ended.err().map_or("closed".to_owned(), |error| text(&error))),
            version = set_up => version,
        };
        match version {
            Ok(version) if version < VERSION_MIN => {
                Err(format!("the server is PostgreSQL {}, bromo needs 15 or newer", version / 10_000))
            }
            Ok(_) => Ok((Arc::new(Link::new(client)), driver)),
            Err(error) => Err(text(&error)),
        }
    }
}

/// What each connection begins with. Our statements are short: compiling them costs more than it saves, and so does a plan
/// of its own for each call, which for one that looks at the queue took as long as the look. And each has an index: a plan
/// that was made when a table was small must not read the whole of it once it is large. Nor the whole of what an index
/// names: a bitmap of it visits every dead row behind a floor each time, where walking the index in order marks it dead once.
///
/// That a statement looks its rows up, and does not walk over an index, is no matter of settings but of how it is written:
/// where statistics say that a table is nearly empty, both seem to cost the same, and a walk gives an order besides, which is
/// good for a merge. So no table that grows stands in an ordinary join:
///
/// - What is read is looked up in a subquery of its own, `LATERAL (SELECT … WHERE seq = q.seq OFFSET 0)`: behind `OFFSET 0` the
///   planner knows of no join, and so of no use for an order.
/// - What is written is found by `seq = ANY(ARRAY(SELECT …))`, or by `seq = ANY(ARRAY[f.seq])` where values of the other side
///   are needed: an index can look that up, and no order is of use to it.
/// - A column that another index has too is hidden from that with `+ 0`.
/// - The first of an order is asked for with `LIMIT 1`, not with `min`.
///
/// Walks over an index alone are off, since one that has all columns of a statement needs no reason. The tests in `walks.rs`
/// see to all of this.
///
/// Answers are often just large enough to be compressed, which the server's own method takes longer for than for all the
/// rest of the row; LZ4, where the server has it, does not.
fn session(durability: Durability) -> String {
    let commit = match durability {
        Durability::Full => "",
        Durability::Process => "SET synchronous_commit = off;",
    };
    format!(
        "SET statement_timeout = {}; SET lock_timeout = {}; SET idle_in_transaction_session_timeout = {};
         SET jit = off; SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off;
         SET enable_bitmapscan = off; SET enable_indexonlyscan = off; {commit} SET default_transaction_isolation = 'read committed';
         DO $$ BEGIN
             SET default_toast_compression = 'lz4';
         EXCEPTION WHEN invalid_parameter_value THEN NULL;
         END $$",
        STATEMENT_MAX.as_millis(),
        LOCK_WAIT_MAX.as_millis(),
        IDLE_IN_TRANSACTION_MAX.as_millis(),
    )
}
