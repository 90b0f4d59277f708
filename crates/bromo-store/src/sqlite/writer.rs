//! The one thread that writes: it takes whatever has arrived and commits it together.
//!
//! Nobody waits for company: a job that comes alone is committed alone, at once. While one commit runs the
//! next group gathers, so the group size follows the load (ceilings: 64 callers, about 63 jobs a commit).
//!
//! Callers are told only after the commit, and with [`Durability::Full`](super::connection::Durability)
//! that is after the fsync. A failed commit is told to everyone in the group; the next group is a new try.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::checkpoint::Checkpointer;
use super::job::{ChargeJob, Closure, Committed, Job};
use super::ledger;
use crate::error::StoreError;
use crate::ledger::{Charge, Charged};

/// Jobs that may wait for the writer; past it callers wait to hand theirs over.
const JOBS_WAITING_MAX: usize = 8192;
/// Jobs that share one commit.
const GROUP_JOBS_MAX: usize = 4096;

/// The way to the thread that writes. Dropping it commits what was handed over, then ends the thread.
pub(super) struct Writer {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread. `connection` is used by nobody else.
    pub(super) fn start(
        name: &str,
        connection: Connection,
        checkpointer: Option<Checkpointer>,
    ) -> Result<Self, StoreError> {
        let (sender, receiver) = mpsc::channel(JOBS_WAITING_MAX);
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || write_all(receiver, &connection, checkpointer.as_ref()))
            .map_err(|error| StoreError::Unavailable { reason: format!("no thread to write: {error}") })?;
        Ok(Self { jobs: Some(sender), thread: Some(thread) })
    }

    /// Runs `work` in a savepoint of the next group; an error undoes it and nothing else.
    ///
    /// Once handed over, it runs even if the caller leaves.
    pub(super) async fn run<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (answer, outcome) = oneshot::channel();
        self.hand_over(Job::Other(Box::new(Closure::new(work, answer)))).await?;
        outcome.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Pays a charge with the next group.
    pub(super) async fn charge(&self, charge: Charge) -> Result<Charged, StoreError> {
        let (answer, outcome) = oneshot::channel();
        self.hand_over(Job::Charge(ChargeJob { charge, outcome: None, answer })).await?;
        outcome.await.unwrap_or_else(|_| Err(gone()))
    }

    async fn hand_over(&self, job: Job) -> Result<(), StoreError> {
        let jobs = self.jobs.as_ref().ok_or_else(gone)?;
        jobs.send(job).await.map_err(|_| gone())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // Its panics were caught and logged inside.
            drop(thread.join());
        }
    }
}

fn gone() -> StoreError {
    StoreError::Unavailable { reason: "the writer has ended".to_owned() }
}

fn write_all(mut jobs: mpsc::Receiver<Job>, connection: &Connection, checkpointer: Option<&Checkpointer>) {
    let mut group = Vec::new();
    let mut was_failing = false;
    while jobs.blocking_recv_many(&mut group, GROUP_JOBS_MAX) > 0 {
        let committed = commit(connection, &mut group);
        // Each caller tells of its own failure; here only the turns, or a full disk fills the log too.
        match &committed {
            Err(reason) if !was_failing => tracing::error!(reason, "commits fail"),
            Ok(()) if was_failing => tracing::info!("commits work again"),
            _ => {}
        }
        was_failing = committed.is_err();
        for job in group.drain(..) {
            job.answer(&committed);
        }
        if let Some(checkpointer) = checkpointer {
            checkpointer.after_commit(connection);
        }
    }
}

/// Runs the group in one transaction. Afterwards none is open, whatever happened.
fn commit(connection: &Connection, group: &mut [Job]) -> Committed {
    let outcome = catch_unwind(AssertUnwindSafe(|| run_group(connection, group)));
    let committed = match outcome {
        Ok(outcome) => outcome.map_err(|error| error.to_string()),
        Err(panic) => Err(format!("panicked: {}", panic_text(panic.as_ref()))),
    };
    if !connection.is_autocommit()
        && let Err(error) = connection.execute_batch("ROLLBACK")
    {
        tracing::error!(%error, "rollback failed");
    }
    committed
}

fn run_group(connection: &Connection, group: &mut [Job]) -> Result<(), StoreError> {
    execute(connection, "BEGIN IMMEDIATE")?;
    let mut charges = Vec::new();
    for job in group {
        match job {
            Job::Charge(job) => charges.push(job),
            Job::Other(work) => in_savepoint(connection, || work.run(connection))?,
        }
    }
    // After the others: all arrived together, so any order is right, and this one lets grants count.
    if !charges.is_empty() {
        in_savepoint(connection, || ledger::pay(connection, &mut charges))?;
    }
    execute(connection, "COMMIT")
}

/// Runs `work` so that its changes can be undone alone. It answers whether they are to stay.
fn in_savepoint(connection: &Connection, work: impl FnOnce() -> bool) -> Result<(), StoreError> {
    execute(connection, "SAVEPOINT job")?;
    let keep = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        tracing::error!(panic = panic_text(panic.as_ref()), "a store job panicked");
        false
    });
    // A full disk can make SQLite undo the whole transaction, and with it the jobs before this one.
    if connection.is_autocommit() {
        return Err(StoreError::Unavailable { reason: "the database undid the transaction".to_owned() });
    }
    if !keep {
        execute(connection, "ROLLBACK TO job")?;
    }
    execute(connection, "RELEASE job")
}

fn execute(connection: &Connection, sql: &str) -> Result<(), StoreError> {
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
