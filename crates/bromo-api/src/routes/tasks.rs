//! `/v1/async/…`: tasks accepted, looked up, listed, cancelled (contract section 6).

use std::sync::Arc;

use bromo_engine::Caller;
use bromo_engine::task::{Cancelled, PAGE_MAX, TaskBody};
use bromo_rules::credit::Credits;
use bromo_rules::endpoint::Endpoint;
use bromo_rules::id::AccountId;
use bromo_rules::problem::{FieldFault, Problem};
use bromo_rules::standing::Standing;
use bromo_rules::task::{NewTask, Task, TaskId, TaskState};
use bromo_rules::validate;
use bromo_store::{Accepted, KeyTaken, StoreError, Submitted, TaskFilter, TaskName, WholeTask};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::body::Asked;
use crate::exchange::Exchange;
use crate::problem::Failure;
use crate::reply::Success;
use crate::route::Route;
use crate::routes::parameter;
use crate::{Api, body};

/// Items of a batch that are checked before other connections of the thread get their turn.
const ITEMS_A_TURN: usize = 50;

/// `POST /v1/async/task`
pub(crate) async fn create(
    api: &Api,
    exchange: &mut Exchange,
    mut caller: Arc<Caller>,
    body: Asked,
) -> Result<Success, Failure> {
    let checked = match body::read(body, &api.limits).await {
        Ok(whole) => check(api, &caller, &whole.bytes),
        Err(failure) => Err(failure),
    };
    let standing = exchange.count(&api.engine, &mut caller, Route::CreateTask).await?;
    let new = checked?;
    let task = accepted_task(&new);
    if standing.balance < new.price.fixed {
        return Err(refused(api, &task, Problem::INSUFFICIENT_CREDITS.into()).await);
    }
    let submitted = api.engine.submit(new.account, vec![new]).await.map_err(|error| unstored(&error))?;
    match submitted {
        Submitted::Each(each) => match each.first() {
            Some(Ok(accepted)) => Ok(Success::json(&accepted_body(api, &task, *accepted, &standing, true))),
            Some(Err(taken)) => Err(key_taken(&task, taken)),
            None => Err(Problem::INTERNAL.into()),
        },
        Submitted::Full { queued } => {
            let full = Failure::queue_full(api.engine.settings().tasks.queued_max, queued, 1);
            Err(refused(api, &task, full).await)
        }
    }
}

fn check(api: &Api, caller: &Caller, body: &[u8]) -> Result<NewTask, Failure> {
    let webhook = |url: &str| api.egress.check_url(url).map(drop).map_err(|error| error.to_string());
    let request = validate::task(body, api.strict, webhook).map_err(|faults| Failure::invalid(&faults))?;
    let endpoint = request.question.endpoint;
    api.engine.new_task(caller, &request).map_err(|error| Failure::provider(endpoint, &error))
}

/// `POST /v1/async/task/batch`
pub(crate) async fn create_batch(
    api: &Api,
    exchange: &mut Exchange,
    mut caller: Arc<Caller>,
    body: Asked,
) -> Result<Success, Failure> {
    let checked = check_batch(api, &caller, body).await;
    let standing = exchange.count(&api.engine, &mut caller, Route::CreateBatch).await?;
    let checked = checked?;
    let total = checked.len();
    let mut balance = standing.balance;
    let prices = checked.iter().flatten().map(|new| new.price.fixed);
    let is_short = prices.sum::<Credits>() > balance;
    let mut tasks = Vec::with_capacity(total);
    // What becomes of each item: refused already, or the next of those that the store judges.
    let mut outcomes: Vec<Result<Task, Failure>> = Vec::with_capacity(total);
    for checked in checked {
        let judged = match checked {
            // Where the balance may not last, keys that are taken must not use it up.
            Ok(new) if is_short => match key_is_taken(api, &accepted_task(&new)).await {
                Some(taken) => Err(taken),
                None => Ok(new),
            },
            checked => checked,
        };
        outcomes.push(match judged {
            Ok(new) if balance < new.price.fixed => Err(Problem::INSUFFICIENT_CREDITS.into()),
            Ok(new) => {
                balance = balance - new.price.fixed;
                let task = accepted_task(&new);
                tasks.push(new);
                Ok(task)
            }
            Err(failure) => Err(failure),
        });
    }
    let submitted = if tasks.is_empty() {
        Submitted::Each(Vec::new())
    } else {
        api.engine.submit(caller.facts.account, tasks).await.map_err(|error| unstored(&error))?
    };
    let each = match submitted {
        Submitted::Each(each) => each,
        Submitted::Full { queued } => {
            return Err(Failure::queue_full(api.engine.settings().tasks.queued_max, queued, total));
        }
    };
    Ok(batch_answer(api, outcomes, each, &standing))
}

