//! Tasks in PostgreSQL.

use std::sync::Arc;

use async_trait::async_trait;
use bromo_rules::id::AccountId;
use bromo_rules::task::{Depth, NewTask, Task, TaskId, TaskState};
use bromo_rules::time::Timestamp;

use super::claim::{ClaimAsk, Take, Taken};
use super::local::Hidden;
use super::settle::Ending;
use super::submit::{Submission, Submit};
use super::task_read::Name;
use super::tx::Tx;
use super::{Parts, PostgresStore, queue, remove, task_read};
use crate::error::StoreError;
use crate::tasks::{
    Back, Claim, Claiming, Deleted, End, Ended, Ender, Endpoints, Head, Submitted, TaskFilter, TaskName,
    TaskSeq, Tasks, WholeTask,
};

/// Tasks that a cleared queue loses with one commit.
const CLEAR_TASKS_MAX: i64 = 500;
/// Tasks that expire with one commit.
const EXPIRE_TASKS_MAX: u32 = 500;
/// How often a task that was to be deleted may change under our hands.
const DELETE_TRIES: usize = 5;

#[async_trait]
impl Tasks for PostgresStore {
    async fn submit(
        &self,
        account: AccountId,
        tasks: Vec<NewTask>,
        queued_max: u64,
    ) -> Result<Submitted, StoreError> {
        let local = Arc::clone(&self.parts.local);
        let Parts { singles, batches, .. } = &*self.parts;
        let lane = match tasks.len() {
            0..=1 => singles,
            _ => &batches[account.to_i64().unsigned_abs() as usize % batches.len()],
        };
        let submission = Arc::new(Submission::new(account, tasks, queued_max, local));
        lane.ask_twice(|closely| Submit { submission: Arc::clone(&submission), closely }).await
    }

    async fn lookup_task(
        &self,
        account: AccountId,
        name: TaskName<'_>,
    ) -> Result<Option<WholeTask>, StoreError> {
        let found = task_read::whole(&self.parts.shared, account, &Name::new(account, name)).await?;
        let Some((seq, mut whole)) = found else { return Ok(None) };
        if whole.task.state == TaskState::Queued {
            let ahead = queue::ahead_max(&self.parts.shared, account, whole.task.priority, seq).await?;
            whole.ahead_max = Some(ahead);
        }
        Ok(Some(whole))
    }

    async fn list_tasks(
        &self,
        account: AccountId,
        filter: TaskFilter,
        before: Option<TaskId>,
        count: u32,
    ) -> Result<Vec<Task>, StoreError> {
        task_read::list(&self.parts.shared, account, filter, before, count).await
    }

    async fn depth(&self, account: AccountId) -> Result<Depth, StoreError> {
        queue::depth(&self.parts.shared, account).await
    }

    async fn clear_queue(&self, account: AccountId) -> Result<u64, StoreError> {
        // Those that come later are not meant.
        let last = remove::last_seq(&self.parts.shared).await?;
        let mut cleared = 0;
        loop {
            let local = Arc::clone(&self.parts.local);
            let clear =
                async move |tx: &Tx<'_>| remove::clear(tx, &local, account, last, CLEAR_TASKS_MAX).await;
            let some = self.parts.others.run(clear).await?;
            cleared += some;
            if some == 0 {
                return Ok(cleared);
            }
        }
    }

    async fn delete_task(&self, account: AccountId, name: TaskName<'_>) -> Result<Deleted, StoreError> {
        let name = Name::new(account, name);
        for _ in 0..DELETE_TRIES {
            let found = task_read::whole(&self.parts.shared, account, &name).await?;
            let (seq, whole) = found.ok_or(StoreError::Missing { what: "task" })?;
            match whole.task.state {
                TaskState::Processing => return Ok(Deleted::Runs(whole.task, seq)),
                TaskState::Completed | TaskState::Failed => return Ok(Deleted::Ended(whole.task)),
                TaskState::Queued => {}
            }
            let local = Arc::clone(&self.parts.local);
            let delete = async move |tx: &Tx<'_>| remove::delete(tx, &local, seq).await;
            let gone = self.parts.others.run(delete).await?;
            if gone > 0 {
                return Ok(Deleted::Gone(whole.task));
            }
            // Somebody claimed or deleted it in between.
        }
        Err(StoreError::Unavailable { reason: "the task changes all the time".to_owned() })
    }

