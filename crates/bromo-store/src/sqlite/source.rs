//! A data folder as what is moved from it is read: claimed like by a server, brought up to date, and then only read.

mod blocks;
mod page;

use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension};
use sha2::{Digest, Sha256};

use super::connection::{self, Durability};
use super::logs::{LOGS_FILE, LOGS_LOCK};
use super::{STORE_FILE, STORE_LOCK, folder, migrations};
use crate::error::StoreError;
use crate::moving::{Days, File, MoveError, Part};

/// What a folder is known by: whatever is done by a server changes one of these.
const OF_STORE: [&str; 6] = [
    "SELECT openings FROM state",
    "SELECT count(*), max(id), sum(version), sum(ledger_seq) FROM accounts",
    "SELECT place, account, seq, amount, balance, at FROM ledger ORDER BY place DESC LIMIT 1",
    "SELECT seq, id FROM tasks ORDER BY seq DESC LIMIT 1",
    "SELECT end_seq, seq, ended_at FROM results ORDER BY end_seq DESC LIMIT 1",
    "SELECT count(*), max(id) FROM members",
];
const OF_LOG: &str = "SELECT lines FROM appended";

const DAY_MS: i64 = 86_400_000;
/// Bytes of an id that say when it was made: milliseconds.
const MILLIS_BYTES: usize = 6;
const ID_BYTES: usize = 16;

/// A data folder that nobody else has. Nothing in it changes while it is open.
pub(crate) struct Source {
    store: Connection,
    log: Connection,
    days: Days,
    /// Lines up to this one have been counted.
    rolled: i64,
    _locks: [folder::Claim; 2],
}

/// Where the folder has come to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Marks {
    /// The last task that was accepted.
    pub(crate) last_task: i64,
    /// The last log line, and how many there ever were.
    pub(crate) last_line: i64,
    pub(crate) lines: i64,
    /// The last log line that was counted for charts.
    pub(crate) rolled: i64,
}

impl Source {
    /// Opens it. Lines of its log that say to be of a later day than `today` are moved as if of that.
    ///
    /// # Errors
    /// [`MoveError::NoFolder`]; [`MoveError::Store`] if a process has it open, or it is of a newer program.
    pub(crate) fn open(folder: &Path) -> Result<Self, MoveError> {
        if !folder.join(STORE_FILE).is_file() {
            return Err(MoveError::NoFolder { folder: folder.to_owned() });
        }
        let locks = [folder::claim(folder, STORE_LOCK)?, folder::claim(folder, LOGS_LOCK)?];
        let store = open(&folder.join(STORE_FILE), migrations::STORE)?;
        let log = open(&folder.join(LOGS_FILE), migrations::LOGS)?;
        let rolled = one(&log, "SELECT seq FROM rolled")?;
        Ok(Self { store, log, days: Days::default(), rolled, _locks: locks })
    }

    /// What this folder is known by, as it stands.
    pub(crate) fn fingerprint(&self) -> Result<[u8; 32], StoreError> {
        let mut hash = Sha256::new();
        for sql in OF_STORE {
            add(&mut hash, &self.store, sql)?;
        }
        add(&mut hash, &self.log, OF_LOG)?;
        Ok(hash.finalize().into())
    }

    /// Numbers its log lines anew; none gets a later day than this one.
    pub(crate) fn number_lines(&mut self, today: i64) -> Result<(), StoreError> {
        let mut days = Days::default();
        let mut statement = self.log.prepare("SELECT first_seq, last_at FROM runs ORDER BY last_seq")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            days.add(row.get(0)?, row.get(1)?, today);
        }
        drop(rows);
        drop(statement);
        self.days = days;
        Ok(())
    }

    /// Days of its log lines.
    pub(crate) fn line_days(&self) -> impl Iterator<Item = i64> {
        self.days.all()
    }

    /// Days on which its tasks were accepted, the oldest first.
    pub(crate) fn task_days(&self) -> Result<Vec<i64>, StoreError> {
        let mut statement = self.store.prepare("SELECT id FROM tasks WHERE id >= ?1 ORDER BY id LIMIT 1")?;
        let mut days = Vec::new();
        let mut least = [0; ID_BYTES];
        while let Some(id) = statement.query_row([least], |row| row.get::<_, [u8; ID_BYTES]>(0)).optional()? {
            let day = millis(&id) / DAY_MS;
            days.push(day);
            let next = ((day + 1) * DAY_MS).to_be_bytes();
            least[..MILLIS_BYTES].copy_from_slice(&next[size_of::<i64>() - MILLIS_BYTES..]);
        }
        Ok(days)
    }

    /// Where the folder has come to.
    pub(crate) fn marks(&self) -> Result<Marks, StoreError> {
        let lines = one(&self.log, OF_LOG)?;
        Ok(Marks {
            last_task: one(&self.store, "SELECT coalesce(max(seq), 0) FROM tasks")?,
            last_line: self.days.given(lines),
            lines,
            rolled: self.days.given(self.rolled),
        })
    }

    /// What is counted of a part, then its sums.
    pub(crate) fn figures(&self, part: &Part) -> Result<Vec<i64>, StoreError> {
        let sums = part.sums.iter().map(|sum| format!(", coalesce(sum({}), 0)", sum.source));
        let sums: String = sums.collect();
        let sql = format!("SELECT coalesce({}, 0){sums} FROM {} WHERE {}", part.count, part.from, part.only);
        let figures = self.base(part.file).query_row(&sql, [], |row| {
            (0..=part.sums.len()).map(|at| row.get(at)).collect::<Result<Vec<i64>, _>>()
        })?;
        Ok(figures)
    }

    const fn base(&self, file: File) -> &Connection {
        match file {
            File::Store => &self.store,
            File::Log => &self.log,
        }
    }
}

/// Brings it up to date; from then on it can only be read, as it stands now.
fn open(path: &Path, steps: &[migrations::Migration]) -> Result<Connection, StoreError> {
    let mut connection = connection::open_writer(path, Durability::Full)?;
    migrations::apply(&mut connection, steps)?;
    connection.execute_batch("PRAGMA query_only = ON; BEGIN; SELECT count(*) FROM migrations;")?;
    Ok(connection)
}

fn one(connection: &Connection, sql: &str) -> Result<i64, StoreError> {
    Ok(connection.query_row(sql, [], |row| row.get(0))?)
}

/// Adds all that a statement finds.
fn add(hash: &mut Sha256, connection: &Connection, sql: &str) -> Result<(), StoreError> {
    let mut statement = connection.prepare(sql)?;
    let columns = statement.column_count();
    let mut rows = statement.query([])?;
    hash.update(sql);
    while let Some(row) = rows.next()? {
        for at in 0..columns {
            match row.get_ref(at)? {
                ValueRef::Null => hash.update([0]),
                ValueRef::Integer(number) => hash.update(number.to_be_bytes()),
                ValueRef::Real(number) => hash.update(number.to_be_bytes()),
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => hash.update(bytes),
            }
        }
    }
    Ok(())
}

fn millis(id: &[u8; ID_BYTES]) -> i64 {
    id[..MILLIS_BYTES].iter().fold(0, |millis, byte| millis << 8 | i64::from(*byte))
}