async fn check_batch(
    api: &Api,
    caller: &Caller,
    body: Asked,
) -> Result<Vec<Result<NewTask, Failure>>, Failure> {
    let whole = body::read(body, &api.batch_limits).await?;
    let items =
        validate::batch(&whole.bytes, api.batch_tasks_max).map_err(|faults| Failure::invalid(&faults))?;
    let mut checked = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        if index % ITEMS_A_TURN == ITEMS_A_TURN - 1 {
            tokio::task::yield_now().await;
        }
        checked.push(check(api, caller, item.get().as_bytes()).map_err(|mut failure| {
            if failure.problem == Problem::VALIDATION {
                failure.message = format!("Invalid task at index {index}").into();
                failure.details = failure.details.map(|errors| json!({ "errors": errors }));
            }
            failure
        }));
    }
    Ok(checked)
}

fn batch_answer(
    api: &Api,
    outcomes: Vec<Result<Task, Failure>>,
    each: Vec<Result<Accepted, KeyTaken>>,
    standing: &Standing,
) -> Success {
    #[derive(Serialize)]
    struct Good<'a> {
        success: bool,
        index: usize,
        #[serde(flatten)]
        body: TaskBody<'a>,
    }
    #[derive(Serialize)]
    struct Bad {
        success: bool,
        index: usize,
        error: Value,
    }
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Item<'a> {
        Good(Good<'a>),
        Bad(Bad),
    }
    let now = api.engine.clock().now();
    let mut each = each.into_iter();
    let mut succeeded = 0;
    let results: Vec<Item<'_>> = outcomes
        .iter()
        .enumerate()
        .map(|(index, outcome)| {
            let failure = match outcome {
                Err(failure) => failure.clone(),
                Ok(task) => match each.next() {
                    Some(Ok(accepted)) => {
                        succeeded += 1;
                        let body = accepted_body(api, task, accepted, standing, false);
                        return Item::Good(Good { success: true, index, body });
                    }
                    Some(Err(taken)) => key_taken(task, &taken),
                    None => Problem::INTERNAL.into(),
                },
            };
            Item::Bad(Bad { success: false, index, error: failure.error(now) })
        })
        .collect();
    let total = results.len();
    let summary = json!({ "total": total, "succeeded": succeeded, "failed": total - succeeded });
    #[derive(Serialize)]
    struct Answer<'a> {
        success: bool,
        summary: Value,
        results: Vec<Item<'a>>,
    }
    Success::json(&Answer { success: true, summary, results })
}

/// `GET /v1/async/task/{id}`
pub(crate) async fn show(
    api: &Api,
    standing: &Standing,
    account: AccountId,
    name: &str,
) -> Result<Success, Failure> {
    let whole = find(api, account, name).await?;
    whole_answer(api, &whole, standing)
}

/// `DELETE /v1/async/task/{id}`
pub(crate) async fn cancel(
    api: &Api,
    standing: &Standing,
    account: AccountId,
    name: &str,
) -> Result<Success, Failure> {
    let id = find(api, account, name).await?.task.id;
    match api.engine.cancel_task(account, id).await {
        Ok(Cancelled::Deleted(task)) => Ok(Success::json(&TaskBody::of(&task))),
        Ok(Cancelled::Cut(whole)) => whole_answer(api, &whole, standing),
        Ok(Cancelled::TooLate(state)) => Err(Failure::conflict("Task has already ended", id, state)),
        Ok(Cancelled::Ending) => Err(Failure::unavailable()),
        Err(StoreError::Missing { .. }) => Err(Failure::no_task(name)),
        Err(error) => Err(unstored(&error)),
    }
}

/// `GET /v1/async/tasks`
pub(crate) async fn list(api: &Api, account: AccountId, query: Option<&str>) -> Result<Success, Failure> {
    let mut faults = Vec::new();
    let mut fault = |field: &str, message: String| {
        faults.push(FieldFault { field: field.to_owned(), message });
    };
    let state = parameter(query, "status").and_then(|word| {
        let state = TaskState::ALL.into_iter().find(|state| state.word() == word);
        if state.is_none() {
            fault("status", format!("must be one of {}", TaskState::ALL.map(TaskState::word).join(", ")));
        }
        state
    });
    let endpoint = parameter(query, "taskType").and_then(|word| {
        let endpoint = Endpoint::ALL.into_iter().find(|endpoint| endpoint.task_type() == word);
        if endpoint.is_none() {
            fault(
                "taskType",
                format!("must be one of {}", Endpoint::ALL.map(Endpoint::task_type).join(", ")),
            );
        }
        endpoint
    });
    let count = parameter(query, "limit").map_or(Some(PAGE_MAX), |text| {
        let count = text.parse().ok().filter(|count| (1..=PAGE_MAX).contains(count));
        if count.is_none() {
            fault("limit", format!("must be 1 to {PAGE_MAX}"));
        }
        count
    });
    let before = parameter(query, "cursor").and_then(|text| {
        let before = text.parse::<TaskId>().ok();
        if before.is_none() {
            fault("cursor", "must be the nextCursor of a page".to_owned());
        }
        before
    });
    if !faults.is_empty() {
        return Err(Failure::invalid(&faults));
    }
    let (filter, count) = (TaskFilter { state, endpoint }, count.unwrap_or(PAGE_MAX));
    let tasks = api.engine.store().list_tasks(account, filter, before, count).await;
    let tasks = tasks.map_err(|error| unstored(&error))?;
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Page<'a> {
        tasks: Vec<TaskBody<'a>>,
        next_cursor: Option<String>,
    }
    let full = u32::try_from(tasks.len()).is_ok_and(|got| got == count);
    let next_cursor = tasks.last().filter(|_| full).map(|task| task.id.to_string());
    Ok(Success::json(&Page { tasks: tasks.iter().map(TaskBody::of).collect(), next_cursor }))
}

