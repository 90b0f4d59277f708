//! Tasks as their owner sees them: accepted, looked up, listed, cancelled. What runs them is the scheduler.

use std::time::Duration;

use bromo_admission::Message;
use bromo_providers::ProviderError;
use bromo_rules::credit::Way;
use bromo_rules::id::AccountId;
use bromo_rules::standing::SlotStanding;
use bromo_rules::task::{NewTask, Task, TaskId, TaskState};
use bromo_rules::time::Timestamp;
use bromo_rules::validate::TaskRequest;
use bromo_store::{Deleted, StoreError, Submitted, TaskName, WholeTask};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::value::RawValue;

use crate::{Caller, Engine};

/// Tasks on one page of a list.
pub const PAGE_MAX: u32 = 100;
/// How long a cancelled attempt may take to end before its canceller is told to come back.
const CANCEL_WAIT: Duration = Duration::from_secs(10);
/// How often it is looked at meanwhile.
const CANCEL_LOOK: Duration = Duration::from_millis(5);

/// What became of a task that was to be cancelled.
#[derive(Debug)]
pub enum Cancelled {
    /// It waited, and is gone.
    Deleted(Task),
    /// Its attempt was cut, and it has failed.
    Cut(Box<WholeTask>),
    /// It had ended before.
    TooLate(TaskState),
    /// Its attempt is being ended; ask again.
    Ending,
}

impl Engine {
    /// A task of this caller, ready to be submitted.
    ///
    /// # Errors
    /// [`ProviderError::Unavailable`], naming the missing setting, where the endpoint has no provider.
    pub fn new_task(&self, caller: &Caller, request: &TaskRequest<'_>) -> Result<NewTask, ProviderError> {
        let (_, price) = self.line(caller.kind, &request.question, Way::Later)?;
        Ok(NewTask {
            id: self.request_id(),
            account: caller.facts.account,
            key: caller.key,
            kind: caller.kind,
            endpoint: request.question.endpoint,
            priority: request.priority,
            payload: request.payload.into(),
            webhook: request.webhook.as_deref().map(Into::into),
            idempotency_key: request.idempotency_key.as_deref().map(Into::into),
            price,
            created_at: self.clock().now(),
        })
    }

    /// Accepts tasks: fsynced when this returns, and the scheduler knows of them. They are taken even if the caller
    /// leaves meanwhile.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: none was taken.
    pub async fn submit(&self, account: AccountId, tasks: Vec<NewTask>) -> Result<Submitted, StoreError> {
        let (parts, later) = (self.parts.clone(), self.later.clone());
        let submitting = self.parts.tracker.spawn(async move {
            let queued_max = parts.settings.tasks.queued_max;
            let submitted = parts.store.submit(account, tasks, queued_max).await?;
            if let Submitted::Each(each) = &submitted {
                let accepted = each.iter().filter(|task| task.is_ok()).count();
                if accepted > 0 {
                    later.counters.submitted.add(u64::try_from(accepted).unwrap_or(u64::MAX));
                    later.wake(account);
                    // If this node is full, another may have room.
                    parts.bus.tell(Message::Tasks(account));
                }
            }
            Ok(submitted)
        });
        let cut = || StoreError::Unavailable { reason: "cut off by the end of the program".to_owned() };
        submitting.await.unwrap_or_else(|_| Err(cut()))
    }

    /// A task of this account, by its id or its idempotency key, the id first (contract D10).
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn lookup_task(&self, account: AccountId, name: &str) -> Result<Option<WholeTask>, StoreError> {
        if let Ok(id) = name.parse::<TaskId>()
            && let Some(found) = self.parts.store.lookup_task(account, TaskName::Id(id)).await?
        {
            return Ok(Some(found));
        }
        self.parts.store.lookup_task(account, TaskName::Key(name)).await
    }

    /// Deletes every waiting task of the account; their number.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    ///
    /// Source: docs/tasks.md#the-queue
    pub async fn clear_queue(&self, account: AccountId) -> Result<u64, StoreError> {
        self.parts.store.clear_queue(account).await
    }

    /// Cancels a task: one that waits is deleted, one that runs is cut and fails.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Unavailable`].
    ///
    /// Source: docs/tasks.md#cancelling
    pub async fn cancel_task(&self, account: AccountId, id: TaskId) -> Result<Cancelled, StoreError> {
        let name = TaskName::Id(id);
        let mut cut = false;
        let end = tokio::time::Instant::now() + CANCEL_WAIT;
        while tokio::time::Instant::now() < end {
            match self.parts.store.delete_task(account, name).await? {
                Deleted::Gone(task) => return Ok(Cancelled::Deleted(task)),
                Deleted::Ended(task) if !cut || task.state == TaskState::Completed => {
                    return Ok(Cancelled::TooLate(task.state));
                }
                Deleted::Ended(_) => {
                    let whole = self.parts.store.lookup_task(account, name).await?;
                    let whole = whole.ok_or(StoreError::Missing { what: "task" })?;
                    return Ok(Cancelled::Cut(Box::new(whole)));
                }
                // Not found here: its claim is on its way to the disk, or its end is, or it runs elsewhere.
                Deleted::Runs(_, seq) => {
                    let here = self.later.cancel(seq);
                    if !here {
                        self.parts.bus.tell(Message::Cancel(seq));
                    }
                    // Only another node may cut what this one does not run.
                    cut |= here || self.settings().tasks.look.is_some();
                }
            }
            tokio::time::sleep(CANCEL_LOOK).await;
        }
        Ok(Cancelled::Ending)
    }

