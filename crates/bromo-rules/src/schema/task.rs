//! Tasks and deliveries (contract section 6), from the same tables that validation reads.

use serde_json::{Value, json};

use super::shape::{self, list, object, objects};
use super::{answer, request};
use crate::endpoint::Endpoint;
use crate::task::{IDEMPOTENCY_KEY_CHARS_MAX, TaskState, WEBHOOK_BYTES_MAX};

/// The body of `POST /v1/async/task`.
///
/// Source: docs/tasks.md#creating-a-task
pub fn task_request(strict: bool) -> Value {
    let kinds = Endpoint::ALL.map(|endpoint| {
        json!({
            "if": { "properties": { "taskType": { "const": endpoint.task_type() } }, "required": ["taskType"] },
            "then": { "properties": { "payload": request(endpoint, strict) } },
        })
    });
    json!({
        "type": "object",
        "properties": {
            "taskType": { "type": "string", "enum": Endpoint::ALL.map(Endpoint::task_type) },
            "payload": { "type": "object", "description": "The body of the endpoint's own route." },
            "priority": {
                "type": "integer", "minimum": 1, "maximum": 10, "default": 1,
                "description": "10 goes first.",
            },
            "idempotencyKey": {
                "type": "string", "minLength": 1, "maxLength": IDEMPOTENCY_KEY_CHARS_MAX,
                "pattern": r"^[^\x00-\x1f\x7f-\x9f]+$",
                "description": "Unique among the account's tasks that are kept.",
            },
            "webhook": {
                "type": "object",
                "properties": { "url": {
                    "type": "string", "maxLength": WEBHOOK_BYTES_MAX, "pattern": r"^https?://[a-z0-9]+(\.[a-z]{2,})+(:[1-9][0-9]{0,3})?(/[A-Za-z0-9/_.-]*)?(\?[A-Za-z0-9=&_-]*)?$",
                    "description": "Told of the end. http or https, at a public address.",
                } },
                "required": ["url"],
                "additionalProperties": !strict,
            },
        },
        "required": ["taskType", "payload"],
        "allOf": kinds,
        "additionalProperties": !strict,
    })
}

/// The body of `POST /v1/async/task/batch`. Items are judged one by one, so this asks no more than an array.
///
/// Source: docs/tasks.md#batches
pub fn batch_request(tasks_max: usize) -> Value {
    json!({
        "type": "array", "minItems": 1, "maxItems": tasks_max, "items": {},
        "description": "Tasks, each as POST /v1/async/task takes it and judged alone.",
    })
}

fn task_parts(success: bool, place: bool) -> Vec<(&'static str, Value)> {
    let nullable = |schema: Value| json!({ "anyOf": [schema, { "type": "null" }] });
    let mut task = vec![
        ("taskType", json!({ "type": "string", "enum": Endpoint::ALL.map(Endpoint::task_type) })),
        ("status", json!({ "type": "string", "enum": TaskState::ALL.map(TaskState::word) })),
        ("createdAt", shape::date_time()),
        ("latencyMs", nullable(json!({ "type": "integer", "minimum": 0 }))),
        ("idempotencyKey", nullable(json!({ "type": "string" }))),
    ];
    if place {
        task.push((
            "queuePosition?",
            json!({
                "type": "integer", "minimum": 1, "description": "At most; 1 is next. On a queued task.",
            }),
        ));
        task.push(("estimatedStartAt?", shape::date_time()));
    }
    let mut parts = vec![
        ("task", object("id:s priority:i", &task)),
        ("credits", object("creditsToCharge:i creditsCharged:i|null", &[])),
    ];
    if success {
        parts.push(("success", json!({ "const": true })));
    }
    parts
}

/// A task that was accepted.
pub fn task_accepted() -> Value {
    object("", &task_parts(true, true))
}

/// The body of the 200 of a batch.
pub fn batch_answer() -> Value {
    let mut good = task_parts(true, true);
    good.push(("index", json!({ "type": "integer", "minimum": 0 })));
    let error = object("code:s message:s", &[("timestamp", shape::date_time())]);
    let bad = object("index:i", &[("success", json!({ "const": false })), ("error", error)]);
    object(
        "",
        &[
            ("success", json!({ "const": true })),
            ("summary", object("total:i succeeded:i failed:i", &[])),
            ("results", list(json!({ "anyOf": [object("", &good), bad] }))),
        ],
    )
}

/// A task as it stands.
///
/// Source: docs/tasks.md#reading-a-task
pub fn task() -> Value {
    let webhook = object(
        "url:s delivered:b",
        &[("deliveredAt", json!({ "anyOf": [shape::date_time(), { "type": "null" }] }))],
    );
    let results = Endpoint::ALL.map(|endpoint| answer(endpoint)["properties"]["result"].clone());
    let failed = object("", &[("error", object("code:s message:s details?:any", &[]))]);
    let response = json!({
        "anyOf": results.into_iter().chain([failed]).collect::<Vec<_>>(),
        "description": "On a final task: the result object of its endpoint, or an error.",
    });
    let mut parts = task_parts(false, true);
    parts.push(("webhook?", webhook));
    parts.push(("response?", response));
    object("", &parts)
}

/// The body of `GET /v1/async/tasks`.
///
/// Source: docs/tasks.md#listing-tasks
pub fn tasks() -> Value {
    object("nextCursor:s|null", &[("tasks", list(object("", &task_parts(false, false))))])
}

/// The values of its parameter `status`.
pub fn task_status() -> Value {
    json!({ "type": "string", "enum": TaskState::ALL.map(TaskState::word) })
}

/// The values of its parameter `taskType`.
pub fn task_type() -> Value {
    json!({ "type": "string", "enum": Endpoint::ALL.map(Endpoint::task_type) })
}

/// The body of `GET /v1/async/status`.
pub fn queue_status() -> Value {
    object(
        "queuedTasks:i processingTasks:i",
        &[
            ("priorityBreakdown", objects("priority:i count:i", &[])),
            ("concurrency", object("used:i max:i", &[])),
        ],
    )
}

/// The body of the 200 of `DELETE /v1/async/queue`.
pub fn cleared() -> Value {
    object("cleared:i", &[("success", json!({ "const": true }))])
}

fn delivery() -> Value {
    let nullable = || json!({ "anyOf": [shape::date_time(), { "type": "null" }] });
    object("attempts:i", &[("deliveredAt", nullable()), ("nextAttemptAt", nullable())])
}

/// The body of `GET /v1/async/task/{id}/deliveries`.
///
/// Source: docs/webhooks.md#delivery-log
pub fn deliveries() -> Value {
    let attempt =
        object("attempt:i tookMs:i status:i|null error:s|null response:s", &[("at", shape::date_time())]);
    let delivery = json!({ "anyOf": [delivery(), { "type": "null" }] });
    object("", &[("delivery", delivery), ("attempts", list(attempt))])
}

/// The body of the 200 of `POST /v1/async/task/{id}/redeliver`.
pub fn redelivered() -> Value {
    object("", &[("success", json!({ "const": true })), ("delivery", delivery())])
}

/// The body of `POST /v1/async/redeliver`.
pub fn redeliver_request() -> Value {
    json!({
        "type": "object",
        "properties": { "since": { "type": "string", "format": "date-time" } },
        "required": ["since"],
    })
}

/// The body of its 200.
pub fn redelivered_failed() -> Value {
    object("redelivered:i", &[("success", json!({ "const": true }))])
}
