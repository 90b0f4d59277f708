//! Counting lines for charts: many at a time, behind appending, from the blocks.
//!
//! A row of a step is read, added to and written again, a few dozen of them for an account that is busy; done at every
//! batch that would cost more than the lines themselves. So lines wait until there are [`BEHIND_MAX`], and readers count
//! those that wait ([`behind`]), in the same snapshot, so that nothing is missing and nothing counts twice.

use std::collections::BTreeMap;

use bromo_rules::id::AccountId;
use tokio_postgres::Row;

use super::{LOCK, ROLL_LOCK};
use crate::error::StoreError;
use crate::logs::Level;
use crate::logs::bytes::Garbage;
use crate::logs::cells::{Cells, Counter, Span, Steps, coarse, number};
use crate::postgres::link::call;
use crate::postgres::rows::{self, column};
use crate::postgres::tx::Tx;

/// Lines that wait to be counted, and one batch of each node more.
pub(super) const BEHIND_MAX: i64 = 131_072;
/// Lines counted at once, roughly: bounds what is in memory, should counting have failed for long.
const LINES_AT_ONCE: i64 = 4 * BEHIND_MAX;
/// Steps written together.
const STEPS_AT_ONCE: usize = 512;
/// What a row of a step takes beside its data.
pub(in crate::postgres) const ROW_BYTES: i64 = 100;

/// Counts all that waits, unless another node is at it.
pub(super) async fn roll_alone(tx: &Tx<'_>) -> Result<(), StoreError> {
    let locked = tx.first("SELECT pg_try_advisory_xact_lock($1)", &[&ROLL_LOCK]).await?;
    if locked.is_some_and(|row| rows::get(&row, 0).unwrap_or(false)) {
        roll(tx).await?;
    }
    Ok(())
}

/// Takes the lock that [`roll`] needs.
pub(super) async fn lock(tx: &Tx<'_>) -> Result<(), StoreError> {
    tx.execute(LOCK, &[&ROLL_LOCK]).await?;
    Ok(())
}

/// Counts all that waits; whoever calls holds the lock.
pub(super) async fn roll(tx: &Tx<'_>) -> Result<(), StoreError> {
    loop {
        // Ends of runs are ends of batches, so no block is cut.
        let sql = "SELECT r.seq, coalesce(
                       (SELECT min(last_seq) FROM
                            (SELECT last_seq, sum(lines) OVER (ORDER BY first_seq) AS n FROM runs
                             WHERE last_seq > r.seq) AS ends
                        WHERE n >= $1::bigint), a.last_seq)
                   FROM rolled r CROSS JOIN appended a";
        let Some(row) = tx.first(sql, &[&LINES_AT_ONCE]).await? else { return Ok(()) };
        let (rolled, until): (i64, i64) = (rows::get(&row, 0)?, rows::get(&row, 1)?);
        if until <= rolled {
            return Ok(());
        }
        roll_until(tx, rolled, until).await?;
    }
}

async fn roll_until(tx: &Tx<'_>, rolled: i64, until: i64) -> Result<(), StoreError> {
    let sql = "SELECT account, data, lines FROM blocks WHERE last_seq > $1 AND last_seq <= $2 ORDER BY account, last_seq";
    let blocks = tx.query(sql, &[&rolled, &until]).await?;
    let of: Vec<(i64, &Row)> =
        blocks.iter().map(|row| Ok((rows::get(row, 0)?, row))).collect::<Result<_, StoreError>>()?;
    let (mut written, mut bytes, mut lines) = (Written::default(), 0, 0);
    for of_account in of.chunk_by(|a, b| a.0 == b.0) {
        let account = of_account[0].0;
        let mut counter = Counter::new(Span::FINE);
        for (_, row) in of_account {
            lines += i64::from(rows::get::<i32>(row, 2)?);
            if counter.count_block(rows::get(row, 1)?, rolled.unsigned_abs()).is_err() {
                tracing::error!(account = %AccountId::from_i64(account), "a log block cannot be read");
            }
        }
        let fine = counter.steps();
        written.add(account, Level::Coarse, coarse(&fine));
        written.add(account, Level::Fine, fine);
        written.uses.extend(counter.key_uses().into_iter().map(|(key, at)| (account, key, at)));
        if written.steps.len() >= STEPS_AT_ONCE {
            bytes += std::mem::take(&mut written).write(tx).await?;
        }
    }
    bytes += written.write(tx).await?;
    let sql = "UPDATE rolled SET seq = $1, bytes = bytes + $2, lines = lines + $3";
    tx.execute(sql, &[&until, &bytes, &lines]).await?;
    Ok(())
}