    async fn accounts_waiting(&self) -> Result<Vec<AccountId>, StoreError> {
        queue::accounts_waiting(&self.parts.shared).await
    }

    async fn heads_of(
        &self,
        asked: &[(AccountId, usize)],
        endpoints: Endpoints,
    ) -> Result<Vec<Vec<Head>>, StoreError> {
        let lines = queue::lines(endpoints);
        loop {
            let hidden: Vec<TaskSeq> = self.parts.local.hidden().iter().copied().collect();
            let found = queue::heads(&self.parts.shared, asked, &lines, &hidden).await?;
            // What was hidden while we looked would have made room for others.
            let hidden = self.parts.local.hidden();
            if !found.iter().flatten().any(|head| hidden.contains(&head.seq)) {
                return Ok(found);
            }
        }
    }

    fn claim(&self, tasks: Vec<TaskSeq>, now: Timestamp) -> Claiming {
        let local = Arc::clone(&self.parts.local);
        let tasks = Hidden::new(&local, tasks);
        let (takes, node) = (self.parts.takes.clone(), self.parts.node);
        Box::pin(async move {
            if tasks.seqs().is_empty() {
                return Ok(Vec::new());
            }
            let ask = ClaimAsk { tasks, now, node, local: Arc::clone(&local) };
            // An answer that was lost may have been a good one.
            match takes.ask(Take::Claim(ask)).await.inspect_err(|_| local.doubt())? {
                Taken::Claimed(claimed) => {
                    local.held().tasks.extend(claimed.iter().map(|claimed| claimed.claim));
                    Ok(claimed)
                }
                Taken::Back(_) => Ok(Vec::new()),
            }
        })
    }

    async fn give_back(&self, claim: Claim, back: Back) -> Result<bool, StoreError> {
        let local = Arc::clone(&self.parts.local);
        let taken = self.parts.takes.ask(Take::Back(claim, back, local)).await;
        self.over(claim, &taken);
        match taken? {
            Taken::Back(was) => Ok(was),
            Taken::Claimed(_) => Ok(false),
        }
    }

    async fn end_waits(&self, now: Timestamp) -> Result<(Vec<AccountId>, Option<Timestamp>), StoreError> {
        self.parts.others.run(async move |tx: &Tx<'_>| queue::end_waits(tx, now).await).await
    }

    async fn end_task(&self, end: End) -> Result<Ended, StoreError> {
        let ender = end.ender;
        let ended = self.parts.ends.ask(Ending::new(end, Arc::clone(&self.parts.local))).await;
        if let Ender::Claim(claim) = ender {
            self.over(claim, &ended);
        }
        ended
    }

    async fn expire_tasks(&self, now: Timestamp, keep_ms: i64, count: u32) -> Result<u32, StoreError> {
        let mut looked_at = 0;
        while looked_at < count {
            let some = EXPIRE_TASKS_MAX.min(count - looked_at);
            let expire = async move |tx: &Tx<'_>| remove::expire(tx, now, keep_ms, some).await;
            let found = self.parts.others.run(expire).await?;
            looked_at += found;
            if found < some {
                break;
            }
        }
        Ok(looked_at)
    }

    fn recovered(&self) -> u64 {
        self.parts.local.recovered()
    }

    fn totals(&self) -> (u64, u64) {
        self.parts.local.totals()
    }
}

impl PostgresStore {
    /// Nobody has this claim any more. Who cannot be told asks again, and has it until then.
    fn over<T>(&self, claim: Claim, outcome: &Result<T, StoreError>) {
        if !matches!(outcome, Err(StoreError::Unavailable { .. })) {
            self.parts.local.held().tasks.remove(&claim);
        }
    }
}
