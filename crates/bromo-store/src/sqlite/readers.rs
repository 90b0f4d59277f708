//! A few threads that read, each with a connection of its own, fed from one bounded queue.
//!
//! Threads rather than the runtime's blocking pool: callers run one small runtime a core, and answers come
//! back over a channel that works between any two. A read begins after it was asked for, so it sees every
//! write that was acknowledged before.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::connection;
use crate::error::StoreError;

/// Reads that may wait; past it callers wait to hand theirs over.
const READS_WAITING_MAX: usize = 1024;

type Read = Box<dyn FnOnce(&Connection) + Send>;
type Queue = Arc<Mutex<mpsc::Receiver<Read>>>;

/// The way to the threads that read. Dropping it ends them.
pub(super) struct Readers {
    reads: Option<mpsc::Sender<Read>>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    /// Starts `count` threads on the database at `path`.
    pub(super) fn start(name: &str, path: &Path, count: usize) -> Result<Self, StoreError> {
        let (sender, receiver) = mpsc::channel(READS_WAITING_MAX);
        let queue: Queue = Arc::new(Mutex::new(receiver));
        let mut readers = Self { reads: Some(sender), threads: Vec::new() };
        for _ in 0..count {
            let connection = connection::open_reader(path)?;
            let queue = Arc::clone(&queue);
            let thread = std::thread::Builder::new()
                .name(name.to_owned())
                .spawn(move || read_all(&queue, &connection))
                .map_err(|error| StoreError::Unavailable { reason: format!("no thread to read: {error}") })?;
            readers.threads.push(thread);
        }
        Ok(readers)
    }

    /// Runs `work` on a connection that can only read.
    pub(super) async fn run<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let gone = || StoreError::Unavailable { reason: "the read did not end".to_owned() };
        let (answer, outcome) = oneshot::channel();
        let read: Read = Box::new(move |connection| {
            if !answer.is_closed() {
                drop(answer.send(work(connection)));
            }
        });
        let reads = self.reads.as_ref().ok_or_else(gone)?;
        reads.send(read).await.map_err(|_| gone())?;
        outcome.await.unwrap_or_else(|_| Err(gone()))
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        drop(self.reads.take());
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

fn read_all(queue: &Queue, connection: &Connection) {
    while let Some(read) = next(queue) {
        if catch_unwind(AssertUnwindSafe(|| read(connection))).is_err() {
            tracing::error!("a store read panicked");
        }
        // A panic may have left a read transaction open, which would hold the WAL up.
        if !connection.is_autocommit() {
            drop(connection.execute_batch("ROLLBACK"));
        }
    }
}

/// One thread waits inside the lock, the others for the lock; the lock is free again before the read runs.
fn next(queue: &Queue) -> Option<Read> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv()
}
