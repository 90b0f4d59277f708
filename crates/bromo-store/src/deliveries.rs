//! Deliveries: the duty to tell one address of one task's end, and every attempt at it. Also the sealed secrets that
//! deliveries are signed with.

use async_trait::async_trait;
use bromo_rules::endpoint::Endpoint;
use bromo_rules::id::AccountId;
use bromo_rules::task::{Task, TaskId};
use bromo_rules::time::Timestamp;

use crate::error::StoreError;
use crate::tasks::TaskSeq;

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveryState {
    /// Attempts made.
    pub attempts: u32,
    /// When a receiver first took it.
    pub delivered_at: Option<Timestamp>,
    /// When it is tried next; none once it has ended.
    pub due_at: Option<Timestamp>,
}

/// Fresh deliveries have places of their own, so that retries never delay them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// No attempt was made since it was booked.
    Fresh,
    /// At least one attempt failed.
    Retry,
}

/// How many more deliveries of an account a host may be sent now. Asked once an account, host and call, under a lock of
/// the store's: it must not call the store.
pub type Room<'a> = &'a (dyn Fn(AccountId, &str) -> usize + Send + Sync);

/// A delivery that is due and that this node has taken: nobody else is given it until an attempt is recorded, it is
/// put back, or this process ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The task's short name.
    pub seq: TaskSeq,
    /// The task, final.
    pub task: Task,
    /// What its reader gets as `response`.
    pub response: Vec<u8>,
    /// Where to.
    pub url: String,
    /// Host and port of that, as [`Room`] is asked.
    pub host: String,
    /// Which attempt this is, from 1; cut ones are not counted. Counts on through redeliveries.
    pub attempt: u32,
    /// Which attempt since it was booked or redelivered, from 1: decides the next wait.
    pub round_attempt: u32,
    /// What to sign with; none where signing is disabled.
    pub secrets: Option<SealedSecrets>,
}

/// The sealed secrets of an account. What they hold is known above this crate alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedSecrets {
    /// The one in force.
    pub current: Vec<u8>,
    /// The one before, which signs too until then.
    pub previous: Option<(Vec<u8>, Timestamp)>,
}

/// One attempt at a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryAttempt {
    /// Its number, from 1.
    pub number: u32,
    /// When it began.
    pub at: Timestamp,
    /// How long it took, in milliseconds.
    pub took_ms: u32,
    /// What the receiver answered.
    pub status: Option<u16>,
    /// What went wrong, where no status says it.
    pub error: Option<String>,
    /// The beginning of what the receiver said, at most 2 KiB.
    pub response: Vec<u8>,
}

/// What follows an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing: the receiver took it.
    Delivered,
    /// Another attempt at this instant.
    RetryAt(Timestamp),
    /// Nothing: it is given up.
    GivenUp,
}

/// What became of a delivery so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryStage {
    /// It waits for an attempt, the first or another.
    Pending,
    /// A receiver took it.
    Delivered,
    /// It is tried no more.
    GivenUp,
}

impl DeliveryStage {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Delivered, Self::GivenUp];
}

/// Which deliveries a list has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeliveryFilter {
    /// Only these.
    pub stage: Option<DeliveryStage>,
    /// Only those to this host, as an address names it: with its port or without.
    pub host: Option<String>,
}

/// A delivery in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedDelivery {
    /// Its task.
    pub task: TaskId,
    /// Who was asked.
    pub endpoint: Endpoint,
    /// Where to.
    pub url: String,
    /// When its task ended.
    pub booked_at: Timestamp,
    /// What became of it.
    pub stage: DeliveryStage,
    /// Where it stands.
    pub state: DeliveryState,
    /// The last attempt, with the first [`LISTED_RESPONSE_BYTES_MAX`] of what the receiver said.
    pub last: Option<DeliveryAttempt>,
}

/// Of what a receiver said, a list has no more.
pub const LISTED_RESPONSE_BYTES_MAX: usize = 120;

/// A page of deliveries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeliveryPage {
    /// Those of the newest tasks first.
    pub deliveries: Vec<ListedDelivery>,
    /// Where the next page begins; none at the end. There may be more although this page is not full: a list looks at
    /// a bounded number of tasks.
    pub more: Option<TaskSeq>,
}

/// Deliveries, their attempts, and the secrets they are signed with.
#[async_trait]
pub trait Deliveries: Send + Sync {
    /// Takes due deliveries, oldest first within an account and host, one of these after the other; at most `count`, and
    /// no more than there is room for. With each comes what is needed to send it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: none was taken.
    async fn take_due(
        &self,
        lane: Lane,
        now: Timestamp,
        room: Room<'_>,
        count: usize,
    ) -> Result<Vec<Due>, StoreError>;

    /// When the next delivery becomes due that is not taken; in the past if it is already.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Writes an attempt and what follows it, and gives the delivery back. Attempts that arrive together share one
    /// commit.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if the task is gone; [`StoreError::Unavailable`]: safe to call again.
    async fn record_attempt(
        &self,
        seq: TaskSeq,
        attempt: DeliveryAttempt,
        next: Next,
    ) -> Result<(), StoreError>;

    /// Gives taken deliveries back whose attempts were cut: they are due at once and the attempts do not count.
    fn put_back(&self, taken: &[TaskSeq]);

    /// All attempts at the delivery of this task, oldest first; none if it has no webhook or has not ended.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if the account has no such task; [`StoreError::Unavailable`].
    async fn list_attempts(
        &self,
        account: AccountId,
        task: TaskId,
    ) -> Result<(Option<DeliveryState>, Vec<DeliveryAttempt>), StoreError>;

    /// Deliveries of this account, those of the newest tasks first, at most `count`, of tasks older than `before`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn list_deliveries(
        &self,
        account: AccountId,
        filter: DeliveryFilter,
        before: Option<TaskSeq>,
        count: u32,
    ) -> Result<DeliveryPage, StoreError>;

    /// Where the deliveries of these tasks stand, in their order; none of tasks without one, and of other accounts.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn delivery_states(
        &self,
        account: AccountId,
        tasks: Vec<TaskId>,
    ) -> Result<Vec<Option<(DeliveryStage, DeliveryState)>>, StoreError>;

    /// How many deliveries [`Deliveries::redeliver_failed`] would make due; never says more than `most`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn count_failed(&self, account: AccountId, since: Timestamp, most: u32) -> Result<u64, StoreError>;

    /// Makes the delivery of a final task due now, whatever became of it; the first attempt of a new round. A delivery
    /// that is being sent is left alone. The state after it; none if the task has no delivery.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if the account has no such task; [`StoreError::Unavailable`].
    async fn redeliver(
        &self,
        account: AccountId,
        task: TaskId,
        now: Timestamp,
    ) -> Result<Option<DeliveryState>, StoreError>;

    /// The same for all deliveries of the account that were given up and whose task ended at `since` or later, at most
    /// `count`, in parts; their number.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn redeliver_failed(
        &self,
        account: AccountId,
        since: Timestamp,
        now: Timestamp,
        count: u32,
    ) -> Result<u64, StoreError>;

    /// The account's sealed secrets; none where signing is disabled.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn lookup_secrets(&self, account: AccountId) -> Result<Option<SealedSecrets>, StoreError>;

    /// Replaces the account's sealed secrets; none disables signing. In force for the next attempt that begins.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if the account is unknown; [`StoreError::Unavailable`].
    async fn put_secrets(&self, account: AccountId, secrets: Option<SealedSecrets>)
    -> Result<(), StoreError>;

    /// Deliveries that wait, over all accounts: for metrics.
    fn pending(&self) -> u64;
}
