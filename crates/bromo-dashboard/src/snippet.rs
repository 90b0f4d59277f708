//! The same call in several languages, ready to run.

/// A piece of code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Snippet {
    /// `curl`, `Python`, …
    pub(crate) name: &'static str,
    pub(crate) code: String,
}

/// What stands in examples in place of a key.
pub(crate) const KEY_PLACEHOLDER: &str = "YOUR_API_KEY";

/// A first call with this key.
pub(crate) fn first_call(base: &str, key: &str) -> Vec<Snippet> {
    call(base, key, "/v1/monitor/chatgpt", r#"{"prompt":"What is the capital of France?","country":"US"}"#)
}

/// `body`, which is JSON, posted to `path`.
pub(crate) fn call(base: &str, key: &str, path: &str, body: &str) -> Vec<Snippet> {
    let base = base.trim_end_matches('/');
    let url = format!("{base}{path}");
    // Within single quotes a shell takes everything as it stands but the quote itself.
    let quoted = body.replace('\'', r"'\''");
    let literal = serde_json::Value::String(body.to_owned()).to_string();
    let curl = format!(
        "curl -i {url} \\\n  -H 'Authorization: Bearer {key}' \\\n  -H 'Content-Type: application/json' \\\n  -d '{quoted}'"
    );
    // A JSON text in quotes is a string of the same value in all three languages.
    let python = format!(
        "import json\nimport urllib.request\n\nrequest = urllib.request.Request(\n    \"{url}\",\n    data={literal}.encode(),\n    headers={{\"Authorization\": \"Bearer {key}\", \"Content-Type\": \"application/json\"}},\n)\nwith urllib.request.urlopen(request) as response:\n    print(dict(response.headers))\n    print(json.load(response))"
    );
    let typescript = format!(
        "const response = await fetch(\"{url}\", {{\n  method: \"POST\",\n  headers: {{ Authorization: \"Bearer {key}\", \"Content-Type\": \"application/json\" }},\n  body: {literal},\n}});\nconsole.log(response.status, Object.fromEntries(response.headers));\nconsole.log(await response.json());"
    );
    let rust = format!(
        "// Cargo.toml: ureq = \"3\"\nfn main() -> Result<(), ureq::Error> {{\n    let mut response = ureq::post(\"{url}\")\n        .header(\"Authorization\", \"Bearer {key}\")\n        .header(\"Content-Type\", \"application/json\")\n        .send({body:?})?;\n    println!(\"{{:?}}\", response.headers());\n    println!(\"{{}}\", response.body_mut().read_to_string()?);\n    Ok(())\n}}"
    );
    [("curl", curl), ("Python", python), ("TypeScript", typescript), ("Rust", rust)]
        .into_iter()
        .map(|(name, code)| Snippet { name, code })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_question_ends_the_string_it_stands_in() {
        let rust =
            &call("http://a", "k", "/v1/x", r####"{"prompt":"x\"###);std::process::exit(7);//"}"####)[3];
        assert!(rust.code.contains(r####".send("{\"prompt\":\"x\\\"###);std"####), "{}", rust.code);
    }

    #[test]
    fn a_quote_in_a_question_ends_no_string() {
        let snippets = call("http://a/", "k", "/v1/x", r#"{"prompt":"it's \"so\""}"#);
        assert!(snippets[0].code.contains(r#"-d '{"prompt":"it'\''s \"so\""}'"#), "{}", snippets[0].code);
        assert!(
            snippets[1].code.contains(r#"data="{\"prompt\":\"it's \\\"so\\\"\"}".encode()"#),
            "{}",
            snippets[1].code
        );
        assert!(snippets.iter().all(|snippet| snippet.code.contains("http://a/v1/x")));
    }
}