/// Steps and uses of keys to be written together.
#[derive(Default)]
struct Written {
    steps: BTreeMap<(i64, i16, i64), Cells>,
    uses: Vec<(i64, i64, i64)>,
}

impl Written {
    fn add(&mut self, account: i64, level: Level, steps: Steps) {
        let level = column_of(level);
        self.steps.extend(steps.into_iter().map(|(start, cells)| ((account, level, start), cells)));
    }

    /// Adds them to what is there; by how much the rows grew.
    async fn write(mut self, tx: &Tx<'_>) -> Result<i64, StoreError> {
        let (mut accounts, mut levels, mut starts) = (Vec::new(), Vec::new(), Vec::new());
        for (account, level, start) in self.steps.keys() {
            accounts.push(*account);
            levels.push(*level);
            starts.push(*start);
        }
        // Compared as rows, they are found by the account: `rollups_by_start` would find those of all accounts.
        let sql = "SELECT r.account, r.level, r.start, r.data
                   FROM unnest($1::bigint[], $2::smallint[], $3::bigint[]) AS n (account, level, start)
                   CROSS JOIN LATERAL (
                       SELECT * FROM rollups WHERE (account, level, start)
                           BETWEEN (n.account, n.level, n.start) AND (n.account, n.level, n.start) OFFSET 0) r";
        let known = tx.query(sql, &[&accounts, &levels, &starts]).await?;
        let mut grown = 0;
        for row in &known {
            let step = (rows::get(row, 0)?, rows::get(row, 1)?, rows::get(row, 2)?);
            let data: &[u8] = rows::get(row, 3)?;
            grown -= column(data.len() as u64) + ROW_BYTES;
            let Some(cells) = self.steps.get_mut(&step) else { continue };
            match Cells::decode(data) {
                Ok(mut before) => {
                    before.merge(std::mem::take(cells));
                    *cells = before;
                }
                Err(Garbage) => {
                    let account = AccountId::from_i64(step.0);
                    tracing::error!(%account, start = step.2, "counts of a step cannot be read and begin anew");
                }
            }
        }
        let datas: Vec<Vec<u8>> = self.steps.values().map(Cells::encode).collect();
        grown += datas.iter().map(|data| column(data.len() as u64) + ROW_BYTES).sum::<i64>();
        let uses = || self.uses.iter();
        let (of, keys): (Vec<i64>, Vec<i64>) = uses().map(|(account, key, _)| (*account, *key)).unzip();
        let ats: Vec<i64> = uses().map(|(_, _, at)| *at).collect();
        tx.read([
            call(
                "INSERT INTO rollups (account, level, start, data)
                 SELECT * FROM unnest($1::bigint[], $2::smallint[], $3::bigint[], $4::bytea[])
                 ON CONFLICT (account, level, start) DO UPDATE SET data = excluded.data",
                &[&accounts, &levels, &starts, &datas],
            ),
            call(
                "INSERT INTO key_uses (account, key, last_at)
                 SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[])
                 ON CONFLICT (account, key) DO UPDATE SET last_at = excluded.last_at
                 WHERE key_uses.last_at < excluded.last_at",
                &[&of, &keys, &ats],
            ),
        ])
        .await?;
        Ok(grown)
    }
}

/// Counts the account's lines that wait.
pub(super) async fn behind(tx: &Tx<'_>, account: AccountId, counter: &mut Counter) -> Result<(), StoreError> {
    let sql = "SELECT b.data FROM blocks b WHERE b.account = $1 AND b.last_seq > (SELECT seq FROM rolled)";
    for row in tx.query(sql, &[&account.to_i64()]).await? {
        counter.count_block(rows::get(&row, 0)?, 0)?;
    }
    Ok(())
}

/// A level as a row has it.
pub(super) fn column_of(level: Level) -> i16 {
    i16::try_from(number(level)).unwrap_or(0)
}
