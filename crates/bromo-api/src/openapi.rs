//! The published description, OpenAPI 3.1: printed from the route table, the schemas that validation reads
//! and the problem catalogue, so that it cannot drift from the code.

use bromo_engine::task::PAGE_MAX;
use bromo_rules::endpoint::Endpoint;
use bromo_rules::header;
use bromo_rules::problem::Problem;
use bromo_rules::schema;
use serde_json::{Map, Value, json};

use crate::route::Route;

/// The description; `strict` and `batch_tasks_max` as the API is configured.
pub fn document(strict: bool, batch_tasks_max: usize) -> Value {
    let mut paths = Map::new();
    for route in Route::all() {
        let path = paths.entry(format!("/v1/{}", route.template())).or_insert_with(|| json!({}));
        path[route.method().as_str().to_lowercase()] = operation(route, strict, batch_tasks_max);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "bromo",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Ask AI engines over one API, within hard and honest limits.",
            "description": "Every response carries X-Request-ID and X-Latency-Ms. Every response to a valid key \
                carries the rate and the concurrency headers of the one decision made for it, errors too.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "key": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "key": {
                "type": "http", "scheme": "bearer",
                "description": "An API key: sk_live_ or sk_test_ and 32 hexadecimal digits. Test keys are \
                    answered by the sandbox and cost nothing.",
            } },
            "schemas": { "Error": schema::error() },
            "headers": headers(),
        },
    })
}

fn operation(route: Route, strict: bool, batch_tasks_max: usize) -> Value {
    let (summary, tag) = match route {
        Route::Answer(endpoint) if endpoint.takes_prompt() => (format!("Ask {}", title(endpoint)), "answers"),
        Route::Answer(endpoint) => (format!("Search {}", title(endpoint)), "answers"),
        Route::Goto => ("Resolve a Google redirect".to_owned(), "answers"),
        Route::Countries => ("Countries a model serves".to_owned(), "reference"),
        Route::States => ("States of a country".to_owned(), "reference"),
        Route::Credits => ("Balance and cycle".to_owned(), "account"),
        Route::CreateTask => ("Create a task".to_owned(), "tasks"),
        Route::CreateBatch => ("Create many tasks".to_owned(), "tasks"),
        Route::Task => ("Read a task and its response".to_owned(), "tasks"),
        Route::CancelTask => ("Cancel a task".to_owned(), "tasks"),
        Route::Tasks => ("List tasks, newest first".to_owned(), "tasks"),
        Route::QueueStatus => ("What waits and what runs".to_owned(), "tasks"),
        Route::ClearQueue => ("Delete every waiting task".to_owned(), "tasks"),
        Route::Deliveries => ("Every attempt at a task's webhook".to_owned(), "webhooks"),
        Route::Redeliver => ("Deliver a task's end once more".to_owned(), "webhooks"),
        Route::RedeliverFailed => ("Deliver again what was given up".to_owned(), "webhooks"),
        Route::Unknown => (String::new(), ""),
    };
    let id = format!("{}-{}", route.method().as_str().to_lowercase(), route.template());
    let mut operation = json!({
        "operationId": id.replace('/', "-").replace(['{', '}'], ""),
        "summary": summary,
        "tags": [tag],
        "responses": responses(route),
    });
    let body = match route {
        Route::Answer(endpoint) => Some(schema::request(endpoint, strict)),
        Route::Goto => Some(schema::goto_request(strict)),
        Route::CreateTask => Some(schema::task_request(strict)),
        Route::CreateBatch => Some(schema::batch_request(batch_tasks_max)),
        Route::RedeliverFailed => Some(schema::redeliver_request()),
        _ => None,
    };
    if let Some(schema) = body {
        operation["requestBody"] =
            json!({ "required": true, "content": { "application/json": { "schema": schema } } });
    }
    let parameters = parameters(route);
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    let description = match route {
        Route::Answer(_) => "Holds one slot of the account while it runs.",
        Route::CreateTask => {
            "Queued when this answers, and not lost from then on. Holds a slot while it runs."
        }
        Route::CreateBatch => "All fit the queue or none is taken; then each is judged alone.",
        Route::Task => "By id or by idempotency key.",
        Route::CancelTask => {
            "A waiting task is deleted. A running one is cut, fails with REQUEST_CANCELED and costs nothing."
        }
        _ => "",
    };
    if !description.is_empty() {
        operation["description"] = description.into();
    }
    operation
}

