//! The published description, OpenAPI 3.1: printed from the route table, the schemas that validation reads
//! and the problem catalogue, so that it cannot drift from the code.

use bromo_rules::endpoint::Endpoint;
use bromo_rules::header;
use bromo_rules::problem::Problem;
use bromo_rules::schema;
use serde_json::{Map, Value, json};

use crate::route::Route;

/// The description; `strict` as the API is configured.
pub fn document(strict: bool) -> Value {
    let mut paths = Map::new();
    for route in Route::ALL {
        let method = if matches!(route, Route::Answer(_) | Route::Goto) { "post" } else { "get" };
        paths.insert(format!("/v1/{}", route.template()), json!({ (method): operation(route, strict) }));
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

fn operation(route: Route, strict: bool) -> Value {
    let (summary, tag) = match route {
        Route::Answer(endpoint) if endpoint.takes_prompt() => (format!("Ask {}", title(endpoint)), "answers"),
        Route::Answer(endpoint) => (format!("Search {}", title(endpoint)), "answers"),
        Route::Goto => ("Resolve a Google redirect".to_owned(), "answers"),
        Route::Countries => ("Countries a model serves".to_owned(), "reference"),
        Route::States => ("States of a country".to_owned(), "reference"),
        Route::Credits => ("Balance and cycle".to_owned(), "account"),
        Route::Unknown => (String::new(), ""),
    };
    let mut operation = json!({
        "operationId": route.template().replace('/', "-"),
        "summary": summary,
        "tags": [tag],
        "responses": responses(route),
    });
    let body = match route {
        Route::Answer(endpoint) => Some(schema::request(endpoint, strict)),
        Route::Goto => Some(schema::goto_request(strict)),
        _ => None,
    };
    if let Some(schema) = body {
        operation["requestBody"] =
            json!({ "required": true, "content": { "application/json": { "schema": schema } } });
    }
    let parameter = match route {
        Route::Countries => Some(("model", schema::country_models())),
        Route::States => Some(("country", schema::states_country())),
        _ => None,
    };
    if let Some((name, schema)) = parameter {
        operation["parameters"] =
            json!([{ "name": name, "in": "query", "required": false, "schema": schema }]);
    }
    if matches!(route, Route::Answer(_)) {
        operation["description"] = "Holds one slot of the account while it runs.".into();
    }
    operation
}

fn responses(route: Route) -> Value {
    let success = match route {
        Route::Answer(endpoint) => schema::answer(endpoint),
        Route::Goto => schema::goto_answer(),
        Route::Countries => schema::countries(),
        Route::States => schema::states(),
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
    Problem::ALL.iter().filter(move |problem| match **problem {
        Problem::CANCELED | Problem::NOT_FOUND => false, // Seen in logs alone; not of a route that exists.
        Problem::INSUFFICIENT_CREDITS | Problem::CONCURRENCY_LIMIT => matches!(route, Route::Answer(_)),
        Problem::EXTERNAL_SERVICE => route == Route::Goto,
        Problem::SLOW_BODY | Problem::BODY_TOO_LARGE => matches!(route, Route::Answer(_) | Route::Goto),
        Problem::VALIDATION => route != Route::Credits,
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
        let document = document(true);
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(document.pointer(reference).is_some(), "{reference}");
        }
    }
}
