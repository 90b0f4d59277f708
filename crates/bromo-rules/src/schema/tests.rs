//! Schemas say what validation does.

use std::collections::BTreeSet;

use super::*;
use crate::validate::question;

const STRICT: bool = true;

fn names(properties: &Value) -> BTreeSet<&str> {
    properties.as_object().unwrap().keys().map(String::as_str).collect()
}

/// Names of every field that any endpoint has.
fn all_names() -> BTreeSet<&'static str> {
    Endpoint::ALL.into_iter().flat_map(validate::fields).map(|field| field.name).collect()
}

fn unknown_faults(endpoint: Endpoint, body: &Value) -> BTreeSet<String> {
    let faults = question(endpoint, body.to_string().as_bytes(), STRICT).err().unwrap_or_default();
    let unknown = faults.into_iter().filter(|fault| fault.message.contains("is not a field"));
    unknown.map(|fault| fault.field).collect()
}

#[test]
fn the_properties_of_a_schema_are_the_fields_that_validation_knows() {
    for endpoint in Endpoint::ALL {
        let schema = request(endpoint, STRICT);
        let known = names(&schema["properties"]);
        let body: Map<String, Value> =
            all_names().into_iter().map(|name| (name.to_owned(), json!(1))).collect();
        let unknown = unknown_faults(endpoint, &Value::Object(body));
        for name in all_names() {
            assert_eq!(known.contains(name), !unknown.contains(name), "{endpoint} {name}");
        }
    }
}

#[test]
fn the_flags_of_a_schema_are_the_flags_that_validation_knows() {
    let include = |endpoint| request(endpoint, STRICT)["properties"]["include"]["properties"].clone();
    let all: BTreeSet<String> = Endpoint::ALL
        .into_iter()
        .flat_map(|endpoint| include(endpoint).as_object().unwrap().keys().cloned().collect::<Vec<_>>())
        .collect();
    for endpoint in Endpoint::ALL {
        let flags: Map<String, Value> = all.iter().map(|name| (name.clone(), json!(true))).collect();
        let unknown = unknown_faults(endpoint, &json!({ "include": flags }));
        for name in &all {
            let known = names(&include(endpoint)).contains(name.as_str());
            assert_eq!(known, !unknown.contains(&format!("include.{name}")), "{endpoint} {name}");
        }
    }
}

/// A body with every field of the schema at a value it gives itself, less the `without` ones.
fn body_of(endpoint: Endpoint, without: &[&str]) -> Value {
    let schema = request(endpoint, STRICT);
    let properties = schema["properties"].as_object().unwrap();
    let sample = |name: &str, schema: &Value| match (name, &schema["enum"][0], schema["type"].as_str()) {
        ("url", ..) => json!("https://www.google.com/search?q=tea"),
        ("country" | "gl", ..) => json!("US"),
        (_, Value::String(first), _) => json!(first),
        (_, _, Some("string")) => json!("tea"),
        (_, _, Some("integer")) => json!(1),
        (_, _, Some("boolean")) => json!(true),
        _ => json!({}),
    };
    properties
        .iter()
        .filter(|(name, _)| !without.contains(&name.as_str()))
        .map(|(name, schema)| (name.clone(), sample(name, schema)))
        .collect()
}

#[test]
fn a_body_with_every_field_that_may_stand_together_is_accepted() {
    for endpoint in Endpoint::ALL {
        for without in [["url", "gl", "location"], ["url", "country", "uule"]] {
            if endpoint.takes_prompt() && endpoint != Endpoint::Aimode && without.contains(&"country") {
                continue;
            }
            let body = body_of(endpoint, &without);
            assert_eq!(question(endpoint, body.to_string().as_bytes(), STRICT).err(), None, "{body}");
        }
    }
    let url = body_of(Endpoint::Google, &["query", "location", "uule", "pages", "country"]);
    assert_eq!(question(Endpoint::Google, url.to_string().as_bytes(), STRICT).err(), None, "{url}");
}

#[test]
fn strict_schemas_are_closed_and_lenient_ones_are_open() {
    for endpoint in Endpoint::ALL {
        for strict in [true, false] {
            let schema = request(endpoint, strict);
            assert_eq!(schema["additionalProperties"], !strict);
            assert_eq!(schema["properties"]["include"]["additionalProperties"], !strict);
        }
    }
}

#[test]
fn countries_of_a_schema_are_the_served_ones() {
    let count = |endpoint, strict| {
        request(endpoint, strict)["properties"]["country"]["enum"].as_array().unwrap().len()
    };
    assert_eq!(count(Endpoint::Chatgpt, true), 244);
    assert_eq!(count(Endpoint::Chatgpt, false), 2 * 244);
    assert_eq!(count(Endpoint::GoogleNews, true), 250);
}

#[test]
fn every_result_requires_the_lists_it_always_has_and_who_answered() {
    for (endpoint, required) in [
        (Endpoint::Chatgpt, "text sources model provider"),
        (Endpoint::Gemini, "text sources model provider"),
        (Endpoint::Copilot, "text sources model provider"),
        (
            Endpoint::Perplexity,
            "text related_queries search_model_queries sources videos images hotels places shopping_cards \
             model provider",
        ),
        (Endpoint::Grok, "text searchQueries sources model provider"),
        (Endpoint::Aimode, "text sources places map shoppingCards inlineProducts ads videos model provider"),
        (Endpoint::Google, "organicResults peopleAlsoAsk relatedSearches ads model provider"),
        (Endpoint::GoogleNews, "newsResults model provider"),
    ] {
        let found = result(endpoint)["required"].clone();
        assert_eq!(found, json!(required.split_whitespace().collect::<Vec<_>>()), "{endpoint}");
        assert_eq!(answer(endpoint)["properties"]["result"]["required"], found);
    }
}

#[test]
fn an_error_lists_every_code_once() {
    let codes = error()["properties"]["error"]["properties"]["code"]["enum"].clone();
    let codes: Vec<&str> = codes.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(codes.is_sorted_by(|a, b| a < b) && codes.contains(&"VALIDATION_ERROR"));
}

#[test]
fn the_remaining_bodies_can_be_printed() {
    assert_eq!(countries()["items"]["enum"].as_array().map(Vec::len), Some(250));
    assert_eq!(states()["items"]["required"], json!(["name", "code"]));
    assert_eq!(credits()["required"], json!(["remaining", "perCycle", "cycleResetsAt"]));
    assert_eq!(credits()["properties"]["perCycle"]["type"], json!(["integer", "null"]));
    assert_eq!(goto_answer()["required"], json!(["url"]));
    assert_eq!(country_models()["enum"].as_array().map(Vec::len), Some(8));
    assert_eq!(states_country()["default"], "US");
    let pattern = goto_request(true)["properties"]["url"]["pattern"].clone();
    assert_eq!(pattern, r"^https?://(google\.com|www\.google\.com)(/goto|/url)([?#].*)?$");
}