fn parameters(route: Route) -> Vec<Value> {
    let query = |name: &str, schema: Value| json!({ "name": name, "in": "query", "required": false, "schema": schema });
    match route {
        Route::Countries => vec![query("model", schema::country_models())],
        Route::States => vec![query("country", schema::states_country())],
        Route::Tasks => vec![
            query("status", schema::task_status()),
            query("taskType", schema::task_type()),
            query(
                "limit",
                json!({ "type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": PAGE_MAX }),
            ),
            query("cursor", json!({ "type": "string", "format": "uuid" })),
        ],
        _ if names_a_task(route) => vec![json!({
            "name": "id", "in": "path", "required": true,
            "schema": { "type": "string", "minLength": 1 },
            "description": "The task's id or its idempotency key.",
        })],
        _ => Vec::new(),
    }
}

const fn names_a_task(route: Route) -> bool {
    matches!(route, Route::Task | Route::CancelTask | Route::Deliveries | Route::Redeliver)
}

fn responses(route: Route) -> Value {
    let success = match route {
        Route::Answer(endpoint) => schema::answer(endpoint),
        Route::Goto => schema::goto_answer(),
        Route::Countries => schema::countries(),
        Route::States => schema::states(),
        Route::CreateTask => schema::task_accepted(),
        Route::CreateBatch => schema::batch_answer(),
        Route::Task | Route::CancelTask => schema::task(),
        Route::Tasks => schema::tasks(),
        Route::QueueStatus => schema::queue_status(),
        Route::ClearQueue => schema::cleared(),
        Route::Deliveries => schema::deliveries(),
        Route::Redeliver => schema::redelivered(),
        Route::RedeliverFailed => schema::redelivered_failed(),
        Route::Credits | Route::Unknown => schema::credits(),
    };
    let mut success_headers = limit_headers();
    if matches!(route, Route::Answer(_)) {
        for name in [header::CREDITS_CHARGED, header::CREDITS_REMAINING] {
            success_headers.insert(name.to_owned(), reference("headers", name));
        }
    }
    let mut responses = Map::new();
    responses.insert(
        "200".to_owned(),
        json!({
            "description": "The answer.",
            "headers": success_headers,
            "content": { "application/json": { "schema": success } },
        }),
    );
    for problem in problems(route) {
        let entry = responses.entry(problem.status.to_string()).or_insert_with(|| {
            let mut headers = if problem.status == 401 { base_headers() } else { limit_headers() };
            if matches!(problem.status, 429 | 503) {
                headers.insert("retry-after".to_owned(), reference("headers", "retry-after"));
            }
            json!({
                "description": "",
                "headers": headers,
                "content": { "application/json": { "schema": reference("schemas", "Error") } },
            })
        });
        let before = entry["description"].as_str().unwrap_or_default();
        let separator = if before.is_empty() { "" } else { ", " };
        entry["description"] = format!("{before}{separator}`{}`", problem.code).into();
    }
    responses.into()
}

