//! Tasks: questions accepted now and answered later (contract section 6).

use crate::credit::{Credits, Price};
use crate::endpoint::Endpoint;
use crate::id::{AccountId, KeyId, RequestId};
use crate::key::KeyKind;
use crate::time::Timestamp;

/// Names one task. It is also the key of the task's charge and the id of its delivery, so that neither can double.
pub type TaskId = RequestId;

/// Tasks in one batch, unless configured.
pub const BATCH_TASKS_MAX: usize = 500;
/// Tasks that an account may have waiting, unless configured.
pub const QUEUED_TASKS_MAX: u64 = 100_000;
/// Characters that an idempotency key may have.
pub const IDEMPOTENCY_KEY_CHARS_MAX: usize = 255;
/// Bytes that a webhook's address may have.
pub const WEBHOOK_BYTES_MAX: usize = 2048;
/// Attempts that a crash or a shutdown may cut; after that many the task is given up, since it may be their cause.
pub const CUTS_MAX: u32 = 10;

/// Which of an account's tasks goes first: 1 to 10, 10 first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(u8);

impl Priority {
    /// How many there are.
    pub const COUNT: usize = 10;
    /// What a task has that names none.
    pub const DEFAULT: Self = Self(1);

    /// The priority of this number, if it is one.
    pub fn new(number: i64) -> Option<Self> {
        u8::try_from(number).ok().filter(|number| (1..=10).contains(number)).map(Self)
    }

    /// The number, 1 to 10.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// A dense index below [`Priority::COUNT`].
    pub const fn index(self) -> usize {
        self.0 as usize - 1
    }
}

/// Where a task stands (contract section 6.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TaskState {
    /// Waits for a slot, or for its next attempt.
    Queued,
    /// An attempt runs and holds a slot.
    Processing,
    /// Answered and charged. Final.
    Completed,
    /// Ended without an answer, charged nothing. Final.
    Failed,
}

impl TaskState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Queued, Self::Processing, Self::Completed, Self::Failed];

    /// The word on the wire.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Queued => "QUEUED",
            Self::Processing => "PROCESSING",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
        }
    }

    /// Whether it never changes again.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed)
    }
}

/// A task as it is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTask {
    /// Its id.
    pub id: TaskId,
    /// Who pays.
    pub account: AccountId,
    /// The key it came with, for the log.
    pub key: KeyId,
    /// The kind of that key: test tasks are answered by the sandbox.
    pub kind: KeyKind,
    /// Who is asked.
    pub endpoint: Endpoint,
    /// Its priority.
    pub priority: Priority,
    /// The question as it came: JSON that was validated.
    pub payload: Box<str>,
    /// Where to tell of its end.
    pub webhook: Option<Box<str>>,
    /// Unique among the account's tasks that are kept.
    pub idempotency_key: Option<Box<str>>,
    /// What it costs.
    pub price: Price,
    /// When it was accepted.
    pub created_at: Timestamp,
}

/// A task as it stands, without its payload and its response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// Who pays.
    pub account: AccountId,
    /// Who is asked.
    pub endpoint: Endpoint,
    /// Its priority.
    pub priority: Priority,
    /// Where to tell of its end.
    pub webhook: Option<Box<str>>,
    /// Its idempotency key.
    pub idempotency_key: Option<Box<str>>,
    /// What it costs.
    pub price: Price,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// Where it stands.
    pub state: TaskState,
    /// Attempts made that count, the running one included.
    pub attempts: u8,
    /// When its first attempt began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// What was charged; 0 until it completes.
    pub charged: Credits,
}

impl Task {
    /// First pickup to the end in milliseconds, waits between attempts included; none before the end, and for a
    /// task that ended before it was picked up (contract section 6.1).
    ///
    /// Source: docs/tasks.md#reading-a-task
    pub fn latency_ms(&self) -> Option<u64> {
        let took = self.ended_at?.since(self.started_at?);
        u64::try_from(took.as_millis()).ok()
    }
}

/// What an account has waiting and running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depth {
    /// Waiting tasks by [`Priority::index`], those that wait for another attempt included.
    pub queued: [u64; Priority::COUNT],
    /// Running attempts.
    pub processing: u64,
}

impl Depth {
    /// All that wait.
    pub fn queued_total(&self) -> u64 {
        self.queued.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_priority_is_one_to_ten() {
        let good: Vec<_> = (-1..=12).filter_map(Priority::new).map(Priority::get).collect();
        assert_eq!(good, (1..=10).collect::<Vec<_>>());
        assert_eq!(Priority::new(10).map(Priority::index), Some(9));
    }
}
