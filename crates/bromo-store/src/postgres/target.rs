//! A database as an installation is moved into it: one connection, on which nobody else writes meanwhile.
//!
//! Rows are copied in, a page a transaction, and with them goes how far their part has come. Whoever starts the move again
//! goes on from there. What follows from the rows (counters, floors, sequences) is made once they are all here.

mod begin;
mod figures;
mod settle;
mod write;

pub(crate) use self::figures::Found;
pub(crate) use self::write::Progress;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bromo_rules::id::AccountId;
use uuid::Uuid;

use super::connect::{Connector, Durability};
use super::link::Link;
use super::submit;
use crate::error::StoreError;

/// A table is looked at as a whole, and nobody else waits for it. Only the last commit of all waits for the disk.
const SESSION: &str = "SET statement_timeout = 0; SET enable_seqscan = on";

/// The database that an installation is moved into.
pub(crate) struct Target {
    link: Arc<Link>,
}

/// Keeps the connection going; ends with it, and says why.
pub(crate) type Lost = Pin<Box<dyn Future<Output = StoreError>>>;

impl Target {
    /// Connects; whoever has the second part must poll it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(crate) async fn connect(url: &str) -> Result<(Self, Lost), StoreError> {
        let (link, mut driver) = Connector::new(url, Durability::Process)?.connect().await?;
        let ended = |ended: Result<(), tokio_postgres::Error>| {
            let closed = StoreError::Unavailable { reason: "the connection ended".to_owned() };
            ended.err().map_or(closed, StoreError::from)
        };
        tokio::select! {
            end = &mut driver => return Err(ended(end)),
            set = link.client.batch_execute(SESSION) => set?,
        }
        let lost = Box::pin(async move { ended(driver.await) });
        Ok((Self { link }, lost))
    }
}

/// The number under which an account's idempotency key is found.
pub(crate) fn task_key_hash(account: AccountId, key: &str) -> Uuid {
    submit::key_hash(account, key)
}
