//! The words of the wire: what is sent, and the parts of what comes that are read.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};

/// The request. Everything in it is borrowed.
#[derive(Serialize)]
pub(super) struct ChatRequest<'a> {
    pub(super) model: &'a str,
    pub(super) messages: &'a [Message<'a>],
    pub(super) stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_tokens: Option<u32>,
}

#[derive(Clone, Copy, Serialize)]
pub(super) struct Message<'a> {
    pub(super) role: &'static str,
    pub(super) content: &'a str,
}

/// A whole completion, or one event of a stream: they differ in `message` and `delta`.
#[derive(Deserialize)]
pub(super) struct Completion<'a> {
    #[serde(borrow, default)]
    pub(super) model: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) choices: Option<Vec<Choice<'a>>>,
    #[serde(borrow, default)]
    pub(super) citations: Option<Vec<Text<'a>>>,
    #[serde(borrow, default)]
    pub(super) search_results: Option<Vec<SearchResult<'a>>>,
    #[serde(borrow, default)]
    pub(super) error: Option<WireError<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Choice<'a> {
    #[serde(default)]
    pub(super) index: u32,
    #[serde(borrow, default)]
    pub(super) delta: Option<Part<'a>>,
    #[serde(borrow, default)]
    pub(super) message: Option<Part<'a>>,
    #[serde(borrow, default)]
    pub(super) finish_reason: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Part<'a> {
    #[serde(borrow, default)]
    pub(super) content: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) refusal: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) annotations: Option<Vec<Annotation<'a>>>,
}

#[derive(Deserialize)]
pub(super) struct Annotation<'a> {
    #[serde(borrow, default)]
    pub(super) url_citation: Option<UrlCitation<'a>>,
}

#[derive(Deserialize)]
pub(super) struct UrlCitation<'a> {
    #[serde(borrow)]
    pub(super) url: Text<'a>,
    #[serde(borrow, default)]
    pub(super) title: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) content: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(super) struct SearchResult<'a> {
    #[serde(borrow)]
    pub(super) url: Text<'a>,
    #[serde(borrow, default)]
    pub(super) title: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) snippet: Option<Text<'a>>,
}

/// An error inside a stream or a body: an object at most servers, a bare text at some.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum WireError<'a> {
    Object {
        #[serde(default)]
        message: Option<String>,
        #[serde(default, rename = "type")]
        kind: Option<String>,
        #[serde(default)]
        code: Option<serde_json::Value>,
    },
    #[serde(borrow)]
    Text(Text<'a>),
}

impl WireError<'_> {
    pub(super) fn message(&self) -> &str {
        match self {
            Self::Object { message, kind, .. } => {
                message.as_deref().or(kind.as_deref()).unwrap_or("no words")
            }
            Self::Text(text) => text.as_str(),
        }
    }

    /// Whether it says that there is too much to do.
    pub(super) fn is_busy(&self) -> bool {
        let Self::Object { kind, code, .. } = self else { return false };
        let code_says = match code {
            Some(serde_json::Value::Number(number)) => matches!(number.as_u64(), Some(429 | 503)),
            Some(serde_json::Value::String(text)) => means_busy(text),
            _ => false,
        };
        code_says || kind.as_deref().is_some_and(means_busy)
    }
}

fn means_busy(word: &str) -> bool {
    matches!(word, "429" | "503") || word.contains("rate_limit") || word.contains("overloaded")
}

/// The words of an error page, whatever it is made of.
pub(super) fn error_message(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Page<'a> {
        #[serde(borrow, default)]
        error: Option<WireError<'a>>,
        #[serde(borrow, default)]
        message: Option<Text<'a>>,
    }
    match serde_json::from_slice::<Page<'_>>(body) {
        Ok(Page { error: Some(error), .. }) => error.message().to_owned(),
        Ok(Page { message: Some(message), .. }) => message.as_str().to_owned(),
        _ => String::from_utf8_lossy(body).into_owned(),
    }
}

/// A text borrowed from the body where it holds no escape; serde borrows no `Option<Cow>` by itself.
#[derive(Clone)]
pub(super) struct Text<'a>(Cow<'a, str>);

impl Text<'_> {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(TextVisitor)
    }
}
