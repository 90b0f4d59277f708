//! Taking deliveries that are due: one statement, which also reads what is needed to send them.
//!
//! Over a connection of its own, so that who wants to send does not wait for what others write. It need not be on disk
//! before they are sent: if the server dies, they are taken again, as they would be if the node had died.

use std::collections::HashMap;
use std::sync::Arc;

use bromo_rules::id::NodeId;
use bromo_rules::time::Timestamp;
use tokio_postgres::Row;

use super::attempt;
use super::delivery_rows;
use super::lane::{Answers, Job};
use super::link::{Rows, call};
use super::local::Local;
use super::rows::get;
use super::task_rows::{self, TASK_COLUMNS, task_columns};
use super::tx::Tx;
use crate::deliveries::Due;
use crate::error::StoreError;
use crate::tasks::TaskSeq;

/// So many of each receiver, its oldest ones; those that another node is at are left to it.
const TAKE: &str = concat!(
    "WITH found AS MATERIALIZED (
        SELECT d.seq, w.job FROM unnest($2::bigint[], $3::smallint[], $4::bigint[], $5::bytea[], $6::bigint[],
            $7::bigint[]) AS w (job, lane, account, host, count, now)
        CROSS JOIN LATERAL (
            SELECT seq FROM due WHERE lane = w.lane AND account = w.account AND host = w.host AND due_at <= w.now
                AND node IS NULL
            ORDER BY due_at, seq LIMIT w.count FOR UPDATE SKIP LOCKED) d),
    d AS (UPDATE due u SET node = $1 FROM found f WHERE u.seq = ANY(ARRAY[f.seq])
        RETURNING u.seq, u.id, u.account, u.due_at, u.host, u.attempts, u.round_attempts, f.job)
    SELECT ",
    task_columns!(),
    ", r.response, d.host, d.attempts, d.round_attempts, s.current, s.previous, s.previous_until, d.seq, d.job
    FROM d CROSS JOIN LATERAL (SELECT * FROM tasks WHERE account = d.account AND id = d.id OFFSET 0) t
        CROSS JOIN LATERAL (SELECT * FROM results WHERE seq = d.seq AND id = d.id OFFSET 0) r
        LEFT JOIN queue q ON false
        LEFT JOIN LATERAL (SELECT * FROM webhook_secrets WHERE account = d.account OFFSET 0) s ON true
    ORDER BY d.due_at, d.seq"
);

/// What this lane writes.
pub(super) enum Taking {
    /// Takes what is due.
    Due(TakeAsk),
    /// Gives back what was taken for somebody who has left.
    Undo(Vec<TaskSeq>, NodeId, Arc<Local>),
}

/// Deliveries to be taken.
#[derive(Clone)]
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

impl TakeAsk {
    /// How many of each receiver: as many of one as of another, as far as there is room.
    fn shares(&self) -> impl Iterator<Item = (i64, &[u8], usize)> {
        let mut left = self.count;
        self.receivers.iter().enumerate().map(move |(index, (account, host, room))| {
            let share = left.div_ceil(self.receivers.len() - index).min(*room);
            left -= share;
            (*account, host.as_slice(), share)
        })
    }

    /// What is left to ask for when these were taken: of receivers that gave their share and have room for more, since
    /// others gave less than theirs.
    pub(super) fn without(&self, taken: &[Due]) -> Option<Self> {
        let mut gave: HashMap<(i64, &[u8]), usize> = HashMap::new();
        for due in taken {
            *gave.entry((due.task.account.to_i64(), due.host.as_bytes())).or_default() += 1;
        }
        let left =
            self.receivers.iter().zip(self.shares()).filter_map(|((.., room), (account, host, share))| {
                let gave = gave.get(&(account, host)).copied().unwrap_or(0);
                (gave == share && *room > share).then(|| (account, host.to_vec(), room - share))
            });
        let (receivers, count): (Vec<_>, _) = (left.collect(), self.count.saturating_sub(taken.len()));
        (count > 0 && !receivers.is_empty()).then(|| Self { receivers, count, ..self.clone() })
    }
}

