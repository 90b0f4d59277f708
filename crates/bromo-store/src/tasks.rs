//! Tasks: accepted, queued, claimed, ended. Each method is one transaction.

use std::future::Future;
use std::pin::Pin;

use async_trait::async_trait;
use bromo_rules::credit::{Credits, Price};
use bromo_rules::endpoint::Endpoint;
use bromo_rules::id::{AccountId, KeyId};
use bromo_rules::key::KeyKind;
use bromo_rules::task::{Depth, NewTask, Task, TaskId, TaskState};
use bromo_rules::time::Timestamp;

use crate::deliveries::DeliveryState;
use crate::error::StoreError;

/// A task's place in the order of acceptance, over all accounts; its short name inside.
pub type TaskSeq = i64;

/// What became of tasks that were handed in together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Submitted {
    /// Each was judged alone, in order.
    Each(Vec<Result<Accepted, KeyTaken>>),
    /// Together they do not fit: none was taken.
    Full {
        /// Tasks that the account has waiting now.
        queued: u64,
    },
}

/// A task that is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// At most so many tasks of its account stand before it.
    pub ahead_max: u64,
}

/// The idempotency key belongs to another task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyTaken {
    /// That task …
    pub id: TaskId,
    /// … and where it stands.
    pub state: TaskState,
}

/// How a customer names one of its tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskName<'a> {
    /// By its id.
    Id(TaskId),
    /// By its idempotency key.
    Key(&'a str),
}

/// A task with all that a customer may see of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WholeTask {
    /// The task.
    pub task: Task,
    /// On a final one: the bare result object, or `{"error":{…}}`.
    pub response: Option<Vec<u8>>,
    /// On a final one with a webhook.
    pub delivery: Option<DeliveryState>,
    /// On a queued one: at most so many tasks of its account stand before it.
    pub ahead_max: Option<u64>,
}

/// Which tasks a list has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TaskFilter {
    /// Only these.
    pub state: Option<TaskState>,
    /// Only these.
    pub endpoint: Option<Endpoint>,
}

/// What became of a task that was to be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deleted {
    /// It waited and is gone; its idempotency key is free.
    Gone(Task),
    /// It runs; nothing was changed.
    Runs(Task, TaskSeq),
    /// It has ended; nothing was changed.
    Ended(Task),
}

/// Endpoints, as a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoints(u8);

impl Endpoints {
    /// All of them.
    pub const ALL: Self = Self(u8::MAX);

    /// Without this one.
    #[must_use]
    pub const fn without(self, endpoint: Endpoint) -> Self {
        Self(self.0 & !(1 << endpoint as u8))
    }

    /// Whether it is in there.
    pub const fn has(self, endpoint: Endpoint) -> bool {
        self.0 & (1 << endpoint as u8) != 0
    }
}

/// A task that could run now, as admission needs to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The task.
    pub seq: TaskSeq,
    /// Who is asked.
    pub endpoint: Endpoint,
    /// Live or test.
    pub kind: KeyKind,
    /// The largest possible price.
    pub hold: Credits,
}

/// The right to end one attempt of one task. A claim that was lost (the task was requeued, or another worker has it)
/// ends nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Claim {
    /// The task.
    pub seq: TaskSeq,
    /// Different for each claim that was ever made.
    pub fence: i64,
}

/// A task whose attempt may begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// The right to end it.
    pub claim: Claim,
    /// Its id.
    pub id: TaskId,
    /// Who pays.
    pub account: AccountId,
    /// The key it came with.
    pub key: KeyId,
    /// The kind of that key.
    pub kind: KeyKind,
    /// Who is asked.
    pub endpoint: Endpoint,
    /// The question, as it was handed in.
    pub payload: String,
    /// Whether its end is to be told.
    pub webhook: bool,
    /// What it costs.
    pub price: Price,
    /// Which attempt this is, from 1; cut ones are not counted.
    pub attempt: u8,
    /// Attempts that a crash or a shutdown cut.
    pub cuts: u32,
    /// When it was accepted.
    pub created_at: Timestamp,
}

/// Claims on their way to the disk.
pub type Claiming = Pin<Box<dyn Future<Output = Result<Vec<Claimed>, StoreError>> + Send>>;

/// Why a claimed task goes back to the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Back {
    /// The attempt failed and counts; the next one may begin at this instant.
    Failed(Timestamp),
    /// The attempt was never made; it may begin at this instant and does not count.
    Unmade(Timestamp),
    /// A shutdown cut the attempt: it does not count and may run again at once.
    Cut,
}

/// Who ends a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ender {
    /// The worker of this claim.
    Claim(Claim),
    /// The scheduler, which found it in the queue and cannot start it.
    Queued(TaskSeq),
}

