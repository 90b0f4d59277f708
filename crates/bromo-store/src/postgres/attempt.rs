//! Recording attempts at deliveries, and giving taken ones back.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bromo_rules::id::NodeId;
use tokio_postgres::Row;
use uuid::Uuid;

use super::attempted::Columns;
use super::delivery_rows::{DELIVERED, GIVEN_UP};
use super::lane::{Answers, Job};
use super::link::{Call, Rows, call};
use super::local::{Local, Moves};
use super::rows::get;
use super::tx::Tx;
use crate::deliveries::{DeliveryAttempt, Next};
use crate::error::StoreError;
use crate::tasks::TaskSeq;

const LOCK: &str = "SELECT seq, id, account, booked_at, delivered_at, attempts, round_attempts, host
    FROM due WHERE seq = ANY($1) ORDER BY seq FOR UPDATE";

const OVER: &str = "SELECT seq, attempts FROM deliveries WHERE seq = ANY($1)";

const PUT_BACK: &str = "UPDATE due SET node = NULL WHERE seq = ANY(ARRAY(
        SELECT seq FROM due WHERE seq = ANY($1) AND node = $2 ORDER BY seq FOR UPDATE))";

/// What this lane writes.
pub(super) enum Send {
    /// Gives taken ones back whose attempts were cut.
    PutBack(Vec<TaskSeq>, NodeId, Arc<Local>),
    /// An attempt that was made, and what follows it.
    Attempt(TaskSeq, DeliveryAttempt, Next, Arc<Local>),
}

impl Job for Send {
    type Answer = ();
    const GUARDED: bool = true;
    const ROWS_MAX: usize = 512;

    fn rows(&self) -> usize {
        match self {
            Self::PutBack(seqs, ..) => seqs.len(),
            Self::Attempt(..) => 1,
        }
    }

    async fn run(tx: &Tx<'_>, jobs: &[Self]) -> Result<Answers<()>, StoreError> {
        let (mut seqs, mut back, mut node) = (Vec::new(), Vec::new(), 0);
        for job in jobs {
            match job {
                Self::PutBack(some, by, _) => {
                    back.extend_from_slice(some);
                    node = by.to_i64();
                }
                Self::Attempt(seq, ..) => seqs.push(*seq),
            }
        }
        seqs.sort_unstable();
        seqs.dedup();
        let locked = if back.is_empty() {
            let [locked] = tx.read([call(LOCK, &[&seqs])]).await?;
            locked
        } else {
            let [_, locked] = tx.read([put_back_call(&back, &node), call(LOCK, &[&seqs])]).await?;
            locked
        };
        let mut group = Group::new(&locked)?;
        let missing: Vec<_> = seqs.iter().filter(|seq| !group.due.contains_key(seq)).copied().collect();
        if !missing.is_empty() {
            group.over(&tx.query(OVER, &[&missing]).await?)?;
        }
        let answers: Answers<()> = jobs.iter().map(|job| group.record(job)).collect();
        group.columns.write(tx).await?;
        let local = jobs.iter().find_map(|job| match job {
            Self::Attempt(.., local) => Some(local),
            Self::PutBack(..) => None,
        });
        if let Some(local) = local {
            local.moved(Moves { pending: -group.columns.closed(), ..Moves::default() });
            local.sent(seqs.len() as u64);
        }
        Ok(answers)
    }

    fn unwritten(&self) {
        if let Self::PutBack(taken, _, local) = self
            && !taken.is_empty()
        {
            local.doubt();
        }
    }
}

/// A pending delivery as its attempt finds it.
pub(super) struct Pending {
    pub(super) seq: TaskSeq,
    pub(super) id: Uuid,
    pub(super) account: i64,
    pub(super) booked_at: i64,
    pub(super) delivered_at: Option<i64>,
    pub(super) attempts: i32,
    pub(super) round_attempts: i32,
    pub(super) host: Vec<u8>,
}

fn pending(row: &Row) -> Result<Pending, StoreError> {
    Ok(Pending {
        seq: get(row, 0)?,
        id: get(row, 1)?,
        account: get(row, 2)?,
        booked_at: get(row, 3)?,
        delivered_at: get(row, 4)?,
        attempts: get(row, 5)?,
        round_attempts: get(row, 6)?,
        host: get(row, 7)?,
    })
}

/// Gives these back, if this node has them.
pub(super) fn put_back_call<'a>(taken: &'a Vec<TaskSeq>, node: &'a i64) -> Call<'a> {
    call(PUT_BACK, &[taken, node])
}

/// The same by itself.
pub(super) async fn put_back(tx: &Tx<'_>, taken: &[TaskSeq], node: NodeId) -> Result<(), StoreError> {
    tx.execute(PUT_BACK, &[&taken, &node.to_i64()]).await?;
    Ok(())
}

/// What a group finds and what becomes of it.
struct Group<'a> {
    due: HashMap<TaskSeq, Pending>,
    /// Attempts at those that are over.
    over: HashMap<TaskSeq, i32>,
    columns: Columns<'a>,
}

impl<'a> Group<'a> {
    fn new(locked: &Rows) -> Result<Self, StoreError> {
        let due = locked.rows.iter().map(|row| pending(row).map(|pending| (pending.seq, pending)));
        Ok(Self { due: due.collect::<Result<_, _>>()?, over: HashMap::new(), columns: Columns::default() })
    }

    fn over(&mut self, found: &[Row]) -> Result<(), StoreError> {
        for row in found {
            self.over.insert(get(row, 0)?, get(row, 1)?);
        }
        Ok(())
    }

    fn record(&mut self, job: &'a Send) -> Result<(), StoreError> {
        let Send::Attempt(seq, attempt, next, _) = job else { return Ok(()) };
        let missing = StoreError::Missing { what: "delivery" };
        let number = i32::try_from(attempt.number).unwrap_or(i32::MAX);
        let Some(pending) = self.due.get_mut(seq) else {
            // The same call again, after one whose outcome was not known.
            return self.over.get(seq).map(drop).ok_or(missing);
        };
        if number <= pending.attempts {
            return Ok(());
        }
        pending.attempts = number;
        pending.round_attempts += 1;
        let after = attempt.at.plus(Duration::from_millis(attempt.took_ms.into())).millis();
        self.columns.attempt(pending, attempt);
        match next {
            Next::RetryAt(due_at) => self.columns.retry(pending, due_at.millis()),
            Next::Delivered => {
                pending.delivered_at.get_or_insert(after);
                self.columns.close(pending, DELIVERED, after);
            }
            Next::GivenUp => self.columns.close(pending, GIVEN_UP, after),
        }
        if !matches!(next, Next::RetryAt(_)) {
            self.over.insert(*seq, number);
            self.due.remove(seq);
        }
        Ok(())
    }
}
