//! One transaction of a lane: [`Tx::read`] is one round trip, [`Tx::commit`] another.

use std::cell::Cell;
use std::pin::Pin;

use futures_util::future::{join_all, join4};
use tokio::time::timeout;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Error, Row};

use bromo_rules::id::NodeId;

use super::error::Fault;
use super::link::{Call, Link, Params, Rows, call};
use super::settings::TRIP_MAX;
use crate::error::StoreError;

/// Whoever takes a node for dead waits until nobody holds this.
const HOLD_NODE: &str = "SELECT pg_advisory_xact_lock_shared($1)";
/// An error, and so the end of the transaction and of all that is on its way behind, if the row is gone.
const CHECK_NODE: &str = "SELECT 1 / count(*) FROM nodes WHERE id = $1";

/// A transaction on its way. It begins with the first statement; without [`Tx::commit`] the lane commits it if all went
/// well. After an error nothing of it is written.
pub(super) struct Tx<'a> {
    link: &'a Link,
    begin: &'static str,
    guard: Option<NodeId>,
    is_again: bool,
    begun: Cell<bool>,
    committed: Cell<bool>,
    fault: Cell<Option<Fault>>,
}

impl<'a> Tx<'a> {
    /// On this connection, which nobody else uses meanwhile, begun with this statement. With a node, nothing is written unless its row is there.
    pub(super) const fn new(link: &'a Link, begin: &'static str, guard: Option<NodeId>) -> Self {
        let (begun, committed, fault) = (Cell::new(false), Cell::new(false), Cell::new(None));
        Self { link, begin, guard, is_again: false, begun, committed, fault }
    }

    /// The same for what failed once.
    pub(super) const fn again(mut self) -> Self {
        self.is_again = true;
        self
    }

    /// Whether the same failed once: it is time to look for what it may have met.
    pub(super) const fn is_again(&self) -> bool {
        self.is_again
    }

    /// Runs these statements one after the other, in one round trip. Each sees what those before it wrote and what
    /// others had committed when it began: read *after* taking the lock that protects what is read.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; the transaction is at an end.
    pub(super) async fn read<const N: usize>(&self, calls: [Call<'_>; N]) -> Result<[Rows; N], StoreError> {
        Ok(array(self.trip(&calls, false).await?))
    }

    /// The same for a number that differs.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; the transaction is at an end.
    pub(super) async fn read_all(&self, calls: &[Call<'_>]) -> Result<Vec<Rows>, StoreError> {
        self.trip(calls, false).await
    }

    /// The same, and commits.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; nothing was written, or, if the connection was lost, all may be.
    pub(super) async fn commit<const N: usize>(&self, calls: [Call<'_>; N]) -> Result<[Rows; N], StoreError> {
        Ok(array(self.trip(&calls, true).await?))
    }

    /// All rows of a statement, in a round trip of its own.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(super) async fn query(&self, sql: &'static str, params: Params<'_>) -> Result<Vec<Row>, StoreError> {
        let [rows] = self.read([call(sql, params)]).await?;
        Ok(rows.rows)
    }

    /// The first row of a statement, if there is one, in a round trip of its own.
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

    /// How many rows a statement wrote, in a round trip of its own.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(super) async fn execute(&self, sql: &'static str, params: Params<'_>) -> Result<u64, StoreError> {
        let [rows] = self.read([call(sql, params)]).await?;
        Ok(rows.count)
    }

    /// Runs statements that cannot be prepared, once the transaction has begun. Only for texts of our own making.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(super) async fn batch(&self, sql: &str) -> Result<(), StoreError> {
        match timeout(TRIP_MAX, self.link.client.batch_execute(sql)).await {
            Ok(outcome) => outcome.map_err(|error| self.failed(error)),
            Err(_) => Err(self.unanswered()),
        }
    }