/// The end of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Who ends it.
    pub ender: Ender,
    /// The bare result object, or `{"error":{…}}`: what the task's reader gets as `response`.
    pub response: Vec<u8>,
    /// The charge of a completed task, 0 allowed; none of a failed one.
    pub charge: Option<Credits>,
    /// What stands in the response if the charge is refused as short, which holds make impossible.
    pub if_short: Vec<u8>,
    /// When.
    pub at: Timestamp,
    /// Kept until then, and longer while its delivery has not ended.
    pub keep_until: Timestamp,
    /// Deliveries that the account may have pending; past it the oldest retrying one gives up.
    pub pending_max: u64,
}

/// What became of an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Outcome, charge and due delivery are on disk.
    Done {
        /// The account's balance and its place in the ledger after the charge, if there was one.
        paid: Option<(Credits, u64)>,
    },
    /// The balance did not cover the charge: the task is FAILED, nothing was charged.
    Short,
    /// Another has the task, or it has ended, or it is gone: nothing was written.
    Lost,
}

/// Tasks, from acceptance to their end.
#[async_trait]
pub trait Tasks: Send + Sync {
    /// Accepts tasks of one account; acknowledged means fsynced. They are queued in their order.
    ///
    /// Capacity is checked first, for all of them or none; then each key alone, so that a key that stands twice in
    /// `tasks` fails the later one.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if an id is taken; [`StoreError::Unavailable`]. Nothing was taken.
    async fn submit(
        &self,
        account: AccountId,
        tasks: Vec<NewTask>,
        queued_max: u64,
    ) -> Result<Submitted, StoreError>;

    /// A task of this account.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn lookup_task(
        &self,
        account: AccountId,
        name: TaskName<'_>,
    ) -> Result<Option<WholeTask>, StoreError>;

    /// Tasks of this account, newest first, at most `count`, older than `before`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn list_tasks(
        &self,
        account: AccountId,
        filter: TaskFilter,
        before: Option<TaskId>,
        count: u32,
    ) -> Result<Vec<Task>, StoreError>;

    /// What the account has waiting and running, from counters.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn depth(&self, account: AccountId) -> Result<Depth, StoreError>;

    /// Deletes every waiting task of the account; their number. Many go in parts, so that nobody else waits for long.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn clear_queue(&self, account: AccountId) -> Result<u64, StoreError>;

    /// Deletes one task if it waits.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Unavailable`].
    async fn delete_task(&self, account: AccountId, name: TaskName<'_>) -> Result<Deleted, StoreError>;

    /// Accounts that have tasks waiting which may run now: where a scheduler begins.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn accounts_waiting(&self) -> Result<Vec<AccountId>, StoreError>;

    /// The next tasks of each of these accounts that may run, higher priority first, then first in, first out; at most
    /// as many as are asked for, and of live tasks only those of these endpoints. Only looks.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn heads_of(
        &self,
        asked: &[(AccountId, usize)],
        endpoints: Endpoints,
    ) -> Result<Vec<Vec<Head>>, StoreError>;

    /// The same of one account.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn heads(
        &self,
        account: AccountId,
        endpoints: Endpoints,
        count: usize,
    ) -> Result<Vec<Head>, StoreError> {
        Ok(self.heads_of(&[(account, count)], endpoints).await?.pop().unwrap_or_default())
    }

    /// Claims these tasks, in one statement, those that still wait. From the call on (not from the first poll)
    /// [`Tasks::heads_of`] of this node does not show them; if the claim fails it does again.
    fn claim(&self, tasks: Vec<TaskSeq>, now: Timestamp) -> Claiming;

    /// Puts a claimed task back to its place in the queue. False if the claim was lost.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn give_back(&self, claim: Claim, back: Back) -> Result<bool, StoreError>;

    /// Lets tasks run whose wait is over; their accounts, and when the next wait ends.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn end_waits(&self, now: Timestamp) -> Result<(Vec<AccountId>, Option<Timestamp>), StoreError>;

    /// Ends a task, settles its charge and books its delivery: one transaction, or nothing. Ends that arrive together
    /// share one commit, one balance update an account.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: safe to call again.
    async fn end_task(&self, end: End) -> Result<Ended, StoreError>;

    /// Deletes at most `count` tasks that are kept no longer, with all that belongs to them, in parts; how many were
    /// looked at. A delivery that ended later keeps its task for `keep_ms` after that.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn expire_tasks(&self, now: Timestamp, keep_ms: i64, count: u32) -> Result<u32, StoreError>;

    /// Tasks that a dead process left running and that were put back when this store was opened.
    fn recovered(&self) -> u64;

    /// All waiting tasks and all running ones, over all accounts: for metrics.
    fn totals(&self) -> (u64, u64);
}
