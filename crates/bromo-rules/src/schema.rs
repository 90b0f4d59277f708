//! JSON Schemas (draft 2020-12, as OpenAPI 3.1 uses them) of requests and answers, printed from the same
//! tables that validation reads.
//!
//! Where a rule cannot be written as a schema, the schema is the narrower of the two: what fits it is
//! accepted. So it asks for `country` or `gl` even beside a `url` that holds one, offers no pair of equal
//! fields, and counts a prompt's length in characters for as long as a character is one UTF-16 unit.

mod result;
mod shape;
mod task;

use serde_json::{Map, Value, json};

pub use self::result::result;
use self::shape::{list, object};
pub use self::task::{
    batch_answer, batch_request, cleared, deliveries, queue_status, redeliver_request, redelivered,
    redelivered_failed, task, task_accepted, task_request, task_status, task_type, tasks,
};
use crate::country;
use crate::endpoint::Endpoint;
use crate::goto;
use crate::problem::Problem;
use crate::state;
use crate::validate::{self, Field, Kind, PAGES_MAX, PROMPT_UNITS_MAX};

/// The address of a search page: `q` stands among other parameters and is not empty. That none of them may
/// be `tbm` is left to the description.
const SEARCH_PAGE: &str =
    r"^https?://(www\.)?google(\.[a-z]{2,3})+/search\?([^&#]*&)*q=[^&#\x00-\x20][^&#]*(&[^&#]*)*(#.*)?$";

/// The body of a request to `endpoint`. The lenient schema requires no country, takes it in either case, and
/// allows further fields.
///
/// Source: docs/requests.md#fields
pub fn request(endpoint: Endpoint, strict: bool) -> Value {
    let mut schema = fields(endpoint, validate::fields(endpoint), strict);
    let mut rules: Vec<Value> = Vec::new();
    if endpoint == Endpoint::Google {
        rules.push(json!({ "oneOf": [
            with_but_without(&["query"], &["url"]),
            with_but_without(&["url"], &["query", "location", "uule", "pages"]),
        ] }));
    } else {
        schema["required"] = json!([if endpoint.takes_prompt() { "prompt" } else { "query" }]);
    }
    if validate::takes_gl(endpoint) {
        let either = [with_but_without(&["country"], &["gl"]), with_but_without(&["gl"], &["country"])];
        rules.push(if strict {
            json!({ "oneOf": either })
        } else {
            json!({ "not": { "required": ["country", "gl"] } })
        });
    } else {
        let us = json!({ "enum": country_codes(&[state::COUNTRY], strict) });
        rules.push(json!({
            "if": { "required": ["state"] },
            "then": { "properties": { "country": us } },
        }));
        if strict {
            schema["required"] = json!(["prompt", "country"]);
        }
    }
    if has_field(endpoint, "uule") {
        rules.push(json!({ "not": { "required": ["location", "uule"] } }));
    }
    schema["allOf"] = rules.into();
    schema
}

/// A schema for objects that have `with` and none of `without`.
fn with_but_without(with: &[&str], without: &[&str]) -> Value {
    let without: Vec<Value> = without.iter().map(|name| json!({ "required": [name] })).collect();
    json!({ "required": with, "not": { "anyOf": without } })
}

fn has_field(endpoint: Endpoint, name: &str) -> bool {
    validate::fields(endpoint).iter().any(|field| field.name == name)
}

fn fields(endpoint: Endpoint, fields: &[Field], strict: bool) -> Value {
    let properties: Map<String, Value> =
        fields.iter().map(|field| (field.name.to_owned(), property(endpoint, field, strict))).collect();
    json!({ "type": "object", "properties": properties, "additionalProperties": !strict })
}

fn property(endpoint: Endpoint, field: &Field, strict: bool) -> Value {
    match field.kind {
        Kind::Text => text(endpoint, field.name, strict),
        // The only number is `pages`.
        Kind::Number if strict => json!({
            "type": "integer", "minimum": 1, "maximum": PAGES_MAX, "default": 1,
            "description": "Result pages; each after the first costs extra.",
        }),
        Kind::Number => json!({
            "type": "number", "exclusiveMinimum": 0, "maximum": PAGES_MAX, "default": 1,
            "description": "Result pages, part of one counts as one; each after the first costs extra.",
        }),
        Kind::Flag => json!({ "type": "boolean", "default": false }),
        Kind::Object(members) => self::fields(endpoint, members, strict),
        Kind::FlagOrObject(members) => json!({
            "anyOf": [{ "type": "boolean" }, self::fields(endpoint, members, strict)],
            "description": "Asked for by true or by any object, an empty one too.",
        }),
    }
}