    /// Copies rows of these types in, once the transaction has begun.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(super) async fn copy(&self, sql: &'static str, types: &[Type]) -> Result<Copy<'_>, StoreError> {
        let begun = async {
            let statement = self.link.prepare(sql).await?;
            self.link.client.copy_in(&statement).await
        };
        match timeout(TRIP_MAX, begun).await {
            Ok(Ok(sink)) => Ok(Copy { tx: self, writer: Box::pin(BinaryCopyInWriter::new(sink, types)) }),
            Ok(Err(error)) => Err(self.failed(error)),
            Err(_) => Err(self.unanswered()),
        }
    }

    /// What went wrong with the database, if anything.
    pub(super) const fn fault(&self) -> Option<Fault> {
        self.fault.get()
    }

    /// Commits what is not committed.
    pub(super) async fn finish(&self) -> Result<(), StoreError> {
        if self.begun.get() && !self.committed.get() {
            self.commit([]).await?;
        }
        Ok(())
    }

    /// Undoes what is not committed, so that the connection is good for the next transaction.
    pub(super) async fn roll_back(&self) {
        if self.begun.get() && !self.committed.get() && !self.link.is_closed() {
            let undone = timeout(TRIP_MAX, self.link.client.batch_execute("ROLLBACK")).await;
            if !matches!(undone, Ok(Ok(()))) {
                self.link.cut();
            }
        }
    }

    async fn trip(&self, calls: &[Call<'_>], commit: bool) -> Result<Vec<Rows>, StoreError> {
        match timeout(TRIP_MAX, self.send(calls, commit)).await {
            Ok(Ok(answers)) => Ok(answers),
            Ok(Err(error)) => Err(self.failed(error)),
            Err(_) => Err(self.unanswered()),
        }
    }

    /// Notes an error of the database.
    fn failed(&self, error: Error) -> StoreError {
        let fault = Fault::of(&error);
        self.fault.set(self.fault.get().or(Some(fault)));
        if fault == Fault::Lost {
            self.link.cut();
        }
        if self.fault.get() == Some(Fault::Dead) {
            let reason = "this node was taken for dead: its work is others' now".to_owned();
            return StoreError::Unavailable { reason };
        }
        error.into()
    }

    fn unanswered(&self) -> StoreError {
        self.fault.set(Some(Fault::Lost));
        self.link.cut();
        StoreError::Unavailable { reason: format!("no answer within {TRIP_MAX:?}") }
    }

    async fn send(&self, calls: &[Call<'_>], commit: bool) -> Result<Vec<Rows>, Error> {
        // What is not prepared yet must be before anything is sent, or the order would be lost.
        let begins = !self.begun.get();
        let guard = self.guard.filter(|_| begins).map(NodeId::to_i64);
        let mut checks = Vec::new();
        let id: [&(dyn ToSql + Sync); 1] = [&guard];
        if guard.is_some() {
            for sql in [HOLD_NODE, CHECK_NODE] {
                checks.push(self.link.prepare(sql).await?);
            }
        }
        let mut statements = Vec::with_capacity(calls.len());
        for call in calls {
            statements.push((self.link.prepare(call.sql).await?, call.params.as_slice()));
        }
        self.begun.set(true);
        // From here to the first wait everything is sent, in this order.
        let (began, checked, answered, committed) = join4(
            self.simple(self.begin, begins),
            join_all(checks.iter().map(|check| self.link.send(check, &id))),
            join_all(statements.iter().map(|(statement, params)| self.link.send(statement, params))),
            self.simple("COMMIT", commit),
        )
        .await;
        began?;
        for check in checked {
            check.inspect_err(|error| {
                let gone = Fault::of(error) == Fault::Other;
                self.fault.set(gone.then_some(Fault::Dead));
            })?;
        }
        let answers = answered.into_iter().collect::<Result<_, _>>()?;
        committed?;
        self.committed.set(commit);
        Ok(answers)
    }

    async fn simple(&self, sql: &'static str, wanted: bool) -> Result<(), Error> {
        if wanted { self.link.client.batch_execute(sql).await } else { Ok(()) }
    }
}

/// One answer a call.
fn array<const N: usize>(answers: Vec<Rows>) -> [Rows; N] {
    let mut answers = answers.into_iter();
    std::array::from_fn(|_| answers.next().unwrap_or_default())
}

/// Rows on their way in. Dropped before its end, it fails the transaction.
pub(super) struct Copy<'a> {
    tx: &'a Tx<'a>,
    writer: Pin<Box<BinaryCopyInWriter>>,
}

impl Copy<'_> {
    /// Sends a row.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(super) async fn write(&mut self, row: Params<'_>) -> Result<(), StoreError> {
        match timeout(TRIP_MAX, self.writer.as_mut().write(row)).await {
            Ok(outcome) => outcome.map_err(|error| self.tx.failed(error)),
            Err(_) => Err(self.tx.unanswered()),
        }
    }

    /// Waits until all are there.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(super) async fn finish(mut self) -> Result<(), StoreError> {
        match timeout(TRIP_MAX, self.writer.as_mut().finish()).await {
            Ok(outcome) => outcome.map(drop).map_err(|error| self.tx.failed(error)),
            Err(_) => Err(self.tx.unanswered()),
        }
    }
}
