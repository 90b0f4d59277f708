//! Counting lines for charts: many at a time, behind appending, from the blocks.
//!
//! A row of a step is read, added to and written again, a few dozen of them for an account that is busy; done at every
//! batch that would cost more than the lines themselves. So lines wait until there are [`BEHIND_MAX`], and readers count
//! those that wait ([`behind`]), in the same snapshot, so that nothing is missing and nothing counts twice.

use bromo_rules::id::AccountId;
use rusqlite::{Connection, OptionalExtension};

use crate::error::StoreError;
use crate::logs::Level;
use crate::logs::bytes::Garbage;
use crate::logs::cells::{Cells, Counter, Span, Steps, coarse, number};
use crate::sqlite::rows::column;

/// Lines that wait to be counted, and one batch more.
const BEHIND_MAX: u64 = 131_072;

/// Counts what waits, if it is much. `last_seq` is that of the last line there is.
pub(super) fn roll_if_due(connection: &Connection, last_seq: u64) -> Result<(), StoreError> {
    let rolled = rolled(connection)?;
    if column(last_seq).saturating_sub(rolled) < column(BEHIND_MAX) {
        return Ok(());
    }
    roll(connection)
}

/// Up to which seq lines have been counted.
pub(super) fn rolled(connection: &Connection) -> Result<i64, StoreError> {
    Ok(connection.prepare_cached("SELECT seq FROM rolled")?.query_row([], |row| row.get(0))?)
}

/// Counts all that waits, one account after the other.
pub(super) fn roll(connection: &Connection) -> Result<(), StoreError> {
    let rolled = rolled(connection)?;
    let mut statement = connection.prepare_cached(
        "SELECT account, last_seq FROM blocks WHERE last_seq > ?1 ORDER BY account, last_seq",
    )?;
    let blocks = statement
        .query_map([rolled], |row| Ok((AccountId::from_i64(row.get(0)?), row.get::<_, i64>(1)?)))?
        .collect::<Result<Vec<_>, _>>()?;
    for of_account in blocks.chunk_by(|a, b| a.0 == b.0) {
        let account = of_account[0].0;
        let mut counter = Counter::new(Span::FINE);
        for (_, last_seq) in of_account {
            let counted = count_block(connection, *last_seq, rolled, &mut counter)?;
            if counted.is_err() {
                tracing::error!(last_seq, %account, "a log block cannot be read");
            }
        }
        write(connection, account, counter)?;
    }
    connection.prepare_cached("UPDATE rolled SET seq = (SELECT lines FROM appended)")?.execute([])?;
    Ok(())
}

/// Counts the account's lines that wait.
pub(super) fn behind(
    connection: &Connection,
    account: AccountId,
    counter: &mut Counter,
) -> Result<(), StoreError> {
    let rolled = rolled(connection)?;
    let mut statement = connection.prepare_cached(
        "SELECT last_seq FROM blocks INDEXED BY blocks_by_account WHERE account = ?1 AND last_seq > ?2",
    )?;
    let mut rows = statement.query((account.to_i64(), rolled))?;
    while let Some(row) = rows.next()? {
        count_block(connection, row.get(0)?, rolled, counter)??;
    }
    Ok(())
}

/// Counts a block's lines above `rolled`; of a broken one perhaps some.
fn count_block(
    connection: &Connection,
    last_seq: i64,
    rolled: i64,
    counter: &mut Counter,
) -> Result<Result<(), Garbage>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT data FROM blocks WHERE last_seq = ?1")?;
    let mut rows = statement.query([last_seq])?;
    let Some(row) = rows.next()? else { return Ok(Ok(())) };
    let data = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
    Ok(counter.count_block(data, rolled.unsigned_abs()).map(drop))
}

fn write(connection: &Connection, account: AccountId, mut counter: Counter) -> Result<(), StoreError> {
    let fine = counter.steps();
    write_steps(connection, account, Level::Coarse, coarse(&fine))?;
    write_steps(connection, account, Level::Fine, fine)?;
    let mut use_key = connection.prepare_cached(
        "INSERT INTO key_uses (account, key, last_at) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET last_at = max(last_at, excluded.last_at)",
    )?;
    for (key, last_at) in counter.key_uses() {
        use_key.execute((account.to_i64(), key, last_at))?;
    }
    Ok(())
}

fn write_steps(
    connection: &Connection,
    account: AccountId,
    level: Level,
    steps: Steps,
) -> Result<(), StoreError> {
    let mut select = connection
        .prepare_cached("SELECT data FROM rollups WHERE level = ?1 AND start = ?2 AND account = ?3")?;
    let mut write = connection.prepare_cached(
        "INSERT INTO rollups (level, start, account, data) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET data = excluded.data",
    )?;
    for (start, counted) in steps {
        let step = (number(level), start, account.to_i64());
        let known = select
            .query_row(step, |row| Ok(row.get_ref(0)?.as_blob().map_err(|_| Garbage).and_then(Cells::decode)))
            .optional()?;
        let cells = match known {
            None => counted,
            Some(Ok(mut cells)) => {
                cells.merge(counted);
                cells
            }
            Some(Err(Garbage)) => {
                tracing::error!(%account, start, "counts of a step cannot be read and begin anew");
                counted
            }
        };
        write.execute((step.0, step.1, step.2, cells.encode()))?;
    }
    Ok(())
}