/// `GET /v1/async/status`
pub(crate) async fn status(api: &Api, standing: &Standing, account: AccountId) -> Result<Success, Failure> {
    let depth = api.engine.store().depth(account).await.map_err(|error| unstored(&error))?;
    let levels = depth.queued.iter().enumerate().rev().filter(|(_, count)| **count > 0);
    let breakdown: Vec<_> =
        levels.map(|(index, count)| json!({ "priority": index + 1, "count": count })).collect();
    Ok(Success::json(&json!({
        "queuedTasks": depth.queued_total(),
        "processingTasks": depth.processing,
        "priorityBreakdown": breakdown,
        "concurrency": { "used": standing.slots.current, "max": standing.slots.limit },
    })))
}

/// `DELETE /v1/async/queue`
pub(crate) async fn clear(api: &Api, account: AccountId) -> Result<Success, Failure> {
    let cleared = api.engine.clear_queue(account).await.map_err(|error| unstored(&error))?;
    Ok(Success::json(&json!({ "success": true, "cleared": cleared })))
}

/// The task that a path names, by its id or its idempotency key.
pub(crate) async fn find(api: &Api, account: AccountId, name: &str) -> Result<WholeTask, Failure> {
    let decoded = percent_decode_str(name).decode_utf8().map_err(|_| Failure::no_task(name))?;
    let found = api.engine.lookup_task(account, &decoded).await.map_err(|error| unstored(&error))?;
    found.ok_or_else(|| Failure::no_task(&decoded))
}

pub(crate) fn unstored(error: &StoreError) -> Failure {
    tracing::error!(%error, "a task request failed in the store");
    Failure::unavailable()
}

fn whole_answer(api: &Api, whole: &WholeTask, standing: &Standing) -> Result<Success, Failure> {
    let response = match &whole.response {
        Some(response) => Some(serde_json::from_slice::<&RawValue>(response).map_err(|error| {
            tracing::error!(task = %whole.task.id, %error, "a stored response is no JSON");
            Failure::from(Problem::INTERNAL)
        })?),
        None => None,
    };
    let place = whole.ahead_max.map(|ahead| place(api, &whole.task, ahead, standing));
    let webhook = whole.delivery.as_ref().map(|delivery| delivery.delivered_at);
    Ok(Success::json(&TaskBody { task: &whole.task, place, webhook, response, success: false }))
}

fn place(api: &Api, task: &Task, ahead: u64, standing: &Standing) -> (u64, bromo_rules::time::Timestamp) {
    (ahead.saturating_add(1), api.engine.estimated_start(task, ahead, standing.slots))
}

fn accepted_body<'a>(
    api: &Api,
    task: &'a Task,
    accepted: Accepted,
    standing: &Standing,
    success: bool,
) -> TaskBody<'a> {
    let place = Some(place(api, task, accepted.ahead_max, standing));
    TaskBody { place, success, ..TaskBody::of(task) }
}

/// How a new task reads before anything has happened to it.
fn accepted_task(new: &NewTask) -> Task {
    Task {
        id: new.id,
        account: new.account,
        endpoint: new.endpoint,
        priority: new.priority,
        webhook: new.webhook.clone(),
        idempotency_key: new.idempotency_key.clone(),
        price: new.price,
        created_at: new.created_at,
        state: TaskState::Queued,
        attempts: 0,
        started_at: None,
        ended_at: None,
        charged: Credits::ZERO,
    }
}

/// Why a task is refused: a task that is there already is told before anything else, so that a client that lost its
/// answer learns of it whenever it asks again.
async fn refused(api: &Api, task: &Task, failure: Failure) -> Failure {
    key_is_taken(api, task).await.unwrap_or(failure)
}

/// The refusal of a key that belongs to a task already. A store that cannot say so will say so when it is to accept.
async fn key_is_taken(api: &Api, task: &Task) -> Option<Failure> {
    let name = TaskName::Key(task.idempotency_key.as_deref()?);
    let found = api.engine.store().lookup_task(task.account, name).await.ok().flatten()?;
    Some(key_taken(task, &KeyTaken { id: found.task.id, state: found.task.state }))
}

fn key_taken(task: &Task, taken: &KeyTaken) -> Failure {
    let key = task.idempotency_key.as_deref().unwrap_or_default();
    Failure::key_taken(key, taken.id, taken.state)
}
