//! One connection and the statements that were prepared on it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use futures_util::TryStreamExt;
use tokio::sync::Notify;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Row, Statement};

/// Values for the `$1`, `$2`, … of a statement.
pub(super) type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// A statement and its values.
pub(super) struct Call<'a> {
    /// Prepared once a connection; so it is one of a few texts, never made up at run time.
    pub(super) sql: &'static str,
    /// Its values.
    pub(super) params: Vec<&'a (dyn ToSql + Sync)>,
}

/// A statement and its values.
pub(super) fn call<'a>(sql: &'static str, params: &[&'a (dyn ToSql + Sync)]) -> Call<'a> {
    Call { sql, params: params.to_vec() }
}

/// What a statement answered.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// What it returned.
    pub(super) rows: Vec<Row>,
    /// How many rows it returned or wrote.
    pub(super) count: u64,
}

/// One connection. Statements that are sent without waiting for each other's answers are answered in their order.
pub(super) struct Link {
    /// The connection.
    pub(super) client: Client,
    statements: Mutex<HashMap<&'static str, Statement>>,
    cut: Notify,
    is_cut: AtomicBool,
}

impl Link {
    /// Around a connection that somebody polls.
    pub(super) fn new(client: Client) -> Self {
        Self { client, statements: Mutex::default(), cut: Notify::new(), is_cut: AtomicBool::new(false) }
    }

    /// Whether it is of no use any more.
    pub(super) fn is_closed(&self) -> bool {
        self.is_cut.load(Ordering::Relaxed) || self.client.is_closed()
    }

    /// Ends it: nobody knows what it is doing. Nobody uses it from now on, although the socket may close later.
    pub(super) fn cut(&self) {
        self.is_cut.store(true, Ordering::Relaxed);
        self.cut.notify_one();
    }

    /// Returns when somebody cuts it.
    pub(super) async fn cut_by_us(&self) {
        self.cut.notified().await;
    }

    /// The statement, prepared; one round trip at its first use.
    pub(super) async fn prepare(&self, sql: &'static str) -> Result<Statement, Error> {
        let known = self.statements.lock().unwrap_or_else(PoisonError::into_inner).get(sql).cloned();
        if let Some(statement) = known {
            return Ok(statement);
        }
        let statement = self.client.prepare(sql).await?;
        self.statements.lock().unwrap_or_else(PoisonError::into_inner).insert(sql, statement.clone());
        Ok(statement)
    }

    /// Sends the statement when first polled, so that polling several in turn sends them in turn.
    pub(super) async fn send(&self, statement: &Statement, params: Params<'_>) -> Result<Rows, Error> {
        let params = params.iter().copied();
        let stream = self.client.query_raw(statement, params).await?;
        futures_util::pin_mut!(stream);
        let mut rows = Vec::new();
        while let Some(row) = stream.try_next().await? {
            rows.push(row);
        }
        Ok(Rows { rows, count: stream.rows_affected().unwrap_or(0) })
    }
}
