//! Tasks in SQLite. What is asked often is answered from memory, what is written often by the writer's own jobs.

use std::sync::Arc;

use async_trait::async_trait;
use bromo_rules::id::AccountId;
use bromo_rules::task::{Depth, NewTask, Task, TaskId, TaskState};
use bromo_rules::time::Timestamp;
use rusqlite::{Connection, Row, params};

use super::claim::{self, ClaimAsk};
use super::delivery_rows::delivery_state_columns;
use super::memory::{Changes, Memory, TakenTasks};
use super::rows::first;
use super::submit::Submission;
use super::task_rows::{TASK_COLUMNS, task_columns, task_tables};
use super::{SqliteStore, delivery_rows, expire, task_blocks, task_keys, task_rows};
use crate::error::StoreError;
use crate::tasks::{
    Back, Claim, Claiming, Deleted, End, Ended, Endpoints, Head, Submitted, TaskFilter, TaskName, TaskSeq,
    Tasks, WholeTask,
};

/// Tasks that a cleared queue loses with one commit. The writer has others to serve: a few milliseconds.
const CLEAR_TASKS_MAX: usize = 200;
/// Tasks that expire with one commit. They may lie anywhere.
const EXPIRE_TASKS_MAX: u32 = 64;

#[async_trait]
impl Tasks for SqliteStore {
    async fn submit(
        &self,
        account: AccountId,
        tasks: Vec<NewTask>,
        queued_max: u64,
    ) -> Result<Submitted, StoreError> {
        self.parts.writer.submit(Submission::new(account, tasks, queued_max)).await
    }

    async fn lookup_task(
        &self,
        account: AccountId,
        name: TaskName<'_>,
    ) -> Result<Option<WholeTask>, StoreError> {
        let name = Name::new(account, name);
        // Memory first: what leaves it is on disk by then.
        let recent = name.recent(&self.parts.memory);
        let found =
            self.parts.readers.run(move |connection| whole(connection, account, &name, &recent)).await?;
        Ok(found.map(|(seq, mut whole)| {
            if whole.task.state == TaskState::Queued {
                let queue = self.parts.memory.queue();
                whole.ahead_max = Some(queue.ahead_max(account, whole.task.priority, seq));
            }
            whole
        }))
    }

    async fn list_tasks(
        &self,
        account: AccountId,
        filter: TaskFilter,
        before: Option<TaskId>,
        count: u32,
    ) -> Result<Vec<Task>, StoreError> {
        self.parts.readers.run(move |connection| list(connection, account, filter, before, count)).await
    }

    async fn depth(&self, account: AccountId) -> Result<Depth, StoreError> {
        Ok(self.parts.memory.queue().depth(account))
    }

    async fn clear_queue(&self, account: AccountId) -> Result<u64, StoreError> {
        let memory = &self.parts.memory;
        // In the order in which they lie on disk. Those that come later are not meant.
        let waiting = memory.queue().waiting_of(account);
        let mut cleared = 0;
        for part in waiting.chunks(CLEAR_TASKS_MAX) {
            let (part, memory) = (part.to_vec(), Arc::clone(memory));
            let clear = move |connection: &Connection, changes: &mut Changes| {
                expire::delete_waiting(connection, changes, account, &part, memory.numbers().seqs.peek())
            };
            cleared += self.parts.writer.change(clear).await?;
        }
        Ok(cleared)
    }

    async fn delete_task(&self, account: AccountId, name: TaskName<'_>) -> Result<Deleted, StoreError> {
        let (name, memory) = (Name::new(account, name), Arc::clone(&self.parts.memory));
        self.parts
            .writer
            .change(move |connection, changes| {
                let recent = name.recent(&memory);
                let (seq, whole) = whole(connection, account, &name, &recent)?
                    .ok_or(StoreError::Missing { what: "task" })?;
                match whole.task.state {
                    TaskState::Processing => return Ok(Deleted::Runs(whole.task, seq)),
                    TaskState::Completed | TaskState::Failed => return Ok(Deleted::Ended(whole.task)),
                    TaskState::Queued => {}
                }
                let next = memory.numbers().seqs.peek();
                expire::delete_waiting(connection, changes, account, &[seq], next)?;
                Ok(Deleted::Gone(whole.task))
            })
            .await
    }

    async fn accounts_waiting(&self) -> Result<Vec<AccountId>, StoreError> {
        Ok(self.parts.memory.queue().accounts_ready())
    }

    async fn heads_of(
        &self,
        asked: &[(AccountId, usize)],
        endpoints: Endpoints,
    ) -> Result<Vec<Vec<Head>>, StoreError> {
        let queue = self.parts.memory.queue();
        Ok(asked.iter().map(|(account, count)| queue.heads(*account, endpoints, *count)).collect())
    }

    fn claim(&self, tasks: Vec<TaskSeq>, now: Timestamp) -> Claiming {
        let taken = TakenTasks::take(&self.parts.memory, &tasks);
        let parts = Arc::clone(&self.parts);
        Box::pin(async move {
            if taken.seqs().is_empty() {
                return Ok(Vec::new());
            }
            // What never changes is read beside the writer, which has the most to do.
            let seqs = taken.seqs().to_vec();
            let candidates =
                parts.readers.run(move |connection| claim::candidates(connection, &seqs)).await?;
            parts.writer.claim(ClaimAsk::new(taken, candidates, now)).await
        })
    }