    /// When a queued task is likely to start, from the tasks before it, the account's slots and how long its endpoint
    /// takes.
    ///
    /// Source: docs/tasks.md#the-queue
    pub fn estimated_start(&self, task: &Task, ahead: u64, slots: SlotStanding) -> Timestamp {
        let (limit, free) = (u64::from(slots.limit.max(1)), u64::from(slots.remaining()));
        let now = self.clock().now();
        if ahead < free {
            return now;
        }
        let rounds = u32::try_from((ahead - free) / limit + 1).unwrap_or(u32::MAX);
        now.plus(self.usually(task.endpoint).saturating_mul(rounds))
    }
}

/// A task as it is sent: in answers and, without the webhook, to webhooks (contract sections 6.1, 6.3 and 7.1).
#[derive(Debug)]
pub struct TaskBody<'a> {
    /// The task.
    pub task: &'a Task,
    /// On a queued one, where known: its place in the queue, 1 next, and when it is likely to start.
    pub place: Option<(u64, Timestamp)>,
    /// On a final one with a webhook, for its owner: when it was delivered.
    pub webhook: Option<Option<Timestamp>>,
    /// On a final one: its response, as JSON.
    pub response: Option<&'a RawValue>,
    /// `success: true` in front, as on an accepted task.
    pub success: bool,
}

impl<'a> TaskBody<'a> {
    /// A task with nothing around it.
    pub const fn of(task: &'a Task) -> Self {
        Self { task, place: None, webhook: None, response: None, success: false }
    }
}

impl Serialize for TaskBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Inner<'a> {
            id: String,
            task_type: &'static str,
            status: &'static str,
            priority: u8,
            created_at: String,
            latency_ms: Option<u64>,
            idempotency_key: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            queue_position: Option<u64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            estimated_start_at: Option<String>,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Paid {
            credits_to_charge: i64,
            credits_charged: Option<i64>,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Hook<'a> {
            url: &'a str,
            delivered_at: Option<String>,
            delivered: bool,
        }
        let Self { task, place, webhook, response, success } = self;
        let mut map = serializer.serialize_map(None)?;
        if *success {
            map.serialize_entry("success", &true)?;
        }
        map.serialize_entry(
            "task",
            &Inner {
                id: task.id.to_string(),
                task_type: task.endpoint.task_type(),
                status: task.state.word(),
                priority: task.priority.get(),
                created_at: task.created_at.to_string(),
                latency_ms: task.latency_ms(),
                idempotency_key: task.idempotency_key.as_deref(),
                queue_position: place.map(|(position, _)| position),
                estimated_start_at: place.map(|(_, at)| at.to_string()),
            },
        )?;
        let charged = task.state.is_final().then(|| task.charged.get());
        let paid = Paid { credits_to_charge: task.price.fixed.get(), credits_charged: charged };
        map.serialize_entry("credits", &paid)?;
        if let Some((delivered_at, url)) = webhook.zip(task.webhook.as_deref()) {
            let delivered = delivered_at.is_some();
            let hook = Hook { url, delivered_at: delivered_at.map(|at| at.to_string()), delivered };
            map.serialize_entry("webhook", &hook)?;
        }
        if let Some(response) = response {
            map.serialize_entry("response", response)?;
        }
        map.end()
    }
}

/// Why a task failed, as its reader gets it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TaskError {
    pub(crate) problem: bromo_rules::problem::Problem,
    pub(crate) message: std::borrow::Cow<'static, str>,
    pub(crate) details: Option<serde_json::Value>,
}

impl TaskError {
    pub(crate) fn of(problem: bromo_rules::problem::Problem) -> Self {
        Self { problem, message: problem.message.into(), details: None }
    }

    pub(crate) fn saying(
        problem: bromo_rules::problem::Problem,
        message: impl Into<std::borrow::Cow<'static, str>>,
    ) -> Self {
        Self { problem, message: message.into(), details: None }
    }

    /// `{"error":{…}}`, the response of a failed task.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let mut error = serde_json::json!({ "code": self.problem.code, "message": self.message });
        if let Some(details) = &self.details {
            error["details"] = details.clone();
        }
        serde_json::json!({ "error": error }).to_string().into_bytes()
    }
}
