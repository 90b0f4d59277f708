//! The close look: what is there is read behind the lock, then decided on job by job, in two round trips.

use std::collections::HashMap;

use bromo_rules::task::TaskState;
use tokio_postgres::Row;
use uuid::Uuid;

use super::columns::{Columns, given, given_columns, writing};
use super::{LOCK, LOCK_CLASS, Submission, Waiting, accept, locks};
use crate::error::StoreError;
use crate::numbers;
use crate::postgres::lane::Answers;
use crate::postgres::link::{Rows, call};
use crate::postgres::rows::get;
use crate::postgres::task_rows::{self, task_tables};
use crate::postgres::tx::Tx;
use crate::tasks::{KeyTaken, Submitted};

const WAITING: &str = "SELECT i.account, i.priority, i.tasks - coalesce(o.claimed + o.removed, 0)
    FROM queue_in i LEFT JOIN LATERAL (
        SELECT * FROM queue_out WHERE account = i.account AND priority = i.priority OFFSET 0) o ON true
    WHERE i.account = ANY($1)";

const KEYS: &str = concat!(
    "SELECT k.hash, k.id, CASE WHEN q.seq IS NULL THEN r.state WHEN q.node IS NULL THEN 2 ELSE 3 END
    FROM unnest($1::uuid[], $2::bigint[]) AS w (hash, account)
    CROSS JOIN LATERAL (SELECT * FROM task_keys WHERE hash = w.hash OFFSET 0) k
    LEFT JOIN LATERAL (SELECT * FROM tasks WHERE account = w.account AND id = k.id OFFSET 0) t ON true",
    task_tables!()
);

/// Of a job that failed once: it may have met ids that are taken.
const IDS: &str = "SELECT t.id FROM unnest($2::uuid[]) AS w (id)
    CROSS JOIN LATERAL (SELECT id FROM tasks WHERE account = $1 AND id = w.id OFFSET 0) t";

const INSERT: &str = concat!(
    "WITH new AS MATERIALIZED (SELECT nextval('task_seqs') AS seq, g.* FROM unnest(",
    given!(),
    ") AS g (",
    given_columns!(),
    ")),
    ",
    writing!(),
    " SELECT"
);

/// Decides on each in turn, and writes all that is accepted.
pub(super) async fn run(tx: &Tx<'_>, jobs: &[&Submission]) -> Result<Answers<Submitted>, StoreError> {
    let mut known = Known::read(tx, jobs).await?;
    let mut new = Columns::default();
    let answers = jobs.iter().map(|job| known.decide(job, &mut new)).collect();
    if !new.ids.is_empty() {
        tx.commit([call(INSERT, &new.params())]).await?;
    }
    Ok(answers)
}

/// What a group finds.
#[derive(Default)]
struct Known {
    waiting: Waiting,
    keys: HashMap<Uuid, KeyTaken>,
    /// Of a job that failed once: ids of its tasks that are taken.
    ids: Vec<Uuid>,
}

impl Known {
    async fn read(tx: &Tx<'_>, jobs: &[&Submission]) -> Result<Self, StoreError> {
        let mut accounts: Vec<i64> = jobs.iter().map(|job| job.account.to_i64()).collect();
        accounts.sort_unstable();
        accounts.dedup();
        let locks = locks(accounts.iter().copied());
        let (mut hashes, mut owners) = (Vec::new(), Vec::new());
        for job in jobs {
            for hash in job.key_hashes.iter().flatten() {
                hashes.push(*hash);
                owners.push(job.account.to_i64());
            }
        }
        // Ids that are taken are met by chance, so they are looked for only by a job that failed once: it is alone then.
        let ids: Vec<Uuid> = match jobs {
            [job] if tx.is_again() => job.tasks.iter().map(|task| task_rows::uuid(task.id)).collect(),
            _ => Vec::new(),
        };
        let mut calls = vec![call(LOCK, &[&LOCK_CLASS, &locks]), call(WAITING, &[&accounts])];
        if !hashes.is_empty() {
            calls.push(call(KEYS, &[&hashes, &owners]));
        }
        if !ids.is_empty() {
            calls.push(call(IDS, &[&accounts[0], &ids]));
        }
        let mut answers = tx.read_all(&calls).await?.into_iter().skip(1);
        let mut next = |asked: bool| if asked { answers.next().unwrap_or_default() } else { Rows::default() };
        let (waiting, keys, taken) = (next(true), next(!hashes.is_empty()), next(!ids.is_empty()));
        let mut known = Self::default();
        for row in &waiting.rows {
            known.count(row)?;
        }
        for row in &keys.rows {
            let state: Option<i32> = get(row, 2)?;
            // Without a task it is being deleted this moment: what comes next finds out.
            let state = state.and_then(|state| numbers::state(state.into())).unwrap_or(TaskState::Queued);
            known.keys.insert(get(row, 0)?, KeyTaken { id: task_rows::id(row, 1)?, state });
        }
        for row in &taken.rows {
            known.ids.push(get(row, 0)?);
        }
        Ok(known)
    }

    fn count(&mut self, row: &Row) -> Result<(), StoreError> {
        let (account, count): (i64, i64) = (get(row, 0)?, get(row, 2)?);
        let priority = task_rows::priority(row, 1)?;
        let waiting = self.waiting.entry(account).or_default();
        waiting[priority.index()] = u64::try_from(count).unwrap_or(0);
        Ok(())
    }

    fn decide<'a>(&mut self, job: &'a Submission, new: &mut Columns<'a>) -> Result<Submitted, StoreError> {
        if job.tasks.iter().any(|task| self.ids.contains(&task_rows::uuid(task.id))) {
            return Err(StoreError::Conflict { what: "task" });
        }
        let waiting = self.waiting.entry(job.account.to_i64()).or_default();
        let queued = waiting.iter().sum::<u64>();
        if queued + job.tasks.len() as u64 > job.queued_max {
            return Ok(Submitted::Full { queued });
        }
        let mut outcomes = Vec::with_capacity(job.tasks.len());
        for ((task, hash), host) in job.tasks.iter().zip(&job.key_hashes).zip(&job.hosts) {
            if let Some(taken) = hash.and_then(|hash| self.keys.get(&hash)) {
                outcomes.push(Err(*taken));
                continue;
            }
            if let Some(hash) = hash {
                self.keys.insert(*hash, KeyTaken { id: task.id, state: TaskState::Queued });
            }
            outcomes.push(Ok(accept(waiting, task.priority)));
            new.push(job.account, task, *hash, host.as_deref());
        }
        Ok(Submitted::Each(outcomes))
    }
}
