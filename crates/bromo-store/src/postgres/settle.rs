//! Ends of tasks: outcome, charge and due delivery, written together.
//!
//! A task's row in the queue is locked first, so only one ends it; then the accounts that pay. A result carries the
//! claim that it came from and what was paid, so that the same end made again hears the same.

use std::collections::HashMap;
use std::sync::Arc;

use bromo_rules::credit::Credits;
use bromo_rules::id::AccountId;
use bromo_rules::task::{TaskId, TaskState};
use tokio_postgres::Row;

use super::ended::Columns;
use super::lane::{Answers, Job};
use super::link::{Rows, call};
use super::local::{Local, Moves};
use super::payers::{Cause, Payers};
use super::rows::{self, account_columns, get};
use super::task_rows;
use super::tx::Tx;
use crate::error::StoreError;
use crate::ledger::{Charge, Charged};
use crate::tasks::{End, Ended, Ender, TaskSeq};

const LOCK_TASKS: &str =
    "SELECT seq, id, account, priority, fence, node IS NOT NULL, attempts, started_at, host
    FROM queue WHERE seq = ANY($1) ORDER BY seq FOR UPDATE";

const LOCK_PAYERS: &str = concat!(
    "SELECT ",
    account_columns!(),
    " FROM accounts a WHERE a.id = ANY(ARRAY(SELECT account FROM queue WHERE seq = ANY($1)))
      ORDER BY a.id FOR NO KEY UPDATE"
);

const PENDING: &str = "SELECT o.account, o.booked - coalesce(d.closed, 0)
    FROM queue_over o LEFT JOIN LATERAL (SELECT * FROM due_over WHERE account = o.account OFFSET 0) d ON true
    WHERE o.account = ANY(ARRAY(SELECT account FROM queue WHERE seq = ANY($1) AND host IS NOT NULL))";

const ENDED_BEFORE: &str =
    "SELECT seq, fence, short, paid_balance, paid_seq FROM results WHERE seq = ANY($1)";

/// A task that is to end.
pub(super) struct Ending {
    end: End,
    local: Arc<Local>,
}

impl Ending {
    /// As asked for.
    pub(super) const fn new(end: End, local: Arc<Local>) -> Self {
        Self { end, local }
    }

    const fn seq(&self) -> TaskSeq {
        match self.end.ender {
            Ender::Claim(claim) => claim.seq,
            Ender::Queued(seq) => seq,
        }
    }

    /// What a result is marked with that came from this end.
    const fn fence(&self) -> i64 {
        match self.end.ender {
            Ender::Claim(claim) => claim.fence,
            Ender::Queued(_) => 0,
        }
    }

    fn pays(&self) -> Option<Credits> {
        self.end.charge.filter(|price| *price > Credits::ZERO)
    }
}

/// A task in the queue, as its end finds it.
pub(super) struct Standing {
    pub(super) seq: TaskSeq,
    pub(super) id: TaskId,
    pub(super) account: AccountId,
    pub(super) priority: i16,
    fence: i64,
    runs: bool,
    pub(super) attempts: i16,
    pub(super) started_at: Option<i64>,
    pub(super) host: Option<Vec<u8>>,
}

fn standing(row: &Row) -> Result<Standing, StoreError> {
    Ok(Standing {
        seq: get(row, 0)?,
        id: task_rows::id(row, 1)?,
        account: task_rows::account(row, 2)?,
        priority: get(row, 3)?,
        fence: get(row, 4)?,
        runs: get(row, 5)?,
        attempts: get(row, 6)?,
        started_at: get(row, 7)?,
        host: get(row, 8)?,
    })
}

impl Job for Ending {
    type Answer = Ended;
    const GUARDED: bool = true;
    const ROWS_MAX: usize = 512;

    async fn run(tx: &Tx<'_>, jobs: &[Self]) -> Result<Answers<Ended>, StoreError> {
        let mut seqs: Vec<TaskSeq> = jobs.iter().map(Self::seq).collect();
        seqs.sort_unstable();
        seqs.dedup();
        let paying = jobs.iter().filter(|job| job.pays().is_some()).map(Self::seq).collect::<Vec<_>>();
        let [tasks, payers, pending] = tx
            .read([call(LOCK_TASKS, &[&seqs]), call(LOCK_PAYERS, &[&paying]), call(PENDING, &[&seqs])])
            .await?;
        let mut group = Group::new(&tasks, &payers, &pending)?;
        let missing: Vec<_> = seqs.iter().filter(|seq| !group.tasks.contains_key(seq)).copied().collect();
        if !missing.is_empty() {
            group.ended_before(&tx.query(ENDED_BEFORE, &[&missing]).await?)?;
        }
        let answers = jobs.iter().map(|job| group.end(job)).collect();
        let moves = group.columns.write(tx, group.payers).await?;
        if let Some(job) = jobs.first() {
            job.local.moved(Moves {
                waiting: -group.from_queue,
                running: -group.from_claims,
                pending: group.columns.booked() - moves,
            });
        }
        Ok(answers)
    }
}