impl Job for Taking {
    type Answer = Vec<Due>;
    const GUARDED: bool = true;
    const BEGIN: &'static str = "BEGIN; SET LOCAL synchronous_commit = off";
    const ROWS_MAX: usize = 512;

    fn rows(&self) -> usize {
        match self {
            Self::Due(ask) => ask.count,
            Self::Undo(seqs, ..) => seqs.len(),
        }
    }

    async fn run(tx: &Tx<'_>, jobs: &[Self]) -> Result<Answers<Vec<Due>>, StoreError> {
        let (mut asks, mut back, mut node) = (Columns::default(), Vec::new(), 0);
        for (job, number) in jobs.iter().zip(0..) {
            match job {
                Self::Due(ask) => {
                    node = ask.node.to_i64();
                    asks.push(number, ask);
                }
                Self::Undo(seqs, by, _) => {
                    back.extend_from_slice(seqs);
                    node = by.to_i64();
                }
            }
        }
        let Columns { jobs: numbers, lanes, accounts, hosts, counts, nows } = &asks;
        let take = call(TAKE, &[&node, numbers, lanes, accounts, hosts, counts, nows]);
        let taken = if back.is_empty() {
            let [taken] = tx.commit([take]).await?;
            taken
        } else {
            let [_, taken] = tx.commit([attempt::put_back_call(&back, &node), take]).await?;
            taken
        };
        let mut due = read(&taken)?;
        Ok((0..).zip(jobs).map(|(number, _)| Ok(due.remove(&number).unwrap_or_default())).collect())
    }

    fn unheard(self, taken: Vec<Due>) -> Option<Self> {
        let Self::Due(ask) = self else { return None };
        let seqs: Vec<_> = taken.iter().map(|due| due.seq).collect();
        (!seqs.is_empty()).then_some(Self::Undo(seqs, ask.node, ask.local))
    }

    fn unwritten(&self) {
        if let Self::Undo(.., local) = self {
            local.doubt();
        }
    }
}

/// What is asked for, a vector a column.
#[derive(Default)]
struct Columns<'a> {
    jobs: Vec<i64>,
    lanes: Vec<i16>,
    accounts: Vec<i64>,
    hosts: Vec<&'a [u8]>,
    counts: Vec<i64>,
    nows: Vec<i64>,
}

impl<'a> Columns<'a> {
    fn push(&mut self, job: i64, ask: &'a TakeAsk) {
        for (account, host, count) in ask.shares() {
            self.jobs.push(job);
            self.lanes.push(ask.lane);
            self.accounts.push(account);
            self.hosts.push(host);
            self.counts.push(i64::try_from(count).unwrap_or(i64::MAX));
            self.nows.push(ask.now.millis());
        }
    }
}

/// By the number of the job that asked.
fn read(taken: &Rows) -> Result<HashMap<i64, Vec<Due>>, StoreError> {
    let mut due: HashMap<i64, Vec<Due>> = HashMap::new();
    for row in &taken.rows {
        due.entry(get(row, TASK_COLUMNS + 8)?).or_default().push(one(row)?);
    }
    Ok(due)
}

fn one(row: &Row) -> Result<Due, StoreError> {
    const AT: usize = TASK_COLUMNS;
    let task = task_rows::task(row, 0)?;
    let host: &[u8] = get(row, AT + 1)?;
    Ok(Due {
        seq: get(row, AT + 7)?,
        url: task.webhook.as_deref().unwrap_or_default().to_owned(),
        task,
        response: get(row, AT)?,
        host: task_rows::text(host)?.to_owned(),
        attempt: task_rows::small::<u32>(row, AT + 2)? + 1,
        round_attempt: task_rows::small::<u32>(row, AT + 3)? + 1,
        secrets: delivery_rows::secrets(row, AT + 4)?,
    })
}
