//! Deleting tasks: those kept no longer, and those whose owner does not want them.

use std::collections::{BTreeMap, BTreeSet};

use bromo_rules::id::AccountId;
use bromo_rules::time::Timestamp;
use rusqlite::{Connection, params};

use super::memory::{Change, Changes};
use super::task_blocks;
use crate::error::StoreError;
use crate::tasks::TaskSeq;

/// A task that may be kept no longer.
struct Candidate {
    seq: TaskSeq,
    account: AccountId,
    end_seq: Option<i64>,
    /// Whether it has a delivery, and when that ended.
    delivery: Option<Option<Timestamp>>,
}

/// Deletes what is kept no longer, `next` being the next task's number, or keeps it for as long as its delivery needs it.
pub(super) fn expire(
    connection: &Connection,
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
                .prepare_cached("UPDATE tasks SET expires_at = ?2 WHERE seq = ?1")?
                .execute((candidate.seq, keep_until))?;
            continue;
        }
        if let Some(end_seq) = candidate.end_seq {
            for sql in [
                "DELETE FROM results WHERE end_seq = ?1",
                "DELETE FROM deliveries WHERE end_seq = ?1",
                "DELETE FROM delivery_attempts WHERE end_seq = ?1",
            ] {
                connection.prepare_cached(sql)?.execute([end_seq])?;
            }
        }
        gone.delete(connection, candidate.account, candidate.seq)?;
    }
    gone.leave_blocks(connection, next)?;
    Ok(looked_at)
}

fn candidates(connection: &Connection, now: Timestamp, count: u32) -> Result<Vec<Candidate>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT t.seq, t.account, t.end_seq, d.end_seq IS NOT NULL, d.ended_at
         FROM tasks t LEFT JOIN deliveries d ON d.end_seq = t.end_seq
         WHERE t.expires_at <= ?1 ORDER BY t.expires_at LIMIT ?2",
    )?;
    let rows = statement.query_and_then((now.millis(), count), |row| {
        let ended_at: Option<i64> = row.get(4)?;
        let any: bool = row.get(3)?;
        Ok(Candidate {
            seq: row.get(0)?,
            account: AccountId::from_i64(row.get(1)?),
            end_seq: row.get(2)?,
            delivery: any.then(|| ended_at.map(Timestamp::from_millis)),
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
            .prepare_cached("SELECT 1 FROM tasks WHERE seq = ?1 AND account = ?2 AND state = 0")?
            .exists(params![seq, account.to_i64()])?;
        if waits {
            gone.delete(connection, account, *seq)?;
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
        account: AccountId,
        seq: TaskSeq,
    ) -> Result<(), StoreError> {
        connection.prepare_cached("DELETE FROM tasks WHERE seq = ?1")?.execute([seq])?;
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
