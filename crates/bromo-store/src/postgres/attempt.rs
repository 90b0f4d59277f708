//! Taking deliveries, giving them back, and recording attempts at them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bromo_rules::id::NodeId;
use bromo_rules::time::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::attempted::Columns;
use super::delivery_rows::{DELIVERED, GIVEN_UP};
use super::lane::{Answers, Job};
use super::link::{Rows, call};
use super::local::{Local, Moves};
use super::rows::get;
use super::tx::Tx;
use crate::deliveries::{DeliveryAttempt, Next};
use crate::error::StoreError;
use crate::tasks::TaskSeq;

const LOCK: &str = "SELECT seq, id, account, booked_at, delivered_at, attempts, round_attempts, host
    FROM due WHERE seq = ANY($1) ORDER BY seq FOR UPDATE";

const OVER: &str = "SELECT seq, attempts FROM deliveries WHERE seq = ANY($1)";

const PUT_BACK: &str = "UPDATE due d SET node = NULL FROM (
        SELECT seq FROM due WHERE seq = ANY($1) AND node = $2 ORDER BY seq FOR UPDATE) f
    WHERE d.seq = f.seq";

/// So many of each receiver, its oldest ones; those that another node is at are left to it.
const TAKE: &str = "WITH found AS MATERIALIZED (
        SELECT d.seq, w.turn FROM unnest($3::bigint[], $4::bytea[], $5::bigint[]) WITH ORDINALITY
            AS w (account, host, count, turn)
        CROSS JOIN LATERAL (
            SELECT seq FROM due WHERE lane = $2 AND account = w.account AND host = w.host AND due_at <= $6
                AND node IS NULL
            ORDER BY due_at, seq LIMIT w.count FOR UPDATE SKIP LOCKED) d),
    taken AS (UPDATE due d SET node = $1 FROM found f WHERE d.seq = f.seq RETURNING d.seq, f.turn, d.due_at)
    SELECT seq, turn FROM taken ORDER BY due_at, seq";

/// What this lane writes.
pub(super) enum Send {
    /// Takes what is due.
    Take(TakeAsk),
    /// Gives taken ones back whose attempts were cut.
    PutBack(Vec<TaskSeq>, NodeId, Arc<Local>),
    /// An attempt that was made, and what follows it.
    Attempt(TaskSeq, DeliveryAttempt, Next, Arc<Local>),
}

/// Deliveries to be taken.
pub(super) struct TakeAsk {
    /// Who takes them.
    pub(super) node: NodeId,
    /// Fresh or retry, as a column keeps it.
    pub(super) lane: i16,
    /// When.
    pub(super) now: Timestamp,
    /// Account, host, and how many it has room for.
    pub(super) receivers: Vec<(i64, Vec<u8>, usize)>,
    /// How many in all.
    pub(super) count: usize,
    /// To be told.
    pub(super) local: Arc<Local>,
}

impl Job for Send {
    /// Which were taken.
    type Answer = Vec<TaskSeq>;
    const GUARDED: bool = true;
    const ROWS_MAX: usize = 512;

    fn rows(&self) -> usize {
        match self {
            Self::Take(ask) => ask.count,
            Self::PutBack(seqs, ..) => seqs.len(),
            Self::Attempt(..) => 1,
        }
    }

