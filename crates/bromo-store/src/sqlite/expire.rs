//! Deleting tasks: those kept no longer, and those whose owner does not want them.

use std::collections::{BTreeMap, BTreeSet};

use bromo_rules::id::AccountId;
use bromo_rules::time::Timestamp;
use rusqlite::{Connection, params};

use super::memory::{Change, Changes};
use super::rows::first;
use super::{task_blocks, task_rows};
use crate::error::StoreError;
use crate::tasks::TaskSeq;

/// A task that may be kept no longer.
struct Candidate {
    seq: TaskSeq,
    account: AccountId,
    end_seq: i64,
    /// Whether it has a delivery, and when that ended.
    delivery: Option<Option<Timestamp>>,
}

/// Deletes what is kept no longer, `next` being the next task's number, or keeps it for as long as its delivery needs it.
pub(super) fn expire(
    connection: &Connection,
    changes: &mut Changes,
    now: Timestamp,
    keep_ms: i64,
    count: u32,
    next: TaskSeq,
) -> Result<u32, StoreError> {
    let mut looked_at = 0;
    let mut gone = Gone::default();
    for candidate in candidates(connection, now, count)? {
        looked_at += 1;
        let keep_until = match candidate.delivery {
            None => None,
            // Still pending: it ends now at the earliest.
            Some(None) => Some(now),
            Some(Some(ended_at)) => Some(ended_at),
        };
        let keep_until = keep_until.map(|at| at.millis().saturating_add(keep_ms));
        if let Some(keep_until) = keep_until.filter(|until| *until > now.millis()) {
            connection
                .prepare_cached("UPDATE results SET expires_at = ?2 WHERE end_seq = ?1")?
                .execute((candidate.end_seq, keep_until))?;
            continue;
        }
        for sql in [
            "DELETE FROM results WHERE end_seq = ?1",
            "DELETE FROM deliveries WHERE end_seq = ?1",
            "DELETE FROM delivery_attempts WHERE end_seq = ?1",
        ] {
            connection.prepare_cached(sql)?.execute([candidate.end_seq])?;
        }
        gone.delete(connection, changes, candidate.account, candidate.seq)?;
    }
    gone.leave_blocks(connection, next)?;
    Ok(looked_at)
}

fn candidates(connection: &Connection, now: Timestamp, count: u32) -> Result<Vec<Candidate>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT r.seq, t.account, r.end_seq, d.end_seq IS NOT NULL, d.ended_at
         FROM results r CROSS JOIN tasks t ON t.seq = r.seq LEFT JOIN deliveries d ON d.end_seq = r.end_seq
         WHERE r.expires_at <= ?1 ORDER BY r.expires_at LIMIT ?2",
    )?;
    let rows = statement.query_and_then((now.millis(), count), |row| {
        let any: bool = row.get(3)?;
        Ok(Candidate {
            seq: row.get(0)?,
            account: AccountId::from_i64(row.get(1)?),
            end_seq: row.get(2)?,
            delivery: any.then(|| task_rows::instant(row, 4)).transpose()?,
        })
    })?;
    rows.collect()
}

/// Deletes those of these tasks that still wait; their number.
pub(super) fn delete_waiting(
    connection: &Connection,
    changes: &mut Changes,
    account: AccountId,
    seqs: &[TaskSeq],
    next: TaskSeq,
) -> Result<u64, StoreError> {
    let mut gone = Gone::default();
    let mut deleted = 0;
    for seq in seqs {
        let waits = connection
            .prepare_cached(
                "SELECT 1 FROM tasks WHERE seq = ?1 AND account = ?2 AND end_seq < 0
                     AND NOT EXISTS (SELECT 1 FROM claims WHERE seq = ?1)",
            )?
            .exists(params![seq, account.to_i64()])?;
        if waits {
            gone.delete(connection, changes, account, *seq)?;
            changes.note(Change::Removed { account, seq: *seq });
            deleted += 1;
        }
    }
    gone.leave_blocks(connection, next)?;
    Ok(deleted)
}

/// Tasks that were deleted: whose, by block.
#[derive(Default)]
struct Gone(BTreeMap<i64, BTreeSet<i64>>);

impl Gone {
    fn delete(
        &mut self,
        connection: &Connection,
        changes: &mut Changes,
        account: AccountId,
        seq: TaskSeq,
    ) -> Result<(), StoreError> {
        let mut statement =
            connection.prepare_cached("DELETE FROM tasks WHERE seq = ?1 RETURNING key_hash")?;
        let key_hash: Option<Option<i64>> = first(&mut statement, [seq], |row| Ok(row.get(0)?))?;
        if let Some(key_hash) = key_hash.flatten() {
            changes.note(Change::KeyGone { key_hash, seq });
        }
        connection.prepare_cached("DELETE FROM questions WHERE seq = ?1")?.execute([seq])?;
        self.0.entry(task_blocks::block(seq)).or_default().insert(account.to_i64());
        Ok(())
    }

    /// Accounts that have nothing left in a block leave it; not the one that is being filled, which memory knows that
    /// they have entered.
    fn leave_blocks(mut self, connection: &Connection, next: TaskSeq) -> Result<(), StoreError> {
        drop(self.0.split_off(&task_blocks::block(next)));
        for (block, mut accounts) in self.0 {
            task_blocks::keep_present(connection, block, &mut accounts)?;
            for account in accounts {
                task_blocks::leave(connection, account, block)?;
            }
        }
        Ok(())
    }
}
