//! A short notation for the schemas of answers: `position:i title:s date?:s tags:s[]`. A question mark makes
//! a member optional, `[]` a list of it, `|null` allows null. Answers may always have further members.

use serde_json::{Map, Value, json};

/// An object with these plain members, and `nested` ones; a nested name may end with a question mark too.
pub(super) fn object(plain: &str, nested: &[(&str, Value)]) -> Value {
    let plain = plain.split_whitespace().map(|member| {
        let (name, kind) = member.split_once(':').expect("every member of a shape has a kind");
        (name, self::kind(kind))
    });
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for (name, schema) in plain.chain(nested.iter().map(|(name, schema)| (*name, schema.clone()))) {
        let bare = name.trim_end_matches('?');
        if bare == name {
            required.push(bare);
        }
        properties.insert(bare.to_owned(), schema);
    }
    let mut schema = json!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

/// A list of objects with these members.
pub(super) fn objects(plain: &str, nested: &[(&str, Value)]) -> Value {
    list(object(plain, nested))
}

pub(super) fn list(items: Value) -> Value {
    json!({ "type": "array", "items": items })
}

pub(super) fn date_time() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

fn kind(kind: &str) -> Value {
    if let Some(kind) = kind.strip_suffix("[]") {
        return list(self::kind(kind));
    }
    if let Some(kind) = kind.strip_suffix("|null") {
        let mut schema = self::kind(kind);
        schema["type"] = json!([schema["type"], "null"]);
        return schema;
    }
    match kind {
        "s" => json!({ "type": "string" }),
        "n" => json!({ "type": "number" }),
        "i" => json!({ "type": "integer" }),
        "b" => json!({ "type": "boolean" }),
        "o" => json!({ "type": "object" }),
        "any" => json!({}),
        other => unreachable!("no kind {other} in the notation of shapes"),
    }
}