fn text(endpoint: Endpoint, name: &str, strict: bool) -> Value {
    let served = country::of(endpoint);
    let mut schema = match name {
        "prompt" | "query" => json!({
            "minLength": 1, "maxLength": PROMPT_UNITS_MAX,
            "description": "Counted before it is trimmed, in UTF-16 units: a character beyond U+FFFF counts \
                            as two.",
        }),
        "url" => json!({
            "pattern": SEARCH_PAGE,
            "description": "A Google search page instead of a query. Its parameters q, gl, hl, uule, num \
                            (depth in results), start, tbs and safe are used, tbm is refused, others are \
                            dropped. query, uule and pages may be given beside it only with the values it \
                            has itself; country and gl must agree with its gl.",
        }),
        "country" => json!({ "enum": country_codes(&served, strict), "description": "ISO 3166-1 alpha-2." }),
        "gl" => json!({
            "enum": country_codes(&served, false),
            "description": "The country, in either case; country is its older name, and must be equal if \
                            both are given.",
        }),
        "state" => json!({
            "enum": either_case(&state::ALL.map(|state| state.code)),
            "description": "A state of the US, or DC, in either case; only with country US.",
        }),
        "hl" => json!({ "description": "Interface language; trimmed and lower-cased." }),
        "location" => json!({ "description": "Canonical name of a place; not together with uule." }),
        "uule" => json!({ "description": "Encoded place; not together with location." }),
        "device" => {
            let names: Vec<&str> = validate::devices(endpoint).iter().map(|(name, _)| *name).collect();
            json!({ "enum": names, "default": names[0] })
        }
        _ => json!({}),
    };
    schema["type"] = "string".into();
    schema
}

fn country_codes(codes: &[&str], upper_case_only: bool) -> Vec<String> {
    if upper_case_only { codes.iter().map(|code| (*code).to_owned()).collect() } else { either_case(codes) }
}

fn either_case(codes: &[&str]) -> Vec<String> {
    codes.iter().map(|code| (*code).to_owned()).chain(codes.iter().map(|code| code.to_lowercase())).collect()
}

/// The body of every problem (contract section 3).
///
/// Source: docs/errors.md#envelope
pub fn error() -> Value {
    let mut codes: Vec<&str> = Problem::ALL.iter().map(|problem| problem.code).collect();
    codes.sort_unstable();
    codes.dedup();
    let fault = object("field:s message:s", &[]);
    let details = json!({
        "anyOf": [list(fault), { "type": "object" }],
        "description": "Faulty fields, or what the code has to say; absent if it says nothing more.",
    });
    let error = object(
        "message:s",
        &[
            ("code", json!({ "type": "string", "enum": codes })),
            ("details?", details),
            ("timestamp", shape::date_time()),
        ],
    );
    object("", &[("success", json!({ "const": false })), ("error", error)])
}

/// A result in its envelope: the body of a 200 of `endpoint`.
///
/// Source: docs/answers.md#envelope
pub fn answer(endpoint: Endpoint) -> Value {
    object("", &[("success", json!({ "const": true })), ("result", result(endpoint))])
}

/// The body of `GET /v1/countries`.
pub fn countries() -> Value {
    list(json!({ "type": "string", "enum": country::ALL[..] }))
}

/// The values of its parameter `model`.
pub fn country_models() -> Value {
    let names: Vec<&str> = country::models().collect();
    json!({ "type": "string", "enum": names })
}

/// The body of `GET /v1/states`.
pub fn states() -> Value {
    let code = json!({ "type": "string", "enum": state::ALL.map(|state| state.code)[..] });
    list(object("name:s", &[("code", code)]))
}

/// The value of its parameter `country`.
pub fn states_country() -> Value {
    json!({ "type": "string", "pattern": "^[A-Z]{2}$", "default": state::COUNTRY })
}

/// The body of `GET /v1/credits`.
pub fn credits() -> Value {
    let resets_at = json!({ "anyOf": [shape::date_time(), { "type": "null" }] });
    object("remaining:i perCycle:i|null", &[("cycleResetsAt", resets_at)])
}

/// The body of a request to `google/goto`.
pub fn goto_request(strict: bool) -> Value {
    let hosts = goto::HOSTS.map(|host| host.replace('.', r"\.")).join("|");
    let pattern = format!("^https?://({hosts})({})([?#].*)?$", goto::PATHS.join("|"));
    let description = "A redirect of Google: google.com or www.google.com with the path /goto or /url.";
    json!({
        "type": "object",
        "properties": { "url": { "type": "string", "pattern": pattern, "description": description } },
        "required": ["url"],
        "additionalProperties": !strict,
    })
}

/// The body of its 200, without an envelope.
pub fn goto_answer() -> Value {
    object("url:s", &[])
}

#[cfg(test)]
mod tests;