/// The problems of a route, from the catalogue.
fn problems(route: Route) -> impl Iterator<Item = &'static Problem> {
    let reads_body = matches!(
        route,
        Route::Answer(_) | Route::Goto | Route::CreateTask | Route::CreateBatch | Route::RedeliverFailed
    );
    Problem::ALL.iter().filter(move |problem| match **problem {
        Problem::CANCELED => false, // Seen in logs and in responses of tasks alone.
        Problem::NOT_FOUND => names_a_task(route),
        Problem::INSUFFICIENT_CREDITS => matches!(route, Route::Answer(_) | Route::CreateTask),
        Problem::CONCURRENCY_LIMIT => matches!(route, Route::Answer(_)),
        Problem::QUEUE_LIMIT => matches!(route, Route::CreateTask | Route::CreateBatch),
        Problem::ALREADY_EXISTS => route == Route::CreateTask,
        Problem::CONFLICT => matches!(route, Route::CancelTask | Route::Redeliver),
        Problem::EXTERNAL_SERVICE => route == Route::Goto,
        Problem::SLOW_BODY | Problem::BODY_TOO_LARGE => reads_body,
        Problem::VALIDATION => reads_body || matches!(route, Route::Countries | Route::States | Route::Tasks),
        _ => true,
    })
}

fn reference(kind: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{kind}/{name}") })
}

fn base_headers() -> Map<String, Value> {
    [header::REQUEST_ID, header::LATENCY_MS]
        .map(|name| (name.to_owned(), reference("headers", name)))
        .into_iter()
        .collect()
}

fn limit_headers() -> Map<String, Value> {
    let mut headers = base_headers();
    headers.extend(LIMITS.map(|(name, _)| (name.to_owned(), reference("headers", name))));
    headers
}

const LIMITS: [(&str, &str); 8] = [
    ("x-ratelimit-limit", "Requests per second of this key and endpoint."),
    ("x-ratelimit-remaining", "Requests left in this second, this one counted."),
    ("x-concurrent-limit", "Slots of the account's plan."),
    ("x-concurrent-current", "Slots in use, this request counted where it holds one."),
    ("x-concurrent-remaining", "Limit minus current, never below 0."),
    ("x-concurrency-limit", "As x-concurrent-limit."),
    ("x-concurrency-current", "As x-concurrent-current."),
    ("x-concurrency-remaining", "As x-concurrent-remaining."),
];

fn headers() -> Value {
    let whole = |description: &str| json!({ "description": description, "schema": { "type": "integer", "minimum": 0 } });
    let mut headers: Map<String, Value> =
        LIMITS.into_iter().map(|(name, description)| (name.to_owned(), whole(description))).collect();
    headers.insert(
        header::REQUEST_ID.to_owned(),
        json!({ "description": "Names the request, in the log too.", "schema": { "type": "string", "format": "uuid" } }),
    );
    for (name, description) in [
        (header::LATENCY_MS, "Milliseconds from arrival to the response."),
        (header::CREDITS_CHARGED, "Credits taken for this request."),
        (header::CREDITS_REMAINING, "Balance after the charge."),
        ("retry-after", "Whole seconds after which a retry can succeed."),
    ] {
        headers.insert(name.to_owned(), whole(description));
    }
    headers.into()
}

/// As people call it.
pub(crate) const fn title(endpoint: Endpoint) -> &'static str {
    match endpoint {
        Endpoint::Chatgpt => "ChatGPT",
        Endpoint::Gemini => "Gemini",
        Endpoint::Copilot => "Copilot",
        Endpoint::Perplexity => "Perplexity",
        Endpoint::Grok => "Grok",
        Endpoint::Aimode => "Google AI Mode",
        Endpoint::Google => "Google",
        Endpoint::GoogleNews => "Google News",
    }
}

#[cfg(test)]
mod tests {
    use bromo_rules::standing::{RateStanding, SlotStanding, Standing};

    use super::*;

    #[test]
    fn every_limit_header_that_is_sent_is_described() {
        let standing = Standing {
            rate: RateStanding { limit: 1, remaining: 0 },
            slots: SlotStanding { limit: 1, current: 1 },
            balance: bromo_rules::credit::Credits::ZERO,
        };
        let sent = header::limits(&standing).map(|(name, _)| name);
        assert_eq!(sent, LIMITS.map(|(name, _)| name));
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document(true, 500);
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(document.pointer(reference).is_some(), "{reference}");
        }
    }
}
