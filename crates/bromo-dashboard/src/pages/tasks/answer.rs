//! What a task ended with, taken apart for reading. Text stays text: nothing of it becomes markup.

use serde_json::Value;

use super::json::indented;

/// Bytes of a response that are shown.
const SHOWN_BYTES_MAX: usize = 256 * 1024;
/// Sources that are listed.
const SOURCES_MAX: usize = 200;
/// JSON of more lines is folded up.
const OPEN_LINES_MAX: usize = 40;

/// A response.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) text: String,
    pub(super) sources: Vec<Source>,
    /// Who answered, as far as it says.
    pub(super) by: String,
    /// Of a failed task: what went wrong.
    pub(super) error: Option<Fault>,
    pub(super) json: String,
    pub(super) lines: usize,
    /// Whether more came than is shown.
    pub(super) is_cut: bool,
}

/// A page that an answer names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) label: String,
    pub(super) url: String,
}

/// Why a task failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) code: String,
    pub(super) message: String,
}

impl Response {
    pub(super) fn read(bytes: &[u8]) -> Self {
        let value: Value = serde_json::from_slice(bytes).unwrap_or_default();
        let word = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let source = |value: &Value| {
            let (label, url) = (word(value, "label"), word(value, "url"));
            Source { label: if label.is_empty() { url.clone() } else { label }, url }
        };
        let sources = value["sources"].as_array().map(|sources| sources.iter().take(SOURCES_MAX));
        let by = [word(&value, "provider"), word(&value, "model")];
        let by: Vec<&str> = by.iter().map(String::as_str).filter(|word| !word.is_empty()).collect();
        let error = value
            .get("error")
            .map(|error| Fault { code: word(error, "code"), message: word(error, "message") });
        let json = String::from_utf8_lossy(bytes);
        let is_cut = json.len() > SHOWN_BYTES_MAX;
        let json = indented(&json[..json.floor_char_boundary(SHOWN_BYTES_MAX)]);
        let mut text = word(&value, "text");
        text.truncate(text.floor_char_boundary(SHOWN_BYTES_MAX));
        Self {
            text,
            sources: sources.into_iter().flatten().map(source).collect(),
            by: by.join(", "),
            error,
            lines: json.lines().count(),
            json,
            is_cut,
        }
    }

    /// Whether its JSON is short enough to stand open.
    pub(super) const fn is_short(&self) -> bool {
        self.lines <= OPEN_LINES_MAX
    }
}

impl Source {
    /// Whether it leads to the web: nothing else becomes a link.
    pub(super) fn is_link(&self) -> bool {
        ["http://", "https://"].iter().any(|scheme| self.url.starts_with(scheme))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_apart() {
        let response = Response::read(
            br#"{"text":"<b>Hi</b>","sources":[{"url":"https://a.example/","label":"A"},{"url":"javascript:x","label":""}],"model":null,"provider":"sandbox"}"#,
        );
        assert_eq!((response.text.as_str(), response.by.as_str()), ("<b>Hi</b>", "sandbox"));
        assert_eq!(response.sources[1].label, "javascript:x");
        assert!(response.sources[0].is_link() && !response.sources[1].is_link());
        assert!(response.error.is_none() && !response.is_cut && response.is_short());
    }

    #[test]
    fn a_failure_says_why() {
        let response =
            Response::read(br#"{"error":{"code":"REQUEST_CANCELED","message":"Task was canceled"}}"#);
        let fault = Fault { code: "REQUEST_CANCELED".to_owned(), message: "Task was canceled".to_owned() };
        assert_eq!(response.error, Some(fault));
    }

    #[test]
    fn a_response_of_any_size_is_shown_up_to_a_bound_that_is_said() {
        let long = format!(r#"{{"text":"{}"}}"#, "é".repeat(SHOWN_BYTES_MAX));
        let response = Response::read(long.as_bytes());
        assert!(response.is_cut && response.json.len() < SHOWN_BYTES_MAX + 100);
        assert!(response.text.len() <= SHOWN_BYTES_MAX);
    }
}