    async fn give_back(&self, claim: Claim, back: Back) -> Result<bool, StoreError> {
        let give_back = move |connection: &Connection, changes: &mut Changes| {
            claim::give_back(connection, changes, claim, back)
        };
        self.parts.writer.change(give_back).await
    }

    async fn end_waits(&self, now: Timestamp) -> Result<(Vec<AccountId>, Option<Timestamp>), StoreError> {
        Ok(self.parts.memory.queue().end_waits(now))
    }

    async fn end_task(&self, end: End) -> Result<Ended, StoreError> {
        self.parts.writer.end(end).await
    }

    async fn expire_tasks(&self, now: Timestamp, keep_ms: i64, count: u32) -> Result<u32, StoreError> {
        let mut looked_at = 0;
        while looked_at < count {
            let memory = Arc::clone(&self.parts.memory);
            let some = EXPIRE_TASKS_MAX.min(count - looked_at);
            let expire = move |connection: &Connection, changes: &mut Changes| {
                expire::expire(connection, changes, now, keep_ms, some, memory.numbers().seqs.peek())
            };
            let found = self.parts.writer.change(expire).await?;
            looked_at += found;
            if found < some {
                break;
            }
        }
        Ok(looked_at)
    }

    fn recovered(&self) -> u64 {
        self.parts.memory.recovered()
    }

    fn totals(&self) -> (u64, u64) {
        self.parts.memory.queue().totals()
    }
}

/// [`TaskName`] with a key of its own and its hash.
enum Name {
    Id(TaskId),
    Key(Box<str>, i64),
}

impl Name {
    fn new(account: AccountId, name: TaskName<'_>) -> Self {
        match name {
            TaskName::Id(id) => Self::Id(id),
            TaskName::Key(key) => Self::Key(key.into(), task_keys::hash(account, key)),
        }
    }

    /// What memory knows of it.
    fn recent(&self, memory: &Memory) -> Vec<TaskSeq> {
        match self {
            Self::Id(_) => Vec::new(),
            Self::Key(_, hash) => memory.keys().lookup(*hash),
        }
    }
}

/// A task of this account and its short name; its place in the queue is not known here.
fn whole(
    connection: &Connection,
    account: AccountId,
    name: &Name,
    recent: &[TaskSeq],
) -> Result<Option<(TaskSeq, WholeTask)>, StoreError> {
    let seq = match name {
        Name::Id(id) => lookup_id(connection, account, *id)?,
        Name::Key(key, hash) => task_keys::lookup(connection, account, key, *hash, recent)?,
    };
    let Some(seq) = seq else { return Ok(None) };
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        task_columns!(),
        ", r.response, ",
        delivery_state_columns!(),
        " FROM tasks t",
        task_tables!(),
        "LEFT JOIN deliveries d ON d.end_seq = t.end_seq WHERE t.seq = ?1"
    ))?;
    let whole = first(&mut statement, [seq], |row: &Row<'_>| {
        Ok(WholeTask {
            task: task_rows::task(row, 0)?,
            response: row.get(TASK_COLUMNS)?,
            delivery: delivery_rows::state_if_any(row, TASK_COLUMNS + 1)?,
            ahead_max: None,
        })
    })?;
    Ok(whole.map(|whole| (seq, whole)))
}

/// The short name of a task of this account.
pub(super) fn lookup_id(
    connection: &Connection,
    account: AccountId,
    id: TaskId,
) -> Result<Option<TaskSeq>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT seq, account FROM tasks WHERE id = ?1")?;
    let found = first(&mut statement, [id.as_bytes()], |row| {
        Ok((row.get::<_, TaskSeq>(0)?, task_rows::account(row, 1)?))
    })?;
    Ok(found.filter(|(_, owner)| *owner == account).map(|(seq, _)| seq))
}

fn list(
    connection: &Connection,
    account: AccountId,
    filter: TaskFilter,
    before: Option<TaskId>,
    count: u32,
) -> Result<Vec<Task>, StoreError> {
    let before = before.map_or(Ok(TaskSeq::MAX), |id| place_of(connection, id))?;
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        task_columns!(),
        " FROM task_blocks b CROSS JOIN tasks t ON t.seq BETWEEN b.block * ?3 AND b.block * ?3 + ?3 - 1",
        task_tables!(),
        "WHERE b.account = ?1 AND b.block <= ?2 / ?3 AND t.account = ?1 AND t.seq < ?2
             AND (?4 IS NULL OR CASE WHEN c.seq IS NULL THEN t.state ELSE 3 END = ?4)
             AND (?5 IS NULL OR t.endpoint = ?5)
         ORDER BY b.block DESC, t.seq DESC LIMIT ?6"
    ))?;
    let params = params![
        account.to_i64(),
        before,
        task_blocks::BLOCK_SEQS,
        filter.state.map(task_rows::state_number),
        filter.endpoint.map(task_rows::endpoint_number),
        count,
    ];
    statement.query_and_then(params, |row| task_rows::task(row, 0))?.collect()
}

/// Where a list goes on after this task, which may be gone: then after those that came before it.
fn place_of(connection: &Connection, id: TaskId) -> Result<TaskSeq, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT id = ?1, seq FROM tasks WHERE id <= ?1 ORDER BY id DESC LIMIT 1")?;
    let found = first(&mut statement, [id.as_bytes()], |row| {
        let seq: TaskSeq = row.get(1)?;
        Ok(if row.get(0)? { seq } else { seq + 1 })
    })?;
    Ok(found.unwrap_or(0))
}
