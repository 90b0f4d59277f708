//! The reference for people: the same document as `/openapi.json`, read aloud.

use askama::Template;
use bromo_rules::problem::Problem;
use serde_json::{Map, Value};

#[derive(Template)]
#[template(path = "docs.html")]
struct Reference {
    version: &'static str,
    operations: Vec<Operation>,
    headers: Vec<(String, String)>,
    problems: &'static [Problem],
}

struct Operation {
    id: String,
    method: String,
    path: String,
    summary: String,
    description: String,
    fields: Vec<Field>,
    answer: Vec<Field>,
    statuses: Vec<(String, String)>,
}

struct Field {
    name: String,
    kind: String,
    required: bool,
    text: String,
}

/// Values of an enum that are shown; of longer ones the number is.
const VALUES_SHOWN: usize = 8;

pub(super) fn page(document: &Value) -> String {
    let paths = document["paths"].as_object().into_iter().flatten();
    let operations = paths
        .flat_map(|(path, methods)| {
            methods
                .as_object()
                .into_iter()
                .flatten()
                .map(move |(method, operation)| self::operation(path, method, operation))
        })
        .collect();
    let headers = document["components"]["headers"].as_object().into_iter().flatten();
    let headers = headers.map(|(name, header)| (name.clone(), text(&header["description"]))).collect();
    let page = Reference { version: env!("CARGO_PKG_VERSION"), operations, headers, problems: Problem::ALL };
    page.render().unwrap_or_else(|error| format!("the reference cannot be rendered: {error}"))
}

fn operation(path: &str, method: &str, operation: &Value) -> Operation {
    let mut fields = Vec::new();
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        fields.push(field(&text(&parameter["name"]), &parameter["schema"], false));
    }
    let body = &operation["requestBody"]["content"]["application/json"]["schema"];
    collect("", body, &mut fields);
    let mut answer = Vec::new();
    collect("", &operation["responses"]["200"]["content"]["application/json"]["schema"], &mut answer);
    let statuses = operation["responses"].as_object().into_iter().flatten();
    Operation {
        id: text(&operation["operationId"]),
        method: method.to_uppercase(),
        path: path.to_owned(),
        summary: text(&operation["summary"]),
        description: text(&operation["description"]),
        fields,
        answer,
        statuses: statuses
            .map(|(status, response)| (status.clone(), text(&response["description"]).replace('`', "")))
            .collect(),
    }
}

/// Members of an object and of the objects directly in it.
fn collect(prefix: &str, schema: &Value, fields: &mut Vec<Field>) {
    let empty = Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&empty);
    let required = schema["required"].as_array().map_or(&[] as &[Value], Vec::as_slice);
    for (name, member) in properties {
        let path = format!("{prefix}{name}");
        fields.push(field(&path, member, required.iter().any(|required| required == name)));
        if prefix.is_empty() {
            collect(&format!("{path}."), member, fields);
        }
    }
}

fn field(name: &str, schema: &Value, required: bool) -> Field {
    let mut said = text(&schema["description"]);
    if let Some(values) = schema["enum"].as_array() {
        let shown = values.iter().take(VALUES_SHOWN).map(text).collect::<Vec<_>>().join(", ");
        let more = if values.len() > VALUES_SHOWN {
            format!(", … ({} in all)", values.len())
        } else {
            String::new()
        };
        said = format!("{said} One of {shown}{more}.");
    }
    for (key, word) in [
        ("default", "Default"),
        ("minLength", "At least"),
        ("maxLength", "At most"),
        ("minimum", "From"),
        ("maximum", "Up to"),
    ] {
        if !schema[key].is_null() {
            said = format!("{said} {word} {}.", text(&schema[key]));
        }
    }
    Field { name: name.to_owned(), kind: kind(schema), required, text: said.trim().to_owned() }
}

fn kind(schema: &Value) -> String {
    if let Some(either) = schema["anyOf"].as_array() {
        return either.iter().map(kind).collect::<Vec<_>>().join(" or ");
    }
    match &schema["type"] {
        Value::String(name) if name == "array" => format!("list of {}", kind(&schema["items"])),
        Value::String(name) => name.clone(),
        Value::Array(names) => names.iter().map(text).collect::<Vec<_>>().join(" or "),
        _ => schema.get("const").map_or_else(|| "any".to_owned(), ToString::to_string),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