/// What a group finds and what becomes of it.
struct Group<'a> {
    tasks: HashMap<TaskSeq, Standing>,
    payers: Payers,
    pending: HashMap<i64, i64>,
    /// Ended before or in this group: by which claim, and how.
    ended: HashMap<TaskSeq, (i64, Ended)>,
    columns: Columns<'a>,
    from_queue: i64,
    from_claims: i64,
}

impl<'a> Group<'a> {
    fn new(tasks: &Rows, payers: &Rows, pending: &Rows) -> Result<Self, StoreError> {
        let tasks = tasks.rows.iter().map(|row| standing(row).map(|task| (task.seq, task)));
        let pending = pending.rows.iter().map(|row| Ok((get(row, 0)?, get(row, 1)?)));
        Ok(Self {
            tasks: tasks.collect::<Result<_, StoreError>>()?,
            payers: Payers::new(payers)?,
            pending: pending.collect::<Result<_, StoreError>>()?,
            ended: HashMap::new(),
            columns: Columns::default(),
            from_queue: 0,
            from_claims: 0,
        })
    }

    fn ended_before(&mut self, found: &[Row]) -> Result<(), StoreError> {
        for row in found {
            let ended = if get(row, 2)? {
                Ended::Short
            } else {
                let balance: Option<i64> = get(row, 3)?;
                let paid =
                    balance.map(|balance| Ok::<_, StoreError>((Credits::new(balance), rows::count(row, 4)?)));
                Ended::Done { paid: paid.transpose()? }
            };
            self.ended.insert(get(row, 0)?, (get(row, 1)?, ended));
        }
        Ok(())
    }

    fn end(&mut self, job: &'a Ending) -> Result<Ended, StoreError> {
        let (seq, fence) = (job.seq(), job.fence());
        let by_claim = matches!(job.end.ender, Ender::Claim(_));
        let ends = |task: &Standing| task.runs == by_claim && (!by_claim || task.fence == fence);
        if !self.tasks.get(&seq).is_some_and(ends) {
            let before = self.ended.get(&seq).filter(|(by, _)| *by == fence);
            return Ok(before.map_or(Ended::Lost, |(_, ended)| *ended));
        }
        let Some(task) = self.tasks.remove(&seq) else { return Ok(Ended::Lost) };
        let ended = self.pay(job, &task)?;
        if by_claim {
            self.from_claims += 1;
        } else {
            self.from_queue += 1;
        }
        let short = ended == Ended::Short;
        let state = match job.end.charge {
            Some(_) if !short => TaskState::Completed,
            _ => TaskState::Failed,
        };
        let gives_up = task.host.is_some() && self.is_one_too_many(&task, job.end.pending_max);
        self.columns.push(&job.end, &task, fence, state, ended);
        if gives_up {
            self.columns.give_up(task.account, job.end.at);
        }
        self.ended.insert(seq, (fence, ended));
        Ok(ended)
    }

    fn pay(&mut self, job: &Ending, task: &Standing) -> Result<Ended, StoreError> {
        let Some(price) = job.pays() else { return Ok(Ended::Done { paid: None }) };
        let charge = Charge { request: task.id, account: task.account, price, at: job.end.at };
        Ok(match self.payers.pay(&charge, Cause::Task)? {
            Charged::Paid { balance, ledger_seq } => Ended::Done { paid: Some((balance, ledger_seq)) },
            Charged::Short => Ended::Short,
        })
    }

    /// Another delivery of the account is pending: whether an older one is to make room for it.
    fn is_one_too_many(&mut self, task: &Standing, pending_max: u64) -> bool {
        let pending = self.pending.entry(task.account.to_i64()).or_default();
        *pending += 1;
        let too_many = u64::try_from(*pending).is_ok_and(|pending| pending > pending_max);
        if too_many {
            *pending -= 1;
        }
        too_many
    }
}
