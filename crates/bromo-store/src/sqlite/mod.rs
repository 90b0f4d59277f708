//! SQLite in a data folder: the store of one node.
//!
//! One thread writes and commits in groups ([`writer`]), a few read ([`readers`]), one carries pages home
//! ([`checkpoint`]). WAL and `synchronous=FULL`: acknowledged means fsynced. The folder belongs to one
//! process. With nothing to do, every thread sleeps.

mod accounts;
mod attempt;
mod checkpoint;
mod claim;
mod connection;
mod deliveries;
mod delivery_list;
mod delivery_rows;
mod expire;
mod folder;
mod group;
mod job;
mod keys;
mod keys_recent;
mod ledger;
mod logs;
mod members;
mod memory;
mod migrations;
mod open;
mod outbox;
mod pages;
mod plan_requests;
mod queue;
mod readers;
mod rows;
mod secrets;
mod settle;
mod sign_ins;
mod source;
mod submit;
mod task_blocks;
mod task_keys;
mod task_rows;
mod tasks;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;

use self::checkpoint::Checkpointer;
use self::connection::Durability;
pub use self::logs::{SqliteLogs, open_sqlite_logs};
use self::memory::Memory;
use self::readers::Readers;
pub(crate) use self::source::{Marks, Source};
use self::writer::Writer;
use crate::error::StoreError;

/// Name of the database in its folder.
const STORE_FILE: &str = "bromo.db";
/// Held while the database is open.
const STORE_LOCK: &str = "bromo.lock";
/// Threads that read. Look-ups are short; two keep a long listing from holding one up.
const STORE_READERS: usize = 2;

/// Accounts, members, keys, ledger, pages, tasks and deliveries in one SQLite database.
///
/// Dropping it commits what was handed over, ends its threads and gives the folder back; that blocks for
/// about one commit.
pub struct SqliteStore {
    parts: Arc<Parts>,
}

/// Shared with claims on their way, which keep the store open.
struct Parts {
    memory: Arc<Memory>,
    // Dropped in this order: no reader outlives the writer's last checkpoint, the lock goes last.
    readers: Readers,
    writer: Writer,
    _lock: folder::Claim,
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").finish_non_exhaustive()
    }
}

/// Opens the store in `folder`, makes both if they are missing, and brings the schema up to date. Blocks.
///
/// # Errors
/// [`StoreError::Unavailable`] if the folder is in use by another process, cannot be written, or holds the
/// database of a newer program; [`StoreError::Corrupt`] if the file is no database.
pub fn open_sqlite(folder: &Path) -> Result<SqliteStore, StoreError> {
    open_watched(folder, |_| Ok(()))
}

/// The same; `watch` is given the connection that writes before the writer has it.
fn open_watched(
    folder: &Path,
    watch: impl FnOnce(&mut Connection) -> Result<(), StoreError>,
) -> Result<SqliteStore, StoreError> {
    let lock = folder::claim(folder, STORE_LOCK)?;
    let path = folder.join(STORE_FILE);
    let mut connection = connection::open_writer(&path, Durability::Full)?;
    migrations::apply(&mut connection, migrations::STORE)?;
    // The checkpointer decides when.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    rusqlite::vtab::array::load_module(&connection)?;
    let memory = Arc::new(open::load(&mut connection)?);
    watch(&mut connection)?;
    let readers = Readers::start("store-read", &path, STORE_READERS)?;
    let checkpointer = Some(Checkpointer::start(&path)?);
    let writer = Writer::start("store-write", connection, checkpointer, Arc::clone(&memory))?;
    Ok(SqliteStore { parts: Arc::new(Parts { memory, readers, writer, _lock: lock }) })
}