    async fn run(tx: &Tx<'_>, jobs: &[Self]) -> Result<Answers<Vec<TaskSeq>>, StoreError> {
        let mut seqs = Vec::new();
        let (mut back, mut node) = (Vec::new(), 0);
        for job in jobs {
            match job {
                Self::Take(ask) => node = ask.node.to_i64(),
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
            let [_, locked] = tx.read([call(PUT_BACK, &[&back, &node]), call(LOCK, &[&seqs])]).await?;
            locked
        };
        let mut group = Group::new(&locked)?;
        let missing: Vec<_> = seqs.iter().filter(|seq| !group.due.contains_key(seq)).copied().collect();
        if !missing.is_empty() {
            group.over(&tx.query(OVER, &[&missing]).await?)?;
        }
        let mut answers: Answers<Vec<TaskSeq>> = jobs.iter().map(|job| group.record(job)).collect();
        let more = jobs.iter().any(|job| matches!(job, Self::Take(_)));
        group.columns.write(tx, more).await?;
        // Afterwards, so that what was given back can be taken.
        for (job, answer) in jobs.iter().zip(&mut answers) {
            if let Self::Take(ask) = job {
                *answer = Ok(take(tx, ask).await?);
            }
        }
        let local = jobs.iter().find_map(|job| match job {
            Self::Attempt(.., local) => Some(local),
            Self::Take(_) | Self::PutBack(..) => None,
        });
        if let Some(local) = local {
            local.moved(Moves { pending: -group.columns.closed(), ..Moves::default() });
            local.sent(seqs.len() as u64);
        }
        Ok(answers)
    }

    fn unheard(self, taken: Vec<TaskSeq>) -> Option<Self> {
        let Self::Take(ask) = self else { return None };
        (!taken.is_empty()).then(|| Self::PutBack(taken, ask.node, ask.local))
    }

    fn unwritten(&self) {
        if let Self::PutBack(taken, _, local) = self
            && !taken.is_empty()
        {
            local.doubt();
        }
    }
}

/// One of each receiver, and round again those that had it, until there are enough.
async fn take(tx: &Tx<'_>, ask: &TakeAsk) -> Result<Vec<TaskSeq>, StoreError> {
    let mut left: Vec<(usize, usize)> = ask.receivers.iter().map(|(.., room)| *room).enumerate().collect();
    let mut taken = Vec::new();
    while taken.len() < ask.count && !left.is_empty() {
        let wanted = ask.count - taken.len();
        let each = (wanted / left.len()).max(1);
        let (mut accounts, mut hosts, mut counts) = (Vec::new(), Vec::new(), Vec::new());
        let asked: Vec<(usize, usize, usize)> =
            left.iter().take(wanted).map(|(at, room)| (*at, *room, each.min(*room))).collect();
        for (at, _, count) in &asked {
            let (account, host, _) = &ask.receivers[*at];
            accounts.push(*account);
            hosts.push(host.as_slice());
            counts.push(i64::try_from(*count).unwrap_or(i64::MAX));
        }
        let (node, now) = (ask.node.to_i64(), ask.now.millis());
        let rows = tx.query(TAKE, &[&node, &ask.lane, &accounts, &hosts, &counts, &now]).await?;
        let mut found = vec![0; asked.len()];
        for row in &rows {
            taken.push(get(row, 0)?);
            let turn: i64 = get(row, 1)?;
            if let Some(found) = usize::try_from(turn - 1).ok().and_then(|turn| found.get_mut(turn)) {
                *found += 1;
            }
        }
        // Who gave less than was asked of it has no more.
        let rest = left.split_off(asked.len());
        let more =
            asked.iter().zip(&found).filter(|((_, room, count), found)| *found == count && room > count);
        left = rest.into_iter().chain(more.map(|((at, room, count), _)| (*at, room - count))).collect();
    }
    Ok(taken)
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

/// Gives back what this node took.
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

    fn record(&mut self, job: &'a Send) -> Result<Vec<TaskSeq>, StoreError> {
        let Send::Attempt(seq, attempt, next, _) = job else { return Ok(Vec::new()) };
        let missing = StoreError::Missing { what: "delivery" };
        let number = i32::try_from(attempt.number).unwrap_or(i32::MAX);
        let Some(pending) = self.due.get_mut(seq) else {
            // The same call again, after one whose outcome was not known.
            return self.over.get(seq).map(|_| Vec::new()).ok_or(missing);
        };
        if number <= pending.attempts {
            return Ok(Vec::new());
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
        Ok(Vec::new())
    }
}
