//! Connections that single statements share: each statement is sent at once, behind those that wait for their answers.
//!
//! A statement by itself is a transaction by itself, so this is the way of all reads and of writes that are one
//! statement. Whoever asks sends and decodes on its own thread; only sockets are left to the store's.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_postgres::Row;

use super::kept::Kept;
use super::link::{Link, Params, Rows};
use super::settings::{STATEMENTS_UNDER_WAY_MAX, TRIP_MAX};
use crate::error::StoreError;

/// A few connections for everyone.
pub(super) struct Shared {
    connections: Vec<Kept>,
    next: AtomicUsize,
    room: Semaphore,
}

impl Shared {
    /// Over these connections, one at least.
    pub(super) const fn new(connections: Vec<Kept>) -> Self {
        let (next, room) = (AtomicUsize::new(0), Semaphore::const_new(STATEMENTS_UNDER_WAY_MAX));
        Self { connections, next, room }
    }

    /// All rows of a statement.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(super) async fn query(&self, sql: &'static str, params: Params<'_>) -> Result<Vec<Row>, StoreError> {
        Ok(self.run(sql, params).await?.rows)
    }

    /// The first row of a statement, if there is one.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(super) async fn first(
        &self,
        sql: &'static str,
        params: Params<'_>,
    ) -> Result<Option<Row>, StoreError> {
        Ok(self.query(sql, params).await?.into_iter().next())
    }

    /// How many rows a statement wrote.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: it may be written all the same.
    pub(super) async fn execute(&self, sql: &'static str, params: Params<'_>) -> Result<u64, StoreError> {
        Ok(self.run(sql, params).await?.count)
    }

    async fn run(&self, sql: &'static str, params: Params<'_>) -> Result<Rows, StoreError> {
        let closed = |_| StoreError::Unavailable { reason: "the store has ended".to_owned() };
        let _room = self.room.acquire().await.map_err(closed)?;
        let link = self.link()?;
        let answered = timeout(TRIP_MAX, async {
            let statement = link.prepare(sql).await?;
            link.send(&statement, params).await
        });
        if let Ok(outcome) = answered.await {
            return Ok(outcome?);
        }
        link.cut();
        Err(StoreError::Unavailable { reason: format!("no answer within {TRIP_MAX:?}") })
    }

    /// The next connection in turn that is there.
    fn link(&self) -> Result<Arc<Link>, StoreError> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let mut away = None;
        for step in 0..self.connections.len() {
            match self.connections[turn.wrapping_add(step) % self.connections.len()].get() {
                Ok(link) => return Ok(link),
                Err(error) => away = Some(error),
            }
        }
        Err(away.unwrap_or(StoreError::Unavailable { reason: "no shared connections".to_owned() }))
    }
}
