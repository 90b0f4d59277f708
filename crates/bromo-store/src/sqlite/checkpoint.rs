//! Carrying the WAL's pages home into the database file.
//!
//! SQLite's own automatic checkpoint runs inside the commit, so whoever waits for that commit waits for it
//! too. Here it is off, and two things replace it, both after the callers were answered:
//!
//! - a thread with a connection of its own does PASSIVE checkpoints beside the writer, woken each time
//!   [`BACKLOG_PAGES`] have gathered; it does most of the copying and most of the fsyncs;
//! - under steady writes that thread never catches the last frame, so the WAL would never start over
//!   (ceilings: 2 GB in 14 s). Once it has [`WAL_PAGES_MAX`] the writer does one PASSIVE checkpoint itself,
//!   between two groups, of the [`OWN_PAGES_MAX`] that are left; the next commit then starts the WAL over. If the thread is
//!   just at it, or a read needs the pages, the writer goes on for now, but at [`WAL_PAGES_STOP`] it waits
//!   for both: where the disk cannot follow, writing slows down rather than fill it.
//!
//! So the WAL has at most [`WAL_PAGES_STOP`] pages and one group more, unless a read lasts longer than
//! [`PATIENCE`]; reads here are short. Neither part runs while nothing is written.

use std::cell::Cell;
use std::path::Path;
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::wal::CheckpointMode;

use super::connection;
use crate::error::StoreError;

/// Pages not yet carried home that wake the thread: 4 MiB.
const BACKLOG_PAGES: i32 = 1000;
/// Pages at which the writer lends a hand so that the WAL starts over: 32 MiB.
const WAL_PAGES_MAX: i32 = 8000;
/// It does so once so few are left to carry home, 1 MiB, since whoever waits for a commit waits for it too. Until then the
/// thread is woken again and again: each of its rounds is shorter than the one before.
const OWN_PAGES_MAX: i32 = 250;
/// Pages at which the writer waits until it can: 48 MiB.
const WAL_PAGES_STOP: i32 = 12_000;
/// If a read kept the WAL from starting over, try again after this many more.
const RETRY_PAGES: i32 = 500;
/// How long the writer waits for reads to end.
const PATIENCE: Duration = Duration::from_millis(200);

/// Decides after each commit; owned by the writer's thread.
pub(super) struct Checkpointer {
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    own_turn_at: Cell<i32>,
    // Two checkpoints at once: the later one gives up as busy. Held during each, so that one can wait.
    turn: Arc<Mutex<()>>,
}

impl Checkpointer {
    /// Starts the thread for the database at `path`.
    pub(super) fn start(path: &Path) -> Result<Self, StoreError> {
        let connection = connection::open_writer(path, connection::Durability::Full)?;
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        let (wake, woken) = mpsc::sync_channel::<()>(1);
        let turn = Arc::new(Mutex::new(()));
        let threads_turn = Arc::clone(&turn);
        let thread = std::thread::Builder::new()
            .name("store-checkpoint".to_owned())
            .spawn(move || {
                while woken.recv().is_ok() {
                    let _turn = threads_turn.lock().unwrap_or_else(PoisonError::into_inner);
                    checkpoint(&connection);
                }
            })
            .map_err(|error| StoreError::Unavailable { reason: format!("no thread: {error}") })?;
        Ok(Self { wake: Some(wake), thread: Some(thread), own_turn_at: Cell::new(WAL_PAGES_MAX), turn })
    }

    /// Looks at the WAL's length and does, or has done, what is due.
    pub(super) fn after_commit(&self, writer: &Connection) {
        let Ok((pages, home)) = writer.wal_checkpoint_v2(None::<&str>, CheckpointMode::NOOP) else {
            return;
        };
        if pages < WAL_PAGES_MAX {
            self.own_turn_at.set(WAL_PAGES_MAX);
        }
        let (left, is_full) = (pages - home, pages >= self.own_turn_at.get());
        if pages >= WAL_PAGES_STOP || (is_full && left <= OWN_PAGES_MAX) {
            self.take_turn(writer, pages);
        } else if (is_full || left >= BACKLOG_PAGES)
            && let Some(wake) = &self.wake
        {
            // Full means that it is about to run anyway.
            let _already_due = wake.try_send(());
        }
    }

    fn take_turn(&self, writer: &Connection, pages: i32) {
        if pages < WAL_PAGES_STOP {
            let _turn = match self.turn.try_lock() {
                Ok(turn) => turn,
                Err(TryLockError::Poisoned(turn)) => turn.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            };
            checkpoint(writer);
        } else {
            let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
            let restarted = writer
                .busy_timeout(PATIENCE)
                .and_then(|()| writer.wal_checkpoint_v2(None::<&str>, CheckpointMode::RESTART));
            if let Err(error) = restarted.and(writer.busy_timeout(connection::BUSY_TIMEOUT)) {
                tracing::warn!(%error, pages, "the WAL could not start over");
            }
        }
        self.own_turn_at.set(pages + RETRY_PAGES);
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        drop(self.wake.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Whatever is wrong shows in the next commit too, which has callers to tell.
fn checkpoint(connection: &Connection) {
    if let Err(error) = connection.wal_checkpoint_v2(None::<&str>, CheckpointMode::PASSIVE) {
        tracing::debug!(%error, "no checkpoint");
    }
}
