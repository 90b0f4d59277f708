//! Connections and their settings, and what SQLite's errors mean to a caller.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::error::StoreError;

/// The folder is ours, so only a person with a shell tool can hold a lock; wait for them a little.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Prepared statements kept per connection; more than there are.
const STATEMENTS_MAX: usize = 64;
/// Page cache of a writer. Only touched pages take memory.
const WRITER_CACHE_KIB: u32 = 16 * 1024;
/// Page cache of a reader; the mapping below does most of the work.
const READER_CACHE_KIB: u32 = 2 * 1024;
/// How much of the file a reader maps instead of copying.
const READER_MMAP_BYTES: u64 = 256 * 1024 * 1024;
/// After a checkpoint the WAL file is cut back to this, should it have grown past it.
const WAL_FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// When a commit counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// Fsynced: survives the loss of power.
    Full,
    /// Handed to the operating system: survives the loss of this process.
    Process,
}

/// Opens the one connection that writes; makes the file.
pub(super) fn open_writer(path: &Path, durability: Durability) -> Result<Connection, StoreError> {
    let connection = Connection::open(path)?;
    prepare(&connection, WRITER_CACHE_KIB)?;
    let synchronous = match durability {
        Durability::Full => "FULL",
        Durability::Process => "OFF",
    };
    connection.execute_batch(&format!(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = {synchronous};
         PRAGMA foreign_keys = ON;
         PRAGMA journal_size_limit = {WAL_FILE_BYTES_MAX};"
    ))?;
    Ok(connection)
}

/// Opens a connection that can only read. The file must be there.
pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    prepare(&connection, READER_CACHE_KIB)?;
    connection.execute_batch(&format!("PRAGMA mmap_size = {READER_MMAP_BYTES};"))?;
    Ok(connection)
}

fn prepare(connection: &Connection, cache_kib: u32) -> Result<(), StoreError> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    // Otherwise a statement whose plan could depend on a parameter is compiled anew each time that changes.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.execute_batch(&format!(
        "PRAGMA cache_size = -{cache_kib};
         PRAGMA temp_store = MEMORY;
         PRAGMA trusted_schema = OFF;
         PRAGMA cell_size_check = ON;"
    ))?;
    Ok(())
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error as E;
        let reason = error.to_string();
        match error {
            E::SqliteFailure(failure, _)
                if matches!(failure.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) =>
            {
                Self::Corrupt { reason }
            }
            E::FromSqlConversionFailure(..)
            | E::IntegralValueOutOfRange(..)
            | E::InvalidColumnType(..)
            | E::Utf8Error(..) => Self::Corrupt { reason },
            _ => Self::Unavailable { reason },
        }
    }
}
